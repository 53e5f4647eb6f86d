package disk

import "math"

// Units is how many decisions PowerLossChosen asks for now: one for each unsynced directory operation; and for each file that is
// not clean one whether its size grows although data is lost, one for each truncation, and one for each sector of each write.
func (d *Disk) Units() int {
	n := len(d.ops)
	for _, ino := range d.dirty {
		n++
		for i := range ino.log {
			n += ino.log[i].units()
		}
	}
	return n
}

func (ch *change) units() int {
	switch {
	case ch.truncation():
		return 1
	case ch.n == 0:
		return 0
	}
	return int((ch.off+ch.n-1)/sectorSize-ch.off/sectorSize) + 1
}

// PowerLossChosen is PowerLoss with everything decided by the caller, so that every state that a power loss can leave may be
// looked at: survives is asked Units times, always in the same order. What a decision cannot mean, because an earlier one says
// otherwise (a directory's operations survive in their order, as do a file's truncations), counts as a loss.
func (d *Disk) PowerLossChosen(survives func() bool) Loss {
	return d.losePower(func() int { return d.loseOps(KeepNone, nil, survives) }, func(ino *inode) (int64, bool) {
		return ino.loseBy(&survival{limit: math.MaxInt64, zeroTail: survives(), chosen: survives})
	})
}
