// Package gozk is a ZooKeeper session on github.com/go-zookeeper/zk: the one of the real world. It is the only package
// that imports it. It dials through env, so that link faults reach it, and bridges its goroutines to env's queue.
package gozk
