package client

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func partitionsOfTopics(count map[string]int) (topics []string, all []wire.TopicPartition) {
	for topic := range count { // unordered: sorted below
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	for _, topic := range topics {
		for p := range count[topic] {
			all = append(all, wire.TopicPartition{Topic: topic, Partition: int32(p)})
		}
	}
	return topics, all
}

func shown(members []*subscriber) string {
	var out []string
	for _, s := range members {
		slices.SortFunc(s.assigned, wire.TopicPartition.Compare)
		out = append(out, fmt.Sprintf("%s%v", s.id, s.assigned))
	}
	return strings.Join(out, " ")
}

// Goal: range and round-robin give what Kafka's documentation of them shows, static members come by their instance, and who does not read a topic gets none of it.
func TestRangeAndRoundRobinAreKafkas(t *testing.T) {
	member := func(id, instance string, topics ...string) *subscriber {
		s := &subscriber{id: id, topics: topics}
		if instance != "" {
			s.instance = &instance
		}
		return s
	}
	for _, c := range []struct {
		name    string
		count   map[string]int
		members []*subscriber
		robin   bool
		want    string
	}{
		{"range", map[string]int{"t0": 3, "t1": 3}, []*subscriber{member("C0", "", "t0", "t1"), member("C1", "", "t0", "t1")}, false, "C0[t0-0 t0-1 t1-0 t1-1] C1[t0-2 t1-2]"},
		{"roundrobin", map[string]int{"t0": 3, "t1": 3}, []*subscriber{member("C0", "", "t0", "t1"), member("C1", "", "t0", "t1")}, true, "C0[t0-0 t0-2 t1-1] C1[t0-1 t1-0 t1-2]"},
		{"roundrobin, unlike subscriptions", map[string]int{"t0": 1, "t1": 2, "t2": 3}, []*subscriber{member("C0", "", "t0"), member("C1", "", "t0", "t1"), member("C2", "", "t0", "t1", "t2")}, true,
			"C0[t0-0] C1[t1-0] C2[t1-1 t2-0 t2-1 t2-2]"},
		{"range, static", map[string]int{"t": 3}, []*subscriber{member("a", "", "t"), member("z", "1", "t")}, false, "z[t-0 t-1] a[t-2]"},
	} {
		topics, all := partitionsOfTopics(c.count)
		slices.SortFunc(c.members, compareSubscribers)
		if c.robin {
			assignRoundRobin(c.members, all)
		} else {
			assignRange(c.members, topics, all)
		}
		if got := shown(c.members); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Goal: the sticky assignor gives every partition that somebody reads to one who reads it, evenly, moves no more than evenness asks for, and a cooperative
// one gives nothing away that another holds. Method: random groups that lose and win members and topics, against these properties.
func TestStickyAssignor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		count := map[string]int{}
		for i := range 1 + r.IntN(3) {
			count[fmt.Sprintf("t%d", i)] = r.IntN(8)
		}
		topics, all := partitionsOfTopics(count)
		same := r.IntN(2) == 0
		var members []*subscriber
		free := slices.Clone(all)
		r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		for i := range 1 + r.IntN(5) {
			s := &subscriber{id: fmt.Sprintf("m%d", i), generation: int32(r.IntN(2)), topics: topics}
			if !same {
				s.topics = slices.DeleteFunc(slices.Clone(topics), func(string) bool { return r.IntN(3) == 0 })
			}
			n := r.IntN(len(free) + 1)
			s.owned, free = slices.Clone(free[:n]), free[n:]
			if r.IntN(6) == 0 && len(all) > 0 {
				s.owned = append(s.owned, all[r.IntN(len(all))]) // two may claim it
			}
			members = append(members, s)
		}
		owned := 0
		owner := owners(members)
		assignSticky(members, all)
		given := map[wire.TopicPartition]*subscriber{}
		kept := 0
		for _, s := range members {
			for _, tp := range s.assigned {
				if given[tp] != nil || !s.reads(tp.Topic) {
					t.Fatalf("round %d: %s is %s's, and %v's", round, tp, s.id, given[tp])
				}
				given[tp] = s
				if owner[tp] == s {
					kept++
				}
			}
		}
		for _, tp := range all {
			wanted := slices.ContainsFunc(members, func(s *subscriber) bool { return s.reads(tp.Topic) })
			if (given[tp] != nil) != wanted {
				t.Fatalf("round %d: %s is read by somebody: %t, given: %t", round, tp, wanted, given[tp] != nil)
			}
			if s := owner[tp]; s != nil && s.reads(tp.Topic) {
				owned++
			}
		}
		for _, s := range members {
			for _, tp := range s.assigned {
				for _, to := range members {
					if to.reads(tp.Topic) && len(to.assigned)+1 < len(s.assigned) {
						t.Fatalf("round %d: %s has %d and %s, which could have %s, %d", round, s.id, len(s.assigned), to.id, tp, len(to.assigned))
					}
				}
			}
		}
		if same && kept < mostKept(members, owner, len(all)) {
			t.Fatalf("round %d: %d of %d are kept, %d could be", round, kept, owned, mostKept(members, owner, len(all)))
		}
		withholdOwned(members)
		for _, s := range members {
			for _, tp := range s.assigned {
				if other := owner[tp]; other != nil && other != s {
					t.Fatalf("round %d: %s is given to %s while %s holds it", round, tp, s.id, other.id)
				}
			}
		}
	}
}

// Goal: of two that claim a partition the member of the newest generation keeps it through a cooperative rebalance (KIP-792), whoever comes first and whatever
// else they read; of one generation neither does; and what goes to somebody else waits for its owner.
func TestCooperativeAssignorBelievesTheNewest(t *testing.T) {
	tp := func(n int32) wire.TopicPartition { return wire.TopicPartition{Topic: "t", Partition: n} }
	member := func(id string, generation int32, owned ...wire.TopicPartition) *subscriber {
		return &subscriber{id: id, generation: generation, topics: []string{"t"}, owned: owned}
	}
	_, all := partitionsOfTopics(map[string]int{"t": 2})
	for _, c := range []struct {
		name    string
		members []*subscriber
		want    string
		unlike  string // where they read different topics; "" for the same
	}{
		{"the older one first", []*subscriber{member("a", 4, tp(0), tp(1)), member("b", 5, tp(1))}, "a[t-0] b[t-1]", ""},
		{"the newer one first", []*subscriber{member("a", 5, tp(0)), member("b", 4, tp(0), tp(1))}, "a[t-0] b[t-1]", ""},
		{"one generation", []*subscriber{member("a", 5, tp(0), tp(1)), member("b", 5, tp(1))}, "a[t-0] b[]", ""},
		{"one generation, and a newer one", []*subscriber{member("a", 4, tp(0)), member("b", 4, tp(0)), member("c", 5, tp(0))}, "a[t-1] b[] c[t-0]", ""},
		{"it is another's turn", []*subscriber{member("a", 5, tp(0), tp(1)), member("b", 4, tp(1))}, "a[t-0] b[]", "a[t-1] b[]"},
	} {
		for _, extra := range []bool{false, true} {
			var members []*subscriber
			for i, s := range c.members {
				s := *s
				if extra && i == 0 {
					s.topics = []string{"none", "t"}
				}
				members = append(members, &s)
			}
			assignSticky(members, all)
			withholdOwned(members)
			want := c.want
			if extra && c.unlike != "" {
				want = c.unlike
			}
			if got := shown(members); got != want {
				t.Errorf("%s, extra topic %t: %s, want %s", c.name, extra, got, want)
			}
		}
	}
}

// mostKept is how many partitions can stay where they are in an even assignment: of each member the least of what it has and its share, and one more for as many
// as there are shares of one more.
func mostKept(members []*subscriber, owner map[wire.TopicPartition]*subscriber, partitions int) int {
	least, more := partitions/len(members), partitions%len(members)
	kept := 0
	for _, s := range members {
		n := 0
		for _, o := range owner { // unordered: a count
			if o == s {
				n++
			}
		}
		kept += min(n, least)
		if n > least && more > 0 {
			kept++
			more--
		}
	}
	return kept
}

// Goal: what members say to the sticky assignors is Kafka's, byte for byte, and read back; version 0 and rubbish do no harm.
func TestStickyUserDataIsKafkas(t *testing.T) {
	owned := []wire.TopicPartition{{Topic: "a", Partition: 1}, {Topic: "a", Partition: 3}, {Topic: "b", Partition: 0}}
	data := stickyUserData(owned, 7)
	const want = "00000002" + "000161" + "00000002" + "00000001" + "00000003" + "000162" + "00000001" + "00000000" + "00000007"
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if back, generation := parseStickyUserData(data); !slices.Equal(back, owned) || generation != 7 {
		t.Error(back, generation)
	}
	if back, generation := parseStickyUserData(data[:len(data)-4]); !slices.Equal(back, owned) || generation != -1 {
		t.Error("version 0:", back, generation)
	}
	if back, generation := parseStickyUserData([]byte{1, 2, 3}); back != nil || generation != -1 {
		t.Error("rubbish:", back, generation)
	}
	m := &Member{o: GroupOptions{Topics: []string{"b", "a"}}, owned: owned[:1], last: owned, lastIn: 5}
	for name, want := range map[string]string{
		Range:             "0002" + "00000002" + "000161" + "000162" + "ffffffff" + "00000001" + "000161" + "00000001" + "00000001" + "00000005",
		CooperativeSticky: "0002" + "00000002" + "000161" + "000162" + "00000004" + "00000005" + "00000001" + "000161" + "00000001" + "00000001" + "00000005",
	} {
		if got := hex.EncodeToString(m.subscription(name)); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
	in := kmsg.JoinGroupResponseMember{MemberID: "m", ProtocolMetadata: m.subscription(Sticky)}
	if s, err := parseSubscription(in, Sticky); err != nil || !slices.Equal(s.owned, owned) || s.generation != 5 {
		t.Errorf("%+v %v", s, err)
	}
}
