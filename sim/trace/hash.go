package trace

const (
	seedHash = 0xb7e151628aed2a6b
	factor   = 0x9e3779b97f4a7c15
)

// fold stirs a word into the hash: xor, multiply by an odd constant, and bring the high half down. For a given word it
// is a permutation of the hash, so a difference once in the hash never gets lost by what follows.
func fold(h, w uint64) uint64 {
	h = (h ^ w) * factor
	return h ^ h>>32
}

// foldString folds a string eight bytes at a time, its length last.
func foldString(h uint64, s string) uint64 {
	n := uint64(len(s))
	for len(s) >= 8 {
		h = fold(h, uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|
			uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56)
		s = s[8:]
	}
	var w uint64
	for i := range len(s) {
		w |= uint64(s[i]) << (8 * i)
	}
	return fold(h, w^n<<56)
}
