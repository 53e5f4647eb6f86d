package log

import (
	"errors"
	"io"
	"path"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// evRenewed tells that the messages of magic 0 and 1 in a segment have become batches.
var evRenewed = env.NewKind("log-segment-renewed", env.Info, "base", "bytes", "bytes-before")

// renew makes batches of the messages of magic 0 and 1 in the log's segments, which Kafka's brokers, in the versions before 0.11 or by
// log.message.format.version, have written: we read nothing older than batches. Every record keeps its offset. It reports whether it changed
// anything. It is for directories that somebody else has written, as it looks into every segment; in ours there are none.
//
// DEVIATION(KIP-98): Kafka reads them as they are. In a directory of ours, where nobody looks for them, a log that holds some is not opened.
//
// A segment takes another's place as a compacted one does, so that a crash leaves the old one or the new. What cannot be read is copied as it is,
// and all that is behind it: recovery, or whoever reads it, says what he makes of that.
func (l *Log) renew(names []string) (changed bool, err error) {
	for _, name := range names {
		base, suffix, ok := parseFileName(name)
		if !ok || suffix != suffixLog {
			continue
		}
		old, err := l.env.Open(path.Join(l.path, name), env.ReadOnly)
		if err != nil {
			return changed, err
		}
		s := swap{fs: l.env, dir: l.path, base: base}
		done, err := l.renewSegment(old, s)
		if cerr := old.Close(); err == nil {
			err = cerr
		}
		if err == nil && done {
			changed = true
			if err = s.commit(false); err == nil {
				err = s.complete(nil, true)
			}
		}
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// renewSegment writes what is to take the segment's place, durably; false if it begins with a batch, and so holds nothing old.
func (l *Log) renewSegment(old env.File, s swap) (done bool, err error) {
	size, err := old.Size()
	if err != nil {
		return false, err
	}
	in := window{file: old, end: size}
	if head, err := in.at(0, record.LogOverhead+16); err != nil || !record.IsOld(head) {
		return false, err
	}
	name := s.name(suffixLog + suffixCleaned)
	out, err := l.env.Open(name, env.Create)
	if err != nil {
		return false, err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	if err := out.Truncate(0); err != nil {
		return false, err
	}
	to := int64(0)
	for pos := int64(0); pos < size; {
		data, n, err := in.renewed(pos)
		if err != nil {
			return false, err
		}
		if _, err := out.WriteAt(data, to); err != nil {
			return false, err
		}
		pos, to = pos+n, to+int64(len(data))
	}
	if err := out.Sync(); err != nil {
		return false, err
	}
	l.env.Emit(env.Event{Kind: evRenewed, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{s.base, to, size}})
	return true, nil
}

// window is the part of a file that is in memory.
type window struct {
	file env.File
	end  int64
	pos  int64
	buf  []byte
	out  []byte
	torn bool // something was met that cannot be read
}

// at returns n bytes from pos on, or what there is. They are valid until the next call.
func (w *window) at(pos, n int64) ([]byte, error) {
	n = min(n, w.end-pos)
	if pos < w.pos || pos+n > w.pos+int64(len(w.buf)) {
		size := min(max(n, recoverWindow), w.end-pos)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.pos, w.buf = pos, w.buf[:size]
		if _, err := w.file.ReadAt(w.buf, pos); err != nil && !errors.Is(err, io.EOF) {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[pos-w.pos : pos-w.pos+n], nil
}

// renewed is what stands for the n bytes from pos on: a batch, or they themselves.
func (w *window) renewed(pos int64) (data []byte, n int64, err error) {
	if w.torn {
		data, err = w.at(pos, recoverWindow)
		return data, int64(len(data)), err
	}
	head, err := w.at(pos, record.HeaderSize)
	if err != nil {
		return nil, 0, err
	}
	size, err := record.Size(head)
	if record.IsOld(head) {
		size, err = record.OldSize(head)
	}
	if err != nil || size > w.end-pos {
		w.torn = true
		return w.renewed(pos)
	}
	if data, err = w.at(pos, size); err != nil || !record.IsOld(data) {
		return data, size, err
	}
	if data, err = w.at(pos, w.pos+int64(len(w.buf))-pos); err != nil { // with what is there of the next ones
		return nil, 0, err
	}
	out, taken, err := record.Renew(w.out[:0], data)
	if err != nil {
		w.torn = true
		return w.renewed(pos)
	}
	w.out = out
	return out, int64(taken), nil
}
