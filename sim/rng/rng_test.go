package rng_test

import (
	"fmt"
	"math/bits"
	"testing"

	"barnabas/sim/rng"
)

// Goal: a stream depends on seed and name alone. Method: open twice, and count equal first numbers over many names.
func TestStreamsAreNamedAndIndependent(t *testing.T) {
	a, b := rng.New(7).Stream("disk/2"), rng.New(7).Stream("disk/2")
	for range 100 {
		if x, y := a.Uint64(), b.Uint64(); x != y {
			t.Fatalf("the same stream gave %d and %d", x, y)
		}
	}
	seen := map[uint64]string{}
	for seed := range uint64(100) {
		for i := range 100 {
			name := fmt.Sprintf("node/%d", i)
			v := rng.New(seed).Stream(name).Uint64()
			if other, dup := seen[v]; dup {
				t.Fatalf("%s of seed %d starts like %s", name, seed, other)
			}
			seen[v] = fmt.Sprintf("%s of seed %d", name, seed)
		}
	}
	if rng.New(1).Stream("a/b").Uint64() == rng.New(1).Sub("a").Stream("b").Uint64() {
		t.Error("a sub-source's stream equals a stream of the whole name")
	}
}

// Goal: neighbouring seeds and names give unrelated numbers. Method: the mean Hamming distance is near 32 bits.
func TestNeighboursDifferInHalfOfTheirBits(t *testing.T) {
	var sum, n int
	for seed := range uint64(1000) {
		a, b := rng.New(seed), rng.New(seed+1)
		sum += bits.OnesCount64(a.Uint64("x") ^ b.Uint64("x"))
		sum += bits.OnesCount64(a.Uint64("x") ^ a.Uint64("y"))
		sum += bits.OnesCount64(a.Stream("x").Uint64() ^ b.Stream("x").Uint64())
		n += 3
	}
	if mean := float64(sum) / float64(n); mean < 31 || mean > 33 {
		t.Errorf("mean distance %.2f bits, want about 32", mean)
	}
}
