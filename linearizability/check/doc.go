// Package check is the gate: it holds a history against what Kafka promises of a partition's log, by sorting and
// counting rather than by search, since the offsets already tell the order. It is linear but for sorts that are rarely
// needed, exact (package models is what that claim is tested with), and pure: no clock, no tasks, no files.
//
// # How it judges
//
// A fact is a record that was read, or that was acked with acks=all. A fact has one offset, and an offset has one fact.
// Everything else follows from lining the facts up by offset:
//
//   - what was acked must be among the facts that the final drain read;
//   - if one append ended before another was called, it has the lower offset;
//   - a fetch of [From, Next) returns every fact of that range.
//
// An ack with acks=1 is a claim, not a fact: the record may be lost, and its offset used again, until somebody reads
// it. With acks=0 there is not even a claim. An operation of unknown end has happened if its record was read, at the
// latest when the first reader returned; if the final drain, which reads everything, did not see it, it has not.
//
// The invariants' names, with those that Jepsen's Kafka workload has for the same anomalies, are in invariants.go.
package check
