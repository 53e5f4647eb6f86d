package log

import (
	"errors"
	"fmt"
	"io"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TimestampMax asks OffsetForTimestamp for the record with the largest timestamp (ListOffsets -3, KIP-734).
const TimestampMax int64 = -3

// OffsetForTimestamp finds the first record whose timestamp is at least ts (ms), and its leader epoch. (-1, -1, -1) if
// there is none. It looks at all of the log: what is above the high watermark the caller must leave out.
//
// Errors: CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR.
//
// Source: UnifiedLog#fetchOffsetByTimestamp, LogSegment#findOffsetByTimestamp.
func (l *Log) OffsetForTimestamp(ts int64) (offset, timestamp int64, epoch int32, err error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return -1, -1, -1, err
	}
	largest := int64(-1)
	for _, g := range l.segments {
		if err := l.ensureIndexed(g); err != nil {
			return -1, -1, -1, err
		}
		largest = max(largest, g.maxTime)
		if ts != TimestampMax && g.maxTime >= ts {
			offset, timestamp, err = l.searchTime(g, ts)
			if err != nil || offset >= 0 {
				return offset, timestamp, l.EpochAt(offset), err
			}
		}
	}
	if ts != TimestampMax || largest < 0 {
		return -1, -1, -1, nil
	}
	for _, g := range l.segments {
		if g.maxTime == largest {
			offset, timestamp, err = l.searchTime(g, largest)
			if err != nil || offset >= 0 {
				return offset, timestamp, l.EpochAt(offset), err
			}
		}
	}
	return -1, -1, -1, nil
}

// Timestamps with a meaning of their own for OffsetsBefore.
const (
	TimestampLatest   int64 = -1
	TimestampEarliest int64 = -2
)

// OffsetsBefore lists up to most offsets, descending: of the segments whose newest record is not after ts (ms), the first;
// and LogEndOffset, which is now. TimestampLatest lists from the end on, TimestampEarliest the first segment's alone. It is what
// ListOffsets v0 could ask, before there were time indexes.
//
// Source: UnifiedLog#legacyFetchOffsetsBefore, which goes by when the file was changed.
func (l *Log) OffsetsBefore(ts int64, most int) ([]int64, error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	var starts []int64
	upTo := -1
	for i, g := range l.segments {
		if err := l.ensureIndexed(g); err != nil {
			return nil, err
		}
		starts = append(starts, max(g.base, l.start.Load()))
		if ts >= 0 && g.maxTime <= ts {
			upTo = i
		}
	}
	if l.active().size > 0 {
		starts = append(starts, l.leo.Load())
		if ts >= l.env.Now().UnixMilli() {
			upTo = len(starts) - 1
		}
	}
	switch ts {
	case TimestampLatest:
		upTo = len(starts) - 1
	case TimestampEarliest:
		upTo = 0
	}
	var out []int64
	for i := upTo; i >= 0 && len(out) < most; i-- {
		out = append(out, starts[i])
	}
	return out, nil
}

// searchTime walks from the place that the time index gives to the first record of at least ts. (-1, -1) if none.
//
// The time index's entry (T, o) says: up to offset o no timestamp is above T. So with T < ts, o is behind us.
func (l *Log) searchTime(g *segment, ts int64) (offset, timestamp int64, err error) {
	from := max(g.base, l.start.Load())
	e, n, err := g.times.floorKey(ts - 1)
	if err != nil {
		return -1, -1, l.fail("read time index", err)
	}
	if n >= 0 {
		from = max(from, e.value+g.base+1)
	}
	h, err := g.hintFor(from)
	if err != nil {
		return -1, -1, l.fail("read offset index", err)
	}
	s := newScanner(g.file, 0, g.size, walkWindow)
	defer s.done()
	for b, err := find(&s, g.base, h, from); ; b, err = s.header() {
		if err == io.EOF {
			return -1, -1, nil
		}
		if err == nil && b.MaxTimestamp() >= ts {
			b, err = s.batch()
			if err == nil {
				offset, timestamp, err = searchBatch(b, ts, from)
				if err == nil && offset >= 0 {
					return offset, timestamp, nil
				}
			}
		}
		switch {
		case errors.Is(err, errIndex):
			if err := g.reindex(l.interval()); err != nil {
				return -1, -1, l.fail("rebuild index", err)
			}
			l.emitIndex(g)
			return l.searchTime(g, ts)
		case err != nil && isBad(err):
			markSearchTimeCorruptMessage.Hit()
			return -1, -1, fmt.Errorf("list offsets of %s: %w: %w", l.tp, err, kerr.CorruptMessage)
		case err != nil:
			return -1, -1, l.fail("read", err)
		}
		s.next()
	}
}

// searchBatch finds the first record of at least ts, at or above offset from. (-1, -1) if none.
func searchBatch(b record.Batch, ts, from int64) (offset, timestamp int64, err error) {
	it := record.NewIterator(b, 0)
	for it.Next() {
		if r := it.Record(); r.Timestamp >= ts && r.Offset >= from {
			return r.Offset, r.Timestamp, nil
		}
	}
	if err := it.Err(); err != nil {
		markSearchBatchCorruptMessage.Hit()
		return -1, -1, fmt.Errorf("%w: %w", err, kerr.CorruptMessage)
	}
	return -1, -1, nil
}
