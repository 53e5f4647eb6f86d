// Package schedule draws schedules of faults from a seed.
//
// It owns swarm testing (each seed switches some kinds off and makes others heavy) and the Budget, which bounds what
// may go wrong at once so that what the brokers promise still covers it. It never applies a fault.
//
// Source: Groce et al., "Swarm Testing" (ISSTA 2012).
package schedule
