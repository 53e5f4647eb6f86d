package disk

import (
	"math"
	"math/rand/v2"
)

// survival decides, change by change, what of one file's unsynced log a power loss leaves.
//
// The changes before whole survive. The change at whole is torn: a leading part of its sectors survives. Of those
// behind it each sector survives with a chance of oneIn8 in 8.
type survival struct {
	r      *rand.Rand
	whole  int
	tear   bool
	oneIn8 int
	// zeroTail: sizes grow although the data behind them is lost, as on XFS after a crash.
	zeroTail bool
	// limit bounds what can survive behind a truncation that was lost: its blocks were not given back yet, so nothing
	// written there since can have reached the device.
	limit int64
	lossy bool
	// chosen, if set, decides instead of chance: for each sector of each write, for each truncation, and, asked once and first,
	// for zeroTail.
	chosen func() bool
}

func newSurvival(keep Keep, changes int, r *rand.Rand) *survival {
	s := &survival{r: r, limit: math.MaxInt64}
	switch keep {
	case KeepNone:
		return s
	case KeepAll:
		s.whole = changes
		return s
	}
	switch r.IntN(8) {
	case 0, 1: // nothing
	case 2:
		s.whole = changes
	case 3, 4, 5:
		s.whole = r.IntN(changes + 1)
		s.tear = true
	default:
		s.oneIn8 = 1 + r.IntN(7)
		s.whole = r.IntN(changes + 1)
		if r.IntN(2) == 0 {
			s.whole = 0
		}
	}
	s.zeroTail = r.IntN(4) == 0
	return s
}

// apply redoes on c what survives of a change; data is what it wrote. It returns how many bytes did not survive.
func (s *survival) apply(c *content, ch *change, index int, data []byte) (lost int64) {
	if index < s.whole {
		if ch.truncation() {
			c.truncate(ch.off)
		} else {
			c.writeAt(data, ch.off)
		}
		return 0
	}
	if ch.truncation() {
		return s.applyTruncation(c, ch)
	}
	torn := s.tear && index == s.whole
	left := 0
	if s.chosen != nil {
		torn = s.zeroTail // for the size, below
	} else if torn {
		left = s.r.IntN(len(data)/sectorSize + 1)
	}
	for start := 0; start < len(data); {
		// Up to the next sector boundary of the device, which the file's offsets share.
		end := min(len(data), start+sectorSize-int((ch.off+int64(start))%sectorSize))
		kept := s.chosen == nil && torn && left > 0 || (s.oneIn8 > 0 && s.r.IntN(8) < s.oneIn8)
		left--
		if s.chosen != nil {
			kept = s.chosen()
		}
		if kept && ch.off+int64(end) <= s.limit {
			c.writeAt(data[start:end], ch.off+int64(start))
		} else {
			lost += int64(end - start)
		}
		start = end
	}
	if end := ch.off + ch.n; s.zeroTail && (torn || s.oneIn8 > 0) && end <= s.limit && end > c.size {
		c.truncate(end)
	}
	s.lossy = s.lossy || lost > 0
	return lost
}

// applyTruncation keeps or loses a change of size. Once one is lost, so is every later one: they are metadata, and the
// journal keeps their order.
func (s *survival) applyTruncation(c *content, ch *change) int64 {
	if s.chosen != nil && s.chosen() && s.limit == math.MaxInt64 {
		c.truncate(ch.off)
		return 0
	}
	if s.limit == math.MaxInt64 && s.oneIn8 > 0 && s.r.IntN(8) < s.oneIn8 {
		c.truncate(ch.off)
		return 0
	}
	s.limit = min(s.limit, ch.off, ch.size)
	s.lossy = true
	return 0
}
