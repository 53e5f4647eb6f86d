// Package cluster assembles simulated worlds: nodes with a host on sim/network, a disk of sim/disk and a wall clock,
// run by sim/sched, remembered by sim/trace, all from one seed.
//
// # What it owns
//
// World, the lives of its nodes, and the one implementation of env.Env for them. A life begins with Start and ends when
// its main function returns (exit), when one of its tasks panics (a crash verdict, Crash), or when the world kills it:
// Crash (the process dies, the disk's cache stays), PowerLoss (unsynced data may be lost, peers are not told). The next
// Start gives the node a new env.Env on the same disk. World also has what a nemesis needs, all by node name.
//
// # What it never does
//
// It knows nothing of brokers. It has no global state: many worlds may run at once, each on a goroutine of its own.
//
// # A unit test of code that needs an env.Env
//
// On one node, until it returns. Panics, t.Fatal, deadlocks and an hour of virtual time without an end fail the test:
//
//	func TestQueueKeepsOrder(t *testing.T) {
//		cluster.Test(t, 1, func(e env.Env) {
//			q := env.NewQueue[int](e, 0)
//			e.Go("producer", func() { q.Put(1); q.Put(2) })
//			...
//			f, err := e.Open("data", env.Create)
//		})
//	}
//
// On several nodes, with faults:
//
//	w := cluster.New(cluster.Options{Seed: seed})
//	defer w.Close()
//	w.AddNode("b1", func(e env.Env) { l, _ := e.Listen("b1:9092"); ... })
//	w.AddNode("c1", func(e env.Env) { c, err := e.Dial("b1:9092", time.Second); ...; done = true })
//	w.Start("b1")
//	w.Start("c1")
//	w.At(env.Instant(5*time.Second), func() { w.PowerLoss("b1", disk.KeepRandom) })
//	w.At(env.Instant(6*time.Second), func() { w.Start("b1") })
//	if r := w.RunUntil(func() bool { return done }, env.Instant(time.Minute)); r != cluster.Satisfied {
//		t.Fatal(r, w.Stuck())
//	}
//	w.Hash() // the same for the same seed, always
package cluster
