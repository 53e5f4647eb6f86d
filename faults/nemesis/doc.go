// Package nemesis plays a schedule of faults on a world: begins each at its time, heals it when it is over, and
// heals everything at the end.
//
// It owns the bookkeeping that makes a run honest: for each kind how many faults were planned, how many really had an
// effect (fired), how many were withheld because the run's promise would not have covered them, and a timeline for
// the history. It never waits and starts nothing: its callbacks run when the Timers it was given call them.
package nemesis
