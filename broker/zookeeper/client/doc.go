// Package client is a ZooKeeper session on env, so that it lives in both worlds: pipelined requests, pings, reconnection
// with re-attachment, watches set again. It learns that its session has expired from a server and never decides so
// itself. It keeps no cache and retries nothing: that is its user's business.
//
// Its source is org.apache.zookeeper.ClientCnxn.
package client
