package group

import (
	"encoding/hex"
	"testing"
	"time"

	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Partitions are those of Java: "console-consumer-1".hashCode() and the like, computed by hand from the definition.
func TestPartitionForIsJavas(t *testing.T) {
	for group, want := range map[string]int32{
		"":                   0,
		"a":                  97 % 50,
		"ab":                 (97*31 + 98) % 50,
		"polygenelubricants": 0, // its hash code is Integer.MIN_VALUE, of which there is no absolute value
		"é":                  0xe9 % 50,
		"😀":                  (0xd83d*31 + 0xde00) % 50, // two UTF-16 units
		"zzzzzz":             685785664 % 50,            // its hash code is negative
	} {
		if got := coordinator.PartitionFor(group, 50); got != want {
			t.Errorf("%q: partition %d, want %d", group, got, want)
		}
	}
}

// Records are Kafka's, byte for byte: versions, widths and the order of fields.
func TestRecordsAreKafkas(t *testing.T) {
	key := wire.TopicPartition{Topic: "t", Partition: 2}
	g := New("g", Limits{SizeMax: 10}, Now{Wall: 5})
	g.Join(Now{Wall: 5}, JoinRequest{NewID: "m", ClientID: "c", ClientHost: "/h", Session: 10 * time.Second, Rebalance: 30 * time.Second,
		ProtocolType: "consumer", Protocols: []Protocol{{"range", []byte{1}}}}, func(JoinResult) {})
	g.Tick(Now{Wall: 6})
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"offset key":  {offsetKey("g", key), "0001" + "000167" + "000174" + "00000002"},
		"offset":      {offsetValue(&Offset{Offset: 7, LeaderEpoch: 3, Metadata: "x", Committed: 9, Expires: -1}), "0003" + "0000000000000007" + "00000003" + "000178" + "0000000000000009"},
		"expiring":    {offsetValue(&Offset{Offset: 7, LeaderEpoch: 3, Metadata: "x", Committed: 9, Expires: 10}), "0001" + "0000000000000007" + "000178" + "0000000000000009" + "000000000000000a"},
		"group key":   {groupKey("g"), "0002" + "000167"},
		"group":       {groupValue(g.value(map[string][]byte{"m": {9}})), "0003" + "0008636f6e73756d6572" + "00000001" + "000572616e6765" + "00016d" + "0000000000000006" + "00000001" + "00016d" + "ffff" + "000163" + "00022f68" + "00007530" + "00002710" + "0000000101" + "0000000109"},
		"empty group": {groupValue(New("g", Limits{}, Now{Wall: 5}).value(nil)), "0003" + "0000" + "00000000" + "ffff" + "ffff" + "0000000000000005" + "00000000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// Whatever stands in the log, reading it does not panic; what was written is read back.
func FuzzLoad(f *testing.F) {
	key := wire.TopicPartition{Topic: "t"}
	f.Add(offsetKey("g", key), offsetValue(&Offset{Offset: 1, Expires: -1}))
	f.Add(offsetKey("g", key), offsetValue(&Offset{Offset: 1, Expires: 4}))
	f.Add(groupKey("g"), groupValue(New("g", Limits{}, Now{}).value(nil)))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e, known, err := parseEntry(key, value)
		if err != nil || !known {
			return
		}
		if e.isGroup {
			if g, err := load(e.group, value, Limits{SizeMax: 1}, Now{}); err == nil {
				g.loaded(Now{})
				g.Tick(Now{Mono: env.Never})
			}
			return
		}
		parseOffset(*e.offset, value, 0)
	})
}

// Errors of appends are told to clients as Kafka does.
func TestErrorsOfAppends(t *testing.T) {
	for err, want := range map[*kerr.Error][2]*kerr.Error{
		kerr.NotEnoughReplicas:     {kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable},
		kerr.NotLeaderForPartition: {kerr.NotCoordinator, kerr.NotCoordinator},
		kerr.FencedLeaderEpoch:     {kerr.NotCoordinator, kerr.NotCoordinator},
		kerr.MessageTooLarge:       {kerr.InvalidCommitOffsetSize, kerr.UnknownServerError},
		kerr.RequestTimedOut:       {kerr.RequestTimedOut, kerr.RebalanceInProgress},
	} {
		if got := commitError(err); got != want[0] {
			t.Errorf("commit: %v is told as %v", err, got)
		}
		if got := storeError(err); got != want[1] {
			t.Errorf("assignment: %v is told as %v", err, got)
		}
	}
}
