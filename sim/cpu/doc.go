// Package cpu gives simulated machines a processor: calls of env take time on a core, and tasks wait for one.
//
// # What it owns
//
// CPU, some cores that tasks share first come, first served, and Wrap, which makes every call of an env.Env that would
// cost a real process time (reading and writing sockets and files, each call and each byte) take that time on a CPU. What a
// process computes between two calls is counted with the call that follows.
//
// # What it never does
//
// It decides nothing about correctness: a world without it is the same world in which processors are infinitely fast. It knows no
// caches and no scheduler of an operating system: a task that has a core keeps it. What other processes and other guests of the host take
// is Disturb.
package cpu
