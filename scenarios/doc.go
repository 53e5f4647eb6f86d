// Package scenarios joins a simulated cluster, a workload, a schedule of faults and the checkers into a run with a
// verdict. It owns the catalogue, the phases of a run (start, faults, heal, converge, drain, judge) and the order in
// which verdicts take precedence. It never looks at a clock but the world's: a run is a function of its options.
package scenarios
