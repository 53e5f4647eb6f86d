// Package zktest is the conformance suite of ZooKeeper sessions: what a client and a server must do together, whichever
// they are. It runs over every pairing of {env client, go-zookeeper} with {embedded server, Apache ZooKeeper}, in the
// real world and, for the env client with the embedded server, in the simulated one. It uses env alone and reports by
// error, so that a case can be a task of a simulated node.
package zktest
