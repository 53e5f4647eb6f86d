// Package faults is what can go wrong, as values: a fault has a time, a kind and parameters, and a one-line text form;
// a schedule is a slice of faults, and a text file.
//
//	# scenario=isr-shrink seed=8812 commit=ab12cd3
//	3.200s partition from=2 to=1,3 oneway for=4s
//	5.100s disk node=1 op=fsync fail for=2s
//	9.000s power node=3 keep=random for=6s
//
// It owns the kinds, the text form (Parse, Format) and World, which is what a nemesis can do to a cluster.
// faults/schedule draws schedules from a seed, faults/nemesis plays them. It never waits, and does nothing to anybody
// by itself: a schedule, not a seed, is the lasting reproduction of a failure, so it must mean the same everywhere.
//
// Source: etcd's robustness failpoints and Jepsen's nemesis for the idea; the text form is our own.
package faults
