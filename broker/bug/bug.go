// Package bug holds the switches of the bug zoo: known defects of real brokers, each planted at the one line where
// the real defect sat, so that the harness can show that it finds them. All are off by default, and the build tag
// "production" removes them altogether.
package bug

import (
	"fmt"
	"sort"
	"strings"
)

// Set is a set of switched-on bugs. The zero Set, none, is what every real broker runs with.
type Set uint64

// The zoo. Names are those of --bug.
const (
	AckBeforeISR         Set = 1 << iota // acks=all answered at the leader's append
	TruncateToHW                         // a follower truncates to its own high watermark, not by leader epoch (KIP-101)
	ReadAboveHW                          // a fetch is bounded by the log end, not by the high watermark (KAFKA-9835)
	DupOnRetry                           // the producer's sequence is not checked
	UncleanElection                      // a replica outside the ISR is elected
	GroupTwoOwners                       // a group member keeps its partitions past its generation
	MinISRIgnored                        // min.insync.replicas is not checked
	UncleanRestart                       // a new controller believes an ISR whose members have started anew since
	TombstoneEarly                       // the cleaner drops tombstones as soon as it meets them (KAFKA-4529)
	TornTailAccepted                     // recovery does not check the batches at the end of the log
	AppendAfterIOError                   // appends go on after a failed write (KAFKA-10778)
	FsyncIgnored                         // a failed fsync is treated as done
	ProducerStateDropped                 // producer state is lost when a log is opened (KIP-360)
	SingleEpochLookup                    // the end of an epoch is looked up for that one epoch only (KIP-279)
	NoFetchEpoch                         // fetches carry no leader epoch, and none is checked (KIP-320)
	EpochNotPersisted                    // a new leader's epoch is written with its first record only (KAFKA-7415)
	HWBeforeTruncate                     // a follower takes the high watermark before it truncates (KAFKA-14704)
	StaleISRExpand                       // a replica joins the ISR on the word of its earlier life (KAFKA-15221)
	NoBrokerEpoch                        // a bounced broker obeys requests meant for its earlier life (KAFKA-7235)
	ZKUnfenced                           // controllers write to ZooKeeper without looking at the epoch (KAFKA-6082)
	TxnNoEpochBump                       // a timed-out transaction does not raise the epoch (KAFKA-6119)
	TxnLateProduce                       // a leader does not verify that a transaction is open (KAFKA-14402)
	TxnOffsetsUnfenced                   // TxnOffsetCommit does not look at the generation (KIP-447)
	LSORace                              // the high watermark is read twice for the last stable offset (KAFKA-9807)
	OffsetEarlyExpire                    // an offset that was loaded counts as one that has expired (KAFKA-8069)
	CommitUnread                         // a member commits what it has fetched, not what it has returned to the application
	TxnIndexTogether                     // the ends of transactions in one append are indexed as if all were over
	ShrinkUnconfirmed                    // a leader counts a shrunk ISR before the controller has confirmed it (KIP-497)
	LossUnseen                           // the last member of an ISR leads again, whatever it has lost (KIP-966)
	OvertakenControl                     // a controller's request is obeyed though later ones have overtaken it
)

// Animal describes one bug.
type Animal struct {
	Set    Set
	Name   string // as in --bug NAME
	Defect string
	Effect string // what a client sees
	Known  string // where it is known from
}

// Zoo lists every bug, in the order of their declaration.
var Zoo = []Animal{
	{AckBeforeISR, "ack-before-isr", "acks=all is answered at the leader's append", "an acked write is lost on failover", "-"},
	{TruncateToHW, "truncate-to-hw", "a follower truncates to its own high watermark, not by leader epoch", "an acked write is lost; two values at one offset", "KIP-101"},
	{ReadAboveHW, "read-above-hw", "a fetch is bounded by the log end, not by the high watermark", "phantom reads", "KAFKA-9835"},
	{DupOnRetry, "dup-on-retry", "the producer's sequence is not checked", "duplicates", "-"},
	{UncleanElection, "unclean-election", "a replica outside the ISR is elected", "acked writes are lost", "configuration"},
	{GroupTwoOwners, "group-two-owners", "a group member keeps its partitions past its generation", "two owners of a partition", "-"},
	{MinISRIgnored, "min-isr-ignored", "min.insync.replicas is not checked", "acked writes on too few replicas", "-"},
	{UncleanRestart, "unclean-restart", "a new controller leaves a broker in the ISR that lost power and came back between two controllers", "an acked write is lost", "Kafka in ZooKeeper mode; KIP-966"},
	{TombstoneEarly, "tombstone-early", "the cleaner drops tombstones as soon as it meets them", "a deleted key comes back", "KAFKA-4529"},
	{TornTailAccepted, "torn-tail-accepted", "recovery does not check the batches at the end of the log", "corrupt records, or an endless loop", "-"},
	{AppendAfterIOError, "append-after-io-error", "appends go on after a failed write", "acked, then lost", "KAFKA-10778"},
	{FsyncIgnored, "fsync-ignored", "a failed fsync is treated as done", "acked, then lost", "-"},
	{ProducerStateDropped, "producer-state-dropped", "producer state is lost when a log is opened", "duplicates, or a false OUT_OF_ORDER", "KIP-360"},
	{SingleEpochLookup, "single-epoch-lookup", "the end of an epoch is looked up for that one epoch only", "replicas diverge after fast failovers", "KIP-279"},
	{NoFetchEpoch, "no-fetch-epoch", "fetches carry no leader epoch, and none is checked", "replicas diverge, committed data is truncated", "KIP-320"},
	{EpochNotPersisted, "epoch-not-persisted", "a new leader's epoch is written with its first record only", "wrong truncation after back-to-back elections", "KAFKA-7415"},
	{HWBeforeTruncate, "hw-before-truncate", "a follower takes the leader's high watermark before it truncates", "a record is shown as committed, then gone", "KAFKA-14704"},
	{StaleISRExpand, "stale-isr-expand", "a replica joins the ISR on the word of a fetch of its earlier life", "acked writes are lost after a reboot", "KAFKA-15221"},
	{NoBrokerEpoch, "no-broker-epoch", "a bounced broker obeys requests meant for its earlier life", "wrong leader, lost writes", "KAFKA-7235"},
	{ZKUnfenced, "zk-unfenced", "controllers write to ZooKeeper without looking at the controller epoch", "two controllers at once; metadata lost", "KAFKA-6082"},
	{TxnNoEpochBump, "txn-no-epoch-bump", "a transaction that is aborted for its time-out does not raise the producer's epoch", "a zombie goes on, and commits", "KAFKA-6119"},
	{TxnLateProduce, "txn-late-produce", "a leader takes records of a transaction that the coordinator does not know to be open", "a late record joins the next transaction, or the last stable offset hangs", "KAFKA-14402"},
	{TxnOffsetsUnfenced, "txn-offsets-unfenced", "TxnOffsetCommit does not look at the member and the generation", "two members process the same input", "KIP-447"},
	{LSORace, "lso-race", "the high watermark is read twice for the last stable offset", "a record of an open or aborted transaction under read_committed", "KAFKA-9807"},
	{OffsetEarlyExpire, "offset-early-expire", "an offset that is loaded from the log counts as one that has expired", "a group restarts from the beginning", "KAFKA-8069"},
	{CommitUnread, "commit-unread", "a member commits what it has fetched, not what the application has seen", "records are never processed", "our own"},
	{TxnIndexTogether, "txn-index-together", "a follower indexes the ends of several transactions in one append as if all were over before the first", "aborted records under read_committed after a failover", "found here: docs/bugs.md"},
	{ShrinkUnconfirmed, "shrink-unconfirmed", "a leader counts the ISR without those who lag before the controller has confirmed it", "two leaders acknowledge: a deposed one goes on alone", "KIP-497"},
	{LossUnseen, "loss-unseen", "the last member of an ISR leads again although it has lost its data, and eligible replicas have theirs", "acked writes are lost", "KIP-966"},
	{OvertakenControl, "overtaken-control", "a controller's request is obeyed that comes, on a connection given up, after those which followed it", "a topic made anew loses a replica to the deletion of its predecessor", "Kafka in ZooKeeper mode"},
}

// Has reports whether b is on. In a production build it is constant false.
func (s Set) Has(b Set) bool { return compiled && s&b != 0 }

// String lists the names, comma-separated.
func (s Set) String() string {
	var names []string
	for _, a := range Zoo {
		if s&a.Set != 0 {
			names = append(names, a.Name)
		}
	}
	return strings.Join(names, ",")
}

// Parse reads comma-separated names; "" is the empty set.
func Parse(text string) (Set, error) {
	var s Set
next:
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		for _, a := range Zoo {
			if a.Name == name {
				s |= a.Set
				continue next
			}
		}
		var known []string
		for _, a := range Zoo {
			known = append(known, a.Name)
		}
		sort.Strings(known)
		return 0, fmt.Errorf("unknown bug %q; known are %s", name, strings.Join(known, ", "))
	}
	if s != 0 && !compiled {
		return 0, fmt.Errorf("bug %s: this is a production build, which has none", s)
	}
	return s, nil
}
