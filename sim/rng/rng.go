package rng

import (
	"math/bits"
	"math/rand/v2"
)

// Source opens streams. It is a value without state, safe to copy and share.
type Source struct {
	hi, lo uint64
	opened *opened // nil: streams are not remembered
}

// opened remembers every stream of a source, in order, to redraw them all.
type opened struct {
	streams []*rand.PCG
	salt    uint64 // stirred into streams opened from now on; 0 for none
}

// Remembering is the source with a memory of its streams and those of its Subs, for Redraw. It gives the same numbers.
func (s Source) Remembering() Source {
	s.opened = &opened{}
	return s
}

// Redraw gives every stream that was opened, and all that will be, other numbers from now on. Only a Remembering source
// can.
func (s Source) Redraw(salt uint64) {
	s.opened.salt = salt
	for i, p := range s.opened.streams {
		p.Seed(mix(salt, uint64(i)+saltHi), mix(salt, uint64(i)+saltLo))
	}
}

// New makes the source of a seed. Neighbouring seeds share nothing.
func New(seed uint64) Source {
	return Source{hi: mix(seed, saltHi), lo: mix(seed, saltLo)}
}

// Stream opens the named stream: a PCG seeded with a 128-bit hash of the seed and the name.
func (s Source) Stream(name string) *rand.Rand {
	sub := s.Sub(name)
	if s.opened == nil {
		return rand.New(rand.NewPCG(sub.hi, sub.lo))
	}
	if salt := s.opened.salt; salt != 0 {
		sub.hi, sub.lo = mix(sub.hi, salt), mix(sub.lo, salt)
	}
	p := rand.NewPCG(sub.hi, sub.lo)
	s.opened.streams = append(s.opened.streams, p)
	return rand.New(p)
}

// Sub is the source of everything below a name: Sub("a").Stream("b") is a stream of its own, not Stream("a/b").
func (s Source) Sub(name string) Source {
	return Source{hash(s.hi, name), hash(s.lo, name), s.opened}
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
