package trace_test

import (
	"strings"
	"testing"

	"barnabas/broker/env"
	"barnabas/sim/trace"
)

var kind = env.NewKind("thing", env.Info, "a", "b")

func fill(l *trace.Log, n int, odd int) {
	for i := range n {
		v := int64(i)
		if i == odd {
			v = -1
		}
		if i%3 == 0 {
			l.Add(env.Instant(i), trace.Emit, "b1", "main", env.Event{Kind: kind, V: [4]int64{v, 1}, Text: "words of it"})
		} else {
			l.Choice(env.Instant(i), "b1", "main", uint64(v))
		}
	}
}

// Goal: the hash tells every field of every event. Method: change one at a time.
func TestHashSeesEveryField(t *testing.T) {
	base := func() (env.Instant, trace.What, string, string, env.Event) {
		return 5, trace.Emit, "b1", "main", env.Event{Kind: kind, Topic: "t", Partition: 1, V: [4]int64{1, 2}, Text: "abcdefghij"}
	}
	seen := map[uint64]int{}
	for i := range 10 {
		at, what, node, task, ev := base()
		switch i {
		case 1:
			at++
		case 2:
			what = trace.Net
		case 3:
			node = "b2"
		case 4:
			task = "mai"
		case 5:
			ev.Topic = "u"
		case 6:
			ev.Partition++
		case 7:
			ev.V[1]++
		case 8:
			ev.Text = "abcdefghik"
		case 9:
			ev.Kind = env.NewKind("thinh", env.Info, "a", "b")
		}
		l := trace.New(trace.Options{})
		l.Add(at, what, node, task, ev)
		if other, dup := seen[l.Hash()]; dup {
			t.Errorf("variants %d and %d have one hash", other, i)
		}
		seen[l.Hash()] = i
	}
}

// Goal: FirstDiff names the event that differs, also from bounded records. Method: two logs, one event changed.
func TestFirstDiffNamesTheEvent(t *testing.T) {
	for _, o := range []trace.Options{{Last: 10000}, {Last: 200}, {From: 850, Count: 100}} {
		a, b, c := trace.New(o), trace.New(o), trace.New(trace.Options{})
		fill(a, 1000, 900)
		fill(b, 1000, -1)
		fill(c, 1000, -1)
		if a.Hash() == b.Hash() || b.Hash() != c.Hash() {
			t.Error("hashes: want a different one for different events, and the same with and without recording")
		}
		d := trace.FirstDiff(a.Entries(), b.Entries())
		if !strings.HasPrefix(d, "event 900 differs") || !strings.Contains(d, "thing a=-1 b=1: words of it") {
			t.Errorf("%+v: %s", o, d)
		}
		if d := trace.FirstDiff(b.Entries(), b.Entries()); d != "" {
			t.Errorf("equal records differ: %s", d)
		}
	}
}

// Goal: marks narrow a difference in a long run down to one interval.
func TestFirstMarkFindsTheInterval(t *testing.T) {
	a, b := trace.New(trace.Options{}), trace.New(trace.Options{})
	fill(a, 5*trace.MarkEvery, 3*trace.MarkEvery+7)
	fill(b, 5*trace.MarkEvery, -1)
	if got := trace.FirstMark(a.Marks(), b.Marks()); got != 3*trace.MarkEvery {
		t.Errorf("first mark %d, want %d", got, 3*trace.MarkEvery)
	}
}

func BenchmarkChoice(b *testing.B) {
	l := trace.New(trace.Options{})
	for i := range b.N {
		l.Choice(env.Instant(i), "b1", "main", 7)
	}
}

func BenchmarkEmit(b *testing.B) {
	l := trace.New(trace.Options{})
	for i := range b.N {
		l.Add(env.Instant(i), trace.Emit, "b1", "main", env.Event{Kind: kind, Topic: "topic", V: [4]int64{1, 2}, Text: "some words"})
	}
}
