package record

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Goal: the quick way over a plain record never says anything that the careful way does not.
// Method: sound records with and without keys and headers, then with bytes changed and cut; where the quick way says yes, the careful one
// must learn the same and end at the same place. It must also say yes to plain ones, or it is of no use.
func TestQuickWalkAgreesWithTheCarefulOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	quick := 0
	for n := range 100_000 {
		var b Builder
		var headers []Header
		if n%7 == 0 {
			headers = []Header{{Key: "k", Value: []byte("v")}}
		}
		var key []byte
		if n%2 == 0 {
			key = bytes.Repeat([]byte{1}, r.IntN(100))
		}
		b.Append(int64(r.IntN(1<<r.IntN(40)+1)), key, bytes.Repeat([]byte{2}, r.IntN(300<<(n%50/7))), headers...)
		batch, err := b.Build(nil, NewBatchOptions())
		if err != nil {
			t.Fatal(err)
		}
		p := bytes.Clone(Batch(batch).RecordBytes())
		for range r.IntN(4) {
			p[r.IntN(min(len(p), 20))] = byte(r.IntN(256))
		}
		if n%3 > 0 {
			p = p[:r.IntN(len(p)+1)]
		}
		a, c := walker{buf: p}, walker{buf: p}
		got, ok := a.plainRecord()
		if !ok {
			if a.pos != 0 {
				t.Fatalf("%x: moved to %d without an answer", p, a.pos)
			}
			continue
		}
		quick++
		if want, err := c.anyRecord(); err != nil || got != want || a.pos != c.pos {
			t.Fatalf("%x: quick %+v to %d, careful %+v to %d, %v", p, got, a.pos, want, c.pos, err)
		}
	}
	if quick < 10_000 {
		t.Fatalf("only %d went the quick way", quick)
	}
}
