package purgatory

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The example in wheel.go, step by step.
func TestWheelWorkedExample(t *testing.T) {
	w := newWheel(3, 0)
	two, five, fourteen := &entry{at: 2}, &entry{at: 5}, &entry{at: 14}
	for _, e := range []*entry{two, five, fourteen} {
		if !w.add(e) {
			t.Fatalf("entry for %d expired at once", e.at)
		}
	}
	second := w.first.overflow
	third := second.overflow
	if two.bucket != &w.first.buckets[2] || five.bucket != &second.buckets[1] || fourteen.bucket != &third.buckets[1] {
		t.Fatal("not in [2,2], [3,5] and [9,17]")
	}
	var fired []int64
	step := func(tick int64) {
		w.advance(tick, func(e *entry) { fired = append(fired, e.at) })
	}
	step(3)
	if five.bucket != &w.first.buckets[2] { // [5,5], the third of [3,3] [4,4] [5,5]
		t.Fatal("not in [5,5] at tick 3")
	}
	step(9)
	if fourteen.bucket != &second.buckets[1] {
		t.Fatal("not in [12,14] at tick 9")
	}
	step(13)
	if fourteen.bucket != &w.first.buckets[2] {
		t.Fatal("not in [14,14] at tick 12")
	}
	step(14)
	if !slices.Equal(fired, []int64{2, 5, 14}) {
		t.Fatalf("fired %v", fired)
	}
	if _, ok := w.next(); ok || w.n != 0 {
		t.Fatal("the wheel is not empty")
	}
}

// Random additions, removals and advances against a plain list: every entry fires at the first advance that reaches its
// tick, never before, in the order of ticks, and next never oversleeps.
func TestWheelAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 1000).Draw(t, "start")
		w := newWheel(rapid.IntRange(2, 20).Draw(t, "size"), start)
		now := start
		var model []*entry
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				reach := rapid.SampledFrom([]int64{3, 30, 1000, 1 << 20, 1 << 40}).Draw(t, "reach")
				e := &entry{at: now + rapid.Int64Range(-2, reach).Draw(t, "after")}
				if added := w.add(e); added != (e.at > now) {
					t.Fatalf("add(%d) at %d: %v", e.at, now, added)
				} else if added {
					model = append(model, e)
				}
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				w.remove(model[i])
				model = slices.Delete(model, i, i+1)
			},
			"advance": func(t *rapid.T) {
				now += rapid.Int64Range(0, rapid.SampledFrom([]int64{2, 25, 5000, 1 << 30}).Draw(t, "reach")).Draw(t, "by")
				var fired []int64
				w.advance(now, func(e *entry) { fired = append(fired, e.at) })
				var want []int64
				model = slices.DeleteFunc(model, func(e *entry) bool {
					if e.at <= now {
						want = append(want, e.at)
					}
					return e.at <= now
				})
				slices.Sort(want)
				if !slices.Equal(fired, want) {
					t.Fatalf("at %d fired %v, want %v", now, fired, want)
				}
			},
			"": func(t *rapid.T) {
				if w.n != len(model) {
					t.Fatalf("%d entries, want %d", w.n, len(model))
				}
				next, ok := w.next()
				if ok != (len(model) > 0) {
					t.Fatalf("next says %v with %d entries", ok, len(model))
				}
				for _, e := range model {
					if next > e.at || next <= now {
						t.Fatalf("at %d the next look is at %d, with an entry for %d", now, next, e.at)
					}
				}
			},
		})
	})
}

func BenchmarkWheelAddRemove(b *testing.B) {
	w := newWheel(wheelSize, 0)
	r := rand.New(rand.NewPCG(1, 1))
	e := &entry{}
	for b.Loop() {
		e.at = 1 + r.Int64N(30000)
		w.add(e)
		w.remove(e)
	}
}
