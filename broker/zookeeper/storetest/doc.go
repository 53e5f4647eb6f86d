// Package storetest holds a ZooKeeper in memory for tests of what stands on zookeeper.Session, and an env for tests
// that need no tasks. Sessions expire when the test says so, and answers get lost where the test wants it.
// Nothing but tests imports it. It has no locks: it is for the simulated world and for single-threaded tests.
package storetest
