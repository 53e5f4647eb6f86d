// Package oracle is the all-seeing checker: between events it looks at what no client can see, the state of every
// replica and of ZooKeeper and the bytes on every disk, and says which invariant of replication does not hold.
//
// It owns the invariants of docs/invariants.md that speak of replicas. It never changes what it looks at, makes no env
// call, and judges no client's history: linearizability does.
//
// Two ideas of what is committed meet here. Any leader's high watermark says that everything below it is committed, for
// good; so the first replica to show a batch below a leader's high watermark fixes what stands there (the canonical
// log), and every other replica must show the same below its own. And whoever is in the ISR, as ZooKeeper has it, must
// have all of the canonical log: that is what makes it fit to be elected.
package oracle
