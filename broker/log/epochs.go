package log

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// EpochEntry is a leader epoch and the offset of the first record that its leader wrote, or would have.
type EpochEntry struct {
	Epoch       int32
	StartOffset int64
}

// epochs are the leader epochs of a log, ascending in both fields: INV-EPOCHS-ASCEND. The slice is never changed, only
// replaced, so that it can be read without a lock.
//
//	epochs {0,0} {2,10} {5,17}, log end 20
//	endOffset(5) = 5,20   endOffset(4) = 2,17   endOffset(1) = 0,10   endOffset(6) = -1,-1
//
// Source: LeaderEpochFileCache. KIP-101, KIP-279.
type epochs []EpochEntry

// latest is the last epoch, -1 if there is none.
func (e epochs) latest() int32 {
	if len(e) == 0 {
		return -1
	}
	return e[len(e)-1].Epoch
}

// assign records that an epoch begins at an offset. It replaces those which that proves wrong: later epochs, and
// epochs that begin at or behind it. changed is false when the epoch is known already.
//
// Source: LeaderEpochFileCache#assign, #isUpdateNeeded, #maybeTruncateNonMonotonicEntries.
func (e epochs) assign(epoch int32, start int64) (out epochs, changed bool) {
	if n := len(e); n > 0 && e[n-1].Epoch == epoch && start >= e[n-1].StartOffset {
		return e, false
	}
	keep := len(e)
	for keep > 0 && (e[keep-1].Epoch >= epoch || e[keep-1].StartOffset >= start) {
		keep--
	}
	return append(slices.Clone(e[:keep]), EpochEntry{epoch, start}), true
}

// truncateEnd removes the epochs that begin at or behind end (#truncateFromEnd).
func (e epochs) truncateEnd(end int64) (out epochs, changed bool) {
	keep := len(e)
	for keep > 0 && e[keep-1].StartOffset >= end {
		keep--
	}
	return e[:keep:keep], keep < len(e)
}

// truncateStart removes the epochs that ended at or below start; the one that holds it begins there now
// (#truncateFromStart).
func (e epochs) truncateStart(start int64) (out epochs, changed bool) {
	below := 0
	for below < len(e) && e[below].StartOffset <= start {
		below++
	}
	if below == 0 || below == 1 && e[0].StartOffset == start {
		return e, false
	}
	out = slices.Clone(e[below-1:])
	out[0].StartOffset = start
	return out, true
}

// endOffset is LeaderEpochFileCache#endOffsetFor: the largest epoch not above the asked one, and where it ended.
// (-1, -1) when the asked one is undefined or above all we know. When all we know are above it, the asked epoch and
// the start of the first: what was before is gone, and a follower may go on from there.
func (e epochs) endOffset(asked int32, logEnd int64) (epoch int32, end int64) {
	if asked < 0 || len(e) == 0 {
		return -1, -1
	}
	if asked == e.latest() {
		return asked, logEnd
	}
	higher := 0
	for higher < len(e) && e[higher].Epoch <= asked {
		higher++
	}
	switch {
	case higher == len(e):
		return -1, -1
	case higher == 0:
		return asked, e[0].StartOffset
	default:
		return e[higher-1].Epoch, e[higher].StartOffset
	}
}

// at is the epoch of the record at offset, -1 if no epoch holds it (#epochForOffset).
func (e epochs) at(offset int64) int32 {
	epoch := int32(-1)
	for _, entry := range e {
		if entry.StartOffset > offset {
			break
		}
		epoch = entry.Epoch
	}
	return epoch
}

// encode is the text of leader-epoch-checkpoint: version, count, "epoch startOffset" lines (LeaderEpochCheckpointFile).
func (e epochs) encode() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "0\n%d\n", len(e))
	for _, entry := range e {
		fmt.Fprintf(&b, "%d %d\n", entry.Epoch, entry.StartOffset)
	}
	return []byte(b.String())
}

func parseEpochs(data []byte) (epochs, error) {
	lines, err := checkpointLines(data)
	if err != nil {
		return nil, err
	}
	var out epochs
	for _, line := range lines {
		first, second, ok := strings.Cut(line, " ")
		epoch, err1 := strconv.ParseInt(first, 10, 32)
		start, err2 := strconv.ParseInt(second, 10, 64)
		if !ok || err1 != nil || err2 != nil || epoch < 0 || start < 0 {
			return nil, fmt.Errorf("line %q is not an epoch and an offset", line)
		}
		if n := len(out); n > 0 && (int32(epoch) <= out[n-1].Epoch || start < out[n-1].StartOffset) {
			return nil, fmt.Errorf("epoch %d at %d does not follow epoch %d at %d", epoch, start, out[n-1].Epoch, out[n-1].StartOffset)
		}
		out = append(out, EpochEntry{int32(epoch), start})
	}
	return out, nil
}
