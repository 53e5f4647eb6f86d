package record

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// Goal: the checksum is the standard library's, for every length around the blocks and every beginning, by every way that this processor has.
func TestCRCIsTheStandardLibrarys(t *testing.T) {
	widest := folding
	defer func() { folding = widest }()
	for folding = foldNot; folding <= widest; folding++ {
		crcIsTheStandardLibrarys(t)
	}
	t.Logf("ways up to %d", widest)
}

func crcIsTheStandardLibrarys(t *testing.T) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 70_000)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	check := func(from, to int, crc uint32) {
		t.Helper()
		if got, want := updateCRC(crc, p[from:to]), crc32.Update(crc, castagnoli, p[from:to]); got != want {
			t.Fatalf("[%d:%d] after %08x: %08x, want %08x", from, to, crc, got, want)
		}
	}
	for n := range 1200 {
		check(n%67, n%67+n, 0)
		check(n%67, n%67+foldBytesMin-600+n, r.Uint32())
	}
	for range 500 {
		from := r.IntN(len(p))
		check(from, from+r.IntN(len(p)-from+1), r.Uint32())
	}
	clear(p)
	check(0, len(p), 0)
}

func BenchmarkCRC(b *testing.B) {
	p := make([]byte, 1<<20)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			updateCRC(0, p)
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			crc32.Update(0, castagnoli, p)
		}
	})
}
