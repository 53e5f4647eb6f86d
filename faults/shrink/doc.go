// Package shrink makes a failing trial smaller: fewer faults, shorter ones, fewer records, clients, partitions and brokers,
// less time, as long as it fails in the same way.
//
// It owns the order in which smaller trials are tried. It never runs one: the caller judges a list of them, on as many
// cores as there are. A smaller trial is another run, in which all random choices fall differently, so each is tried with
// a few redrawn ones. What a run costs goes with its load and time; so the first thing is to leap to a small one (leap.go),
// and one side after the other is made smaller only there.
//
// Source: Zeller and Hildebrandt's ddmin; Hypothesis's passes for the idea of going on until nothing helps any more.
package shrink
