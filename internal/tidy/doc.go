// Package tidy holds the tree to its own rules, as analyses with types: the import ladder (which package may know
// which), the determinism bans (only env touches time, chance, threads, sockets, files), and a few points of style.
// TestTidy runs them over the whole module; testdata holds a small offender for each rule, so that a rule that stops
// working is noticed.
package tidy
