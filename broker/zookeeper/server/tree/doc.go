// Package tree is the state machine of the embedded ZooKeeper: nodes, sessions and their ephemeral nodes, and what a
// transaction does to them. It is pure: no time, no chance, no tasks, no files. Given the same transactions it becomes
// the same tree, byte for byte in its snapshot, which is what a replicated log will need (ZAB).
//
// Do, OpenSession and CloseSession decide what a request does, do it, and return the transaction to log; Replay does a
// logged one again. It never knows who watches a node: it returns what changed.
//
// Its source is org.apache.zookeeper.server.DataTree and PrepRequestProcessor.
package tree
