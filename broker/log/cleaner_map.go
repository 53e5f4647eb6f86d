package log

import (
	"crypto/sha256"
	"encoding/binary"
)

// offsetMap remembers for keys the largest offset at which they were seen. It knows a key by 128 bits of its SHA-256,
// so that an entry costs 24 bytes however long the key is, and it never takes more than it was allowed: it is full
// then. It grows as it fills.
//
// DEVIATION(KIP-58): Kafka hashes with MD5, for which two keys of one hash can be made; the older of them would vanish.
//
// Source: SkimpyOffsetMap.
type offsetMap struct {
	slots   []offsetSlot // a power of two
	count   int
	allowed int   // entries
	latest  int64 // offset up to which all was seen, -1 if nothing was
}

type offsetSlot struct {
	hash [2]uint64 // both 0: free
	at   int64
}

const (
	offsetSlotSize   = 24
	offsetSlotsLeast = 1 << 8
	// offsetFill is how full the table may be. Growing doubles it, so the bound in bytes counts two tables in that moment.
	offsetFillNumerator, offsetFillDenominator = 3, 4
)

// newOffsetMap makes a map that takes bytes of memory at most, of which load says how much may be used by entries.
func newOffsetMap(bytes int64, load float64) *offsetMap {
	if load <= 0 || load > 1 {
		load = 0.9
	}
	allowed := int(float64(bytes/offsetSlotSize) * load)
	return &offsetMap{allowed: max(allowed, 1), latest: -1}
}

// hashKey is never {0, 0}.
func hashKey(key []byte) [2]uint64 {
	sum := sha256.Sum256(key)
	h := [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	if h == ([2]uint64{}) {
		h[1] = 1
	}
	return h
}

// find is the slot of a hash, or the free one where it belongs. The table has a free slot.
func (m *offsetMap) find(h [2]uint64) *offsetSlot {
	mask := uint64(len(m.slots) - 1)
	for i := h[0] & mask; ; i = (i + 1) & mask {
		if s := &m.slots[i]; s.hash == h || s.hash == ([2]uint64{}) {
			return s
		}
	}
}

// put remembers that the key is at offset. It reports false, and remembers nothing, if the key is new and the map full.
func (m *offsetMap) put(key []byte, offset int64) bool {
	h := hashKey(key)
	if len(m.slots) > 0 {
		if s := m.find(h); s.hash == h {
			s.at = max(s.at, offset)
			return true
		}
	}
	if m.count >= m.allowed {
		return false
	}
	if m.count*offsetFillDenominator >= len(m.slots)*offsetFillNumerator {
		m.grow()
	}
	*m.find(h) = offsetSlot{h, offset}
	m.count++
	return true
}

func (m *offsetMap) grow() {
	old := m.slots
	m.slots = make([]offsetSlot, max(offsetSlotsLeast, 2*len(old)))
	for _, s := range old {
		if s.hash != ([2]uint64{}) {
			*m.find(s.hash) = s
		}
	}
}

// get is the largest offset of a key, -1 if it was not seen.
func (m *offsetMap) get(key []byte) int64 {
	if len(m.slots) == 0 {
		return -1
	}
	h := hashKey(key)
	if s := m.find(h); s.hash == h {
		return s.at
	}
	return -1
}
