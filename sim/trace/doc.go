// Package trace is the memory of a simulated world: a rolling hash over every event, and, when asked for, the events.
//
// Two runs of one seed must end with one hash; FirstDiff names the first event in which two recordings differ. A run
// too long to be recorded whole is recorded around its first differing Mark in a second try.
//
// It owns the hash and the record, never the clock or the order: the caller says when and what. It keeps no pointers
// into the world but strings and event kinds.
package trace
