package rng

import (
	"math/bits"
	"math/rand/v2"
)

// Source opens streams. It is a value without state, safe to copy and share.
type Source struct{ hi, lo uint64 }

// New makes the source of a seed. Neighbouring seeds share nothing.
func New(seed uint64) Source {
	return Source{mix(seed, saltHi), mix(seed, saltLo)}
}

// Stream opens the named stream: a PCG seeded with a 128-bit hash of the seed and the name.
func (s Source) Stream(name string) *rand.Rand {
	sub := s.Sub(name)
	return rand.New(rand.NewPCG(sub.hi, sub.lo))
}

// Sub is the source of everything below a name: Sub("a").Stream("b") is a stream of its own, not Stream("a/b").
func (s Source) Sub(name string) Source {
	return Source{hash(s.hi, name), hash(s.lo, name)}
}

// Uint64 is the first number of a name: for choices made once per seed (a policy, a fault weight).
func (s Source) Uint64(name string) uint64 { return hash(s.hi^bits.RotateLeft64(s.lo, 32), name) }

// Odd constants with about half of their bits set (from the digits of the golden ratio, pi and e).
const (
	saltHi = 0x9e3779b97f4a7c15
	saltLo = 0x243f6a8885a308d3
	step   = 0xb7e151628aed2a6b
)

// hash folds the name into h, eight bytes at a time, and its length last, so that no name is a prefix of another.
func hash(h uint64, name string) uint64 {
	n := uint64(len(name))
	for len(name) >= 8 {
		w := uint64(name[0]) | uint64(name[1])<<8 | uint64(name[2])<<16 | uint64(name[3])<<24 |
			uint64(name[4])<<32 | uint64(name[5])<<40 | uint64(name[6])<<48 | uint64(name[7])<<56
		h = mix(h, w)
		name = name[8:]
	}
	var w uint64
	for i := range len(name) {
		w |= uint64(name[i]) << (8 * i)
	}
	return mix(mix(h, w), n)
}

// mix is a keyed permutation of w: xor, then the finalizer of splitmix64 with h stirred in between.
func mix(h, w uint64) uint64 {
	x := (h ^ w) + step
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return bits.RotateLeft64(x^x>>31, 17) ^ h*saltHi
}
