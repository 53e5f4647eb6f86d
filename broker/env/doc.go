// Package env is the seam between Barnabas and everything outside it: time, chance, threads, sockets, files.
//
// It owns the interfaces, and the few pieces (Queue, Group, atomic file replacement) that can be built on them alone.
// It never implements the outside world: broker/osenv does that with sockets and goroutines, sim/cluster with a
// seeded scheduler, a simulated network and a simulated disk. Nothing else under broker/ may touch what env covers;
// internal/tidy enforces it.
//
// # The contract of the simulated world
//
// One task of a world runs at a time, and control moves from one to another only inside env calls. When a node
// crashes, the env call in progress in each of its tasks panics with a private sentinel that only the task's root
// recovers; deferred functions run, and every env call they make is inert. So: never recover, never rely on a
// deferred function for durability, and never spin without an env call.
package env
