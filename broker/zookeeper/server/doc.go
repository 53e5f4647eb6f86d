// Package server is the embedded ZooKeeper: one server that speaks ZooKeeper's own protocol, so that zkCli.sh, the Java
// client and go-zookeeper talk to it. It owns the connections, the sessions' clocks, the watches, and the log and
// snapshots that make a transaction durable before it is answered. It never decides what a transaction does: that is
// tree's.
//
// Its source is org.apache.zookeeper.server (NIOServerCnxn, ZooKeeperServer, SyncRequestProcessor, WatchManager).
package server
