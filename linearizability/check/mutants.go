package check

import "strings"

// Mutants are switches that weaken the gate, by name (Options.Mutant). They prove that the tests of the checkers can fail:
// each must make one of them do so. "without INV-…" passes over an invariant altogether; the others are slips of the kind
// that is made.
const (
	MutantAcksAreClaims     = "acks-are-claims"     // an ack with acks=all is not taken for a fact
	MutantSkipOne           = "skip-one"            // a fetch may pass over one record
	MutantAtWatermark       = "at-watermark"        // the record at the high watermark may be read
	MutantUnknownFailed     = "unknown-failed"      // what is of unknown end has not happened
	MutantLastReadCounts    = "last-read-counts"    // an offset's value is the last one read there, whatever others saw
	MutantReadsBoundNothing = "reads-bound-nothing" // an append that was read may still have been called later
	MutantAbortsUnknown     = "aborts-unknown"      // a transaction that was never committed may have been
	MutantEpochsUnordered   = "epochs-unordered"    // an old epoch is as good as a new one
	MutantOldReads          = "old-reads"           // ZooKeeper may show what a node held at any time
	MutantTombstonesEarly   = "tombstones-early"    // a cleaner need not wait for delete.retention.ms
	MutantCommitsForgotten  = "commits-forgotten"   // an offset is known to be committed only by who was told it
)

const withoutInvariant = "without "

// Mutants lists them all.
func Mutants() []string {
	list := []string{MutantAcksAreClaims, MutantSkipOne, MutantAtWatermark, MutantUnknownFailed, MutantLastReadCounts, MutantReadsBoundNothing,
		MutantAbortsUnknown, MutantEpochsUnordered, MutantOldReads, MutantTombstonesEarly, MutantCommitsForgotten}
	for _, id := range Invariants() {
		list = append(list, withoutInvariant+id)
	}
	return list
}

// Invariants lists the ids of all that the gate holds a history to, worst first.
func Invariants() []string {
	list := make([]string, len(rank))
	for id, i := range rank { // unordered: each has its place
		list[i] = id
	}
	return list
}

// is tells whether the judge is this mutant.
func (j *judge) is(mutant string) bool { return j.o.Mutant != "" && j.o.Mutant == mutant }

// passesOver tells whether the judge is the mutant without this invariant.
func (j *judge) passesOver(invariant string) bool {
	id, ok := strings.CutPrefix(j.o.Mutant, withoutInvariant)
	return ok && id == invariant
}
