package check

// Invariants of a partition's log, worst first: verdicts list violations in this order.
const (
	NoLostWrite    = "INV-NO-LOST-WRITE"    // acked with acks=all, and the final drain has not got it
	ReadDurable    = "INV-READ-DURABLE"     // read once, and the final drain has not got it
	OffsetStable   = "INV-OFFSET-STABLE"    // an offset has two values
	NoDuplicate    = "INV-NO-DUPLICATE"     // a value is at two offsets
	NoPhantom      = "INV-NO-PHANTOM"       // read, but nobody had written it
	FailedUnseen   = "INV-FAILED-UNSEEN"    // read, though its write certainly failed
	Content        = "INV-CONTENT"          // read with another content than was written
	Order          = "INV-ORDER"            // appended after another was acked, at a lower offset
	ProducerOrder  = "INV-PRODUCER-ORDER"   // one producer's records in another order than it sent them
	NoSkip         = "INV-NO-SKIP"          // passed over a record that is there
	CompactLast    = "INV-COMPACT-LAST"     // compaction took the last word of a key, a tombstone, before its time
	PollMonotonic  = "INV-POLL-MONOTONIC"   // a consumer went back, or saw offsets out of order
	ReadBelowHW    = "INV-READ-BELOW-HW"    // a record at or above the watermark that came with it
	Fresh          = "INV-FRESH"            // a fetch that does not know what was acked before it was called
	ListOffsets    = "INV-LIST-OFFSETS"     // the latest offset does not cover what was acked before the call
	LogStart       = "INV-LOG-START"        // the log start offset went back
	WatermarkOrder = "INV-WATERMARK-ORDER"  // not log start ≤ last stable ≤ high watermark
	HWMonotonic    = "INV-HW-MONOTONIC"     // a consumer saw the high watermark go back
	OneOwner       = "INV-GROUP-ONE-OWNER"  // two members of a group own a partition
	GroupFenced    = "INV-GROUP-FENCED"     // a commit in a generation that is over was taken
	OffsetKept     = "INV-OFFSET-KEPT"      // a committed offset is lost, or went back
	OffsetKnown    = "INV-OFFSET-KNOWN"     // a committed offset that nobody committed
	Processed      = "INV-OFFSET-PROCESSED" // committed, and not read by the members before
	BatchWhole     = "INV-BATCH-CONTIGUOUS" // the records of one batch are not next to each other

	TxnAbortedRead  = "INV-TXN-ABORTED-UNSEEN"   // read with read_committed, though its transaction was aborted
	TxnEarlyRead    = "INV-TXN-COMMITTED-ONLY"   // read with read_committed before its transaction's commit was called
	TxnAtomic       = "INV-TXN-ATOMIC"           // of a transaction's records some are seen and some not, or none of a committed one's
	TxnFenced       = "INV-TXN-FENCED"           // taken from an old epoch after a newer one was given out
	TxnEndedOnce    = "INV-TXN-ENDED-ONCE"       // both committed and aborted
	TxnAcyclic      = "INV-TXN-ACYCLIC"          // transactions that each read what another wrote, in a circle
	TxnIsolated     = "INV-TXN-WRITE-ISOLATION"  // transactions that wrote to several partitions in different orders
	ReadBelowLSO    = "INV-READ-BELOW-LSO"       // read with read_committed at or above the last stable offset that came with it
	ProcessOnce     = "INV-PROCESS-AT-MOST-ONCE" // two results of one input are seen
	ProcessAll      = "INV-PROCESS-AT-LEAST-ONCE"
	ProcessTogether = "INV-PROCESS-TOGETHER" // a result is seen, and the offset of its input is not committed
	TotalConstant   = "INV-BANK-TOTAL"

	ZKOrder   = "INV-ZK-ORDER"   // ZooKeeper's writes have zxids of their own, in the order of real time
	ZKRead    = "INV-ZK-READ"    // a read shows the tree as it was at the zxid that came with it
	ZKSession = "INV-ZK-SESSION" // a session does not go back, and after a sync it sees all that was done before
)

// rank orders invariants by how bad it is to break them.
var rank = func() map[string]int {
	m := make(map[string]int)
	for i, id := range []string{NoLostWrite, ReadDurable, OffsetStable, NoDuplicate, NoPhantom, FailedUnseen, Content,
		Order, ProducerOrder, BatchWhole, NoSkip, CompactLast, PollMonotonic, ReadBelowHW, Fresh, ListOffsets, LogStart,
		ReadBelowLSO, TxnAbortedRead, TxnEarlyRead, TxnAtomic, TxnFenced, TxnEndedOnce, TxnAcyclic, ProcessOnce, ProcessAll,
		ProcessTogether, TotalConstant, TxnIsolated, WatermarkOrder, HWMonotonic, ZKOrder, ZKRead, ZKSession, OneOwner, GroupFenced, OffsetKept, OffsetKnown, Processed} {
		m[id] = i
	}
	return m
}()

// Names that Jepsen's workload has for some violations of an invariant alone.
const (
	anomalyUnseen         = "unseen"        // acked, and the log ends before it: nobody ever saw it. What others were seen behind is a lost write
	anomalySkipInside     = "int-poll-skip" // inside of one poll, not between two
	anomalyMonotonyInside = "int-nonmonotonic-poll"
)

// anomaly is the name that Jepsen's Kafka workload has for a violation, or the nearest plain one.
var anomaly = map[string]string{
	NoLostWrite: "lost-write", ReadDurable: "lost-write", OffsetStable: "inconsistent-offsets", NoDuplicate: "duplicate",
	NoPhantom: "phantom-read", FailedUnseen: "G1a", Content: "corrupt-read", Order: "reordered-write",
	ProducerOrder: "nonmonotonic-send", BatchWhole: "torn-batch", NoSkip: "poll-skip", CompactLast: "lost-tombstone", PollMonotonic: "nonmonotonic-poll",
	ReadBelowHW: "precommitted-read", Fresh: "stale-read", ListOffsets: "stale-offset", LogStart: "log-start-back",
	OneOwner: "two-owners", GroupFenced: "zombie-commit", OffsetKept: "lost-commit", OffsetKnown: "phantom-commit", Processed: "unprocessed-commit",
	TxnAbortedRead: "G1a", TxnEarlyRead: "precommitted-read", ReadBelowLSO: "precommitted-read", TxnAtomic: "torn-transaction",
	TxnFenced: "zombie-write", TxnEndedOnce: "torn-transaction", TxnAcyclic: "G1c", TxnIsolated: "G0",
	ProcessOnce: "duplicate-processing", ProcessAll: "lost-processing", ProcessTogether: "torn-transaction", TotalConstant: "total-changed",
	ZKOrder: "reordered-write", ZKRead: "inconsistent-read", ZKSession: "stale-read",
	WatermarkOrder: "watermark-order", HWMonotonic: "watermark-back",
}
