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
	AckBeforeISR      Set = 1 << iota // acks=all answered at the leader's append
	TruncateToHW                      // a follower truncates to its own high watermark, not by leader epoch (KIP-101)
	ReadAboveHW                       // a fetch is bounded by the log end, not by the high watermark (KAFKA-9835)
	DupOnRetry                        // the producer's sequence is not checked
	UncleanElection                   // a replica outside the ISR is elected
	ZKUnfenced                        // the controller's writes skip the check of its epoch (KAFKA-6082)
	NoBrokerEpoch                     // a bounced broker obeys requests to its earlier life (KAFKA-7235)
	MinISRIgnored                     // min.insync.replicas is not checked
	StaleISRExpand                    // a replica's place in the ISR does not depend on its being in the same life (KAFKA-15221)
	EpochNotPersisted                 // the leader epoch is not written on becoming leader (KAFKA-7415)
	SingleEpochLookup                 // a follower takes an epoch's end for the point where the logs part (KIP-279)
	NoFetchEpoch                      // a fetch in another leader epoch is answered (KIP-320)
	HWBeforeTruncate                  // a follower takes the high watermark before it has truncated (KAFKA-14704)
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
	{ZKUnfenced, "zk-unfenced", "the controller's writes to ZooKeeper skip the check of its epoch", "two controllers; metadata lost", "KAFKA-6082"},
	{NoBrokerEpoch, "no-broker-epoch", "a bounced broker obeys the controller's requests to its earlier life", "wrong leader, lost writes", "KAFKA-7235"},
	{MinISRIgnored, "min-isr-ignored", "min.insync.replicas is not checked", "acked writes on too few replicas", "-"},
	{StaleISRExpand, "stale-isr-expand", "a replica that has rebooted since the leader heard of it comes into the ISR", "acked writes are lost after a reboot", "KAFKA-15221"},
	{EpochNotPersisted, "epoch-not-persisted", "the leader epoch is not written on becoming leader", "wrong truncation after back-to-back elections", "KAFKA-7415"},
	{SingleEpochLookup, "single-epoch-lookup", "a follower takes the end of the leader's epoch for the point where the logs part", "replicas diverge after fast failovers", "KIP-279"},
	{NoFetchEpoch, "no-fetch-epoch", "a fetch with another leader epoch is answered", "committed data truncated; a consumer jumps", "KIP-320"},
	{HWBeforeTruncate, "hw-before-truncate", "a follower's high watermark advances before its truncation is done", "a record is read, then gone", "KAFKA-14704"},
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
