package scenarios

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// differentRecords compares the records of two replicas of a compacted log. The one may hold what the other's cleaner has taken, but at an
// offset that both have there must be the same record, of the same leader and producer. It returns the first that is not, in words, or "".
func (r *realRun) differentRecords(a, b map[string]string) string {
	first, err := r.records(a)
	if err != nil {
		return err.Error()
	}
	second, err := r.records(b)
	if err != nil {
		return err.Error()
	}
	offsets := make([]int64, 0, len(first))
	for offset := range first { // unordered: sorted below
		offsets = append(offsets, offset)
	}
	slices.Sort(offsets)
	for _, offset := range offsets {
		if other, both := second[offset]; both && other != first[offset] {
			return fmt.Sprintf("offset %d is [%s] and [%s]", offset, first[offset], other)
		}
	}
	return ""
}

// records reads the segments of a replica: what stands at each offset, in words. A segment that is gone meanwhile, or ends in the middle of
// a batch because it is being written, holds what there is.
func (r *realRun) records(segments map[string]string) (map[int64]string, error) {
	all := map[int64]string{}
	for _, name := range sortedKeys(segments) {
		data, err := r.readFile(segments[name])
		if err != nil {
			continue
		}
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if errors.Is(err, record.ErrPartial) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s, %d bytes before its end: %w", segments[name], len(data), err)
			}
			data = rest
			it := record.NewIterator(b, 0)
			for it.Next() {
				rec := it.Record()
				all[rec.Offset] = fmt.Sprintf("epoch %d, producer %d epoch %d, control %t, time %d, key %s, value %s, headers %q",
					b.LeaderEpoch(), b.ProducerID(), b.ProducerEpoch(), b.IsControl(), rec.Timestamp, orNull(rec.Key), orNull(rec.Value), rec.Headers)
			}
			if err := it.Err(); err != nil {
				return nil, fmt.Errorf("%s, the batch at offset %d: %w", segments[name], b.BaseOffset(), err)
			}
		}
	}
	return all, nil
}

// orNull is a key or value in words: there is nothing, and there is an empty one.
func orNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

// readFile reads a whole file.
func (r *realRun) readFile(name string) ([]byte, error) {
	f, err := r.e.Open(name, env.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, int64(len(data)))
		data = append(data, buf[:n]...)
		switch {
		case errors.Is(err, io.EOF), err == nil && n == 0:
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}
