// Package history is the record of a run: which operations clients called, when, and how they ended; which faults were
// injected; and which partitions were read out completely at the end. Its file form, JSON lines, is described in
// docs/formats/history.md.
//
// It owns the types, a recorder in memory, a writer that streams, and a strict reader. It judges nothing: package
// linearizability/check does.
package history
