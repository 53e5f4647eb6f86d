package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"barnabas/broker/assert"
	"barnabas/broker/env"
)

const suffixTxn = ".txnindex"

// AbortedTxn is an aborted transaction of a partition: what a consumer with isolation read_committed must leave out.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64 // of its first record
	LastOffset       int64 // of its marker
	LastStableOffset int64 // once its marker was written: no entry behind it begins below
}

// txnIndex is the .txnindex file of a segment: the aborted transactions whose markers are in it, by their markers'
// offsets, 34 bytes each:
//
//	version int16 = 0 | producer id int64 | first offset int64 | last offset int64 | last stable offset int64
//
// There is no file as long as there is no entry. It cannot be made again from the segment alone, because a transaction
// may begin in an earlier one; so it is synced before the recovery point passes its entries, and recovery makes those
// behind the recovery point again while it replays the producers. Not safe for concurrent use.
//
// Source: TransactionIndex, AbortedTxn.
type txnIndex struct {
	fs      env.FS
	name    string
	base    int64 // of the segment
	loaded  bool
	entries []AbortedTxn
	written atomic.Int64 // counts changes
	durable atomic.Int64 // of them, those that a sync that is over has covered
	made    atomic.Bool  // the file was created since the last sync
}

const (
	txnEntrySize = 34
	txnVersion   = 0
)

func newTxnIndex(fs env.FS, name string, base int64) *txnIndex {
	return &txnIndex{fs: fs, name: name, base: base}
}

// load reads the file, if that was not done. Errors: errIndex when it makes no sense, in which case the entries before
// the first that does not are there; those of the disk.
func (x *txnIndex) load() error {
	if x.loaded {
		return nil
	}
	x.entries = x.entries[:0]
	data, err := env.ReadFile(x.fs, x.name, 1<<30)
	if errors.Is(err, env.ErrNotExist) {
		x.loaded = true
		return nil
	}
	if err != nil {
		return err
	}
	for ; len(data) >= txnEntrySize; data = data[txnEntrySize:] {
		t, err := parseTxn(data)
		if n := len(x.entries); err == nil && (t.LastOffset < x.base || t.FirstOffset > t.LastOffset || t.FirstOffset < 0 || n > 0 && t.LastOffset <= x.entries[n-1].LastOffset) {
			err = errIndex
		}
		if err != nil {
			return fmt.Errorf("%s: entry %d is %+v: %w", x.name, len(x.entries), t, err)
		}
		x.entries = append(x.entries, t)
	}
	if len(data) > 0 {
		return fmt.Errorf("%s: %d bytes behind entry %d: %w", x.name, len(data), len(x.entries), errIndex)
	}
	x.loaded = true
	return nil
}

func parseTxn(p []byte) (AbortedTxn, error) {
	be := binary.BigEndian
	t := AbortedTxn{int64(be.Uint64(p[2:])), int64(be.Uint64(p[10:])), int64(be.Uint64(p[18:])), int64(be.Uint64(p[26:]))}
	if v := be.Uint16(p); v != txnVersion {
		return t, fmt.Errorf("version %d: %w", v, errIndex)
	}
	return t, nil
}

func (t AbortedTxn) encode(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, txnVersion)
	dst = be.AppendUint64(dst, uint64(t.ProducerID))
	dst = be.AppendUint64(dst, uint64(t.FirstOffset))
	dst = be.AppendUint64(dst, uint64(t.LastOffset))
	return be.AppendUint64(dst, uint64(t.LastStableOffset))
}

// append adds an entry and writes it.
func (x *txnIndex) append(t AbortedTxn) error {
	if err := x.load(); err != nil {
		return err
	}
	if n := len(x.entries); n > 0 {
		assert.That(t.LastOffset > x.entries[n-1].LastOffset, "INV-TXNINDEX-ASCENDS: %s: %+v after %+v", x.name, t, x.entries[n-1])
	}
	f, err := x.fs.Open(x.name, env.Create)
	if err != nil {
		return err
	}
	at := int64(len(x.entries) * txnEntrySize)
	if at == 0 {
		x.made.Store(true)
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(t.encode(nil), at)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		x.entries = append(x.entries, t)
		x.written.Add(1)
	}
	return err
}

// truncate keeps the entries whose markers are below offset, and forgets what makes no sense. It is made durable with
// the next sync.
func (x *txnIndex) truncate(offset int64) error {
	err := x.load()
	damaged := errors.Is(err, errIndex)
	if err != nil && !damaged {
		return err
	}
	keep := slices.IndexFunc(x.entries, func(t AbortedTxn) bool { return t.LastOffset >= offset })
	if keep < 0 {
		keep = len(x.entries)
	}
	if keep == len(x.entries) && !damaged {
		return nil
	}
	f, err := x.fs.Open(x.name, env.Create)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(keep * txnEntrySize))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	x.entries, x.loaded = x.entries[:keep], true
	x.written.Add(1)
	return err
}

// sync makes the entries durable, with the file's name. Appends may go on meanwhile, and so may another sync: each
// returns only when what was written before it began is durable, whoever did that.
func (x *txnIndex) sync(dir string) error {
	written := x.written.Load()
	if x.durable.Load() >= written {
		return nil
	}
	made := x.made.Load()
	f, err := x.fs.Open(x.name, env.ReadWrite)
	if errors.Is(err, env.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && made {
		if err = x.fs.SyncDir(dir); err == nil {
			x.made.Store(false)
		}
	}
	for before := x.durable.Load(); err == nil && before < written && !x.durable.CompareAndSwap(before, written); {
		before = x.durable.Load()
	}
	return err
}

// AbortedTransactions lists the aborted transactions that reach into what was read: those with a record at or above
// offset, where the read began, and one below the end of s. In the order of their markers.
//
// Errors: KAFKA_STORAGE_ERROR.
//
// Source: UnifiedLog#collectAbortedTransactions, LocalLog#addAbortedTransactions.
func (l *Log) AbortedTransactions(s Slice, offset int64) ([]AbortedTxn, error) {
	if s.Len == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	upper, err := l.sliceEnd(s)
	if err != nil {
		return nil, err
	}
	return l.abortedIn(offset, upper)
}

// abortedIn lists the aborted transactions that have an offset in [from, upper).
func (l *Log) abortedIn(from, upper int64) ([]AbortedTxn, error) {
	var out []AbortedTxn
	for _, g := range l.segments[l.segmentFor(from):] {
		if err := l.ensureAborted(g); err != nil {
			return nil, err
		}
		for _, t := range g.aborted.entries {
			if t.LastOffset >= from && t.FirstOffset < upper {
				out = append(out, t)
			}
			if t.LastStableOffset >= upper {
				return out, nil
			}
		}
	}
	return out, nil
}

// ensureAborted loads a segment's transaction index. One that was damaged since it was opened is made again.
func (l *Log) ensureAborted(g *segment) error {
	err := g.aborted.load()
	if errors.Is(err, errIndex) {
		l.emitIndex(g)
		return l.rebuildAborted(g.base)
	}
	return l.wrapIO("read transaction index", err)
}

// sliceEnd is the offset behind a slice's last batch. Truncated meanwhile: what the batches that remain say.
func (l *Log) sliceEnd(s Slice) (int64, error) {
	g, from, last := s.segment, s.Pos, s.Pos+int64(s.Len)-1
	for _, own := range l.segments {
		if own == g { // or it was replaced by a compacted one, and so was the file of its index
			h, err := g.hintBelow(last)
			if err != nil {
				return 0, l.fail("read offset index", err)
			}
			from = max(from, h.pos)
		}
	}
	end := g.base
	scan := newScanner(g.file, from, s.Pos+int64(s.Len), walkWindow)
	defer scan.done()
	for ; ; scan.next() {
		b, err := scan.header()
		if err != nil {
			return end, nil // the end, or it was cut: then the slice's holder will see that too
		}
		end = b.NextOffset()
	}
}

// rebuildAborted makes the transaction indexes new from offset on: their entries from there on go, and the batches tell
// them again, with the producers' state replayed from the newest snapshot at or below offset. The producers' state is
// that of the log's end afterwards.
func (l *Log) rebuildAborted(from int64) error {
	return l.reloadProducers(l.end, from)
}

// cutAborted drops the entries of markers at or above offset.
func (l *Log) cutAborted(offset int64) error {
	for _, g := range l.segments[l.segmentFor(offset):] {
		if err := g.aborted.truncate(offset); err != nil {
			return l.wrapIO("truncate transaction index", err)
		}
	}
	return nil
}

// noteAborted writes the index entries of aborted transactions whose markers are in the log now.
func (l *Log) noteAborted(done []AbortedTxn) error {
	for _, t := range done {
		g := l.segments[l.segmentFor(t.LastOffset)]
		if err := l.ensureAborted(g); err != nil {
			return err
		}
		if n := len(g.aborted.entries); n > 0 && g.aborted.entries[n-1].LastOffset >= t.LastOffset {
			continue // it was made again just now
		}
		if err := g.aborted.append(t); err != nil {
			return l.fail("write transaction index", err)
		}
	}
	return nil
}

// checkAborted looks at all transaction indexes when the log is opened, and returns the offset from which they must be
// made again; ok is true if they need not.
func (l *Log) checkAborted(names []string) (from int64, ok bool, err error) {
	for _, name := range names {
		base, suffix, isFile := parseFileName(name)
		if !isFile || suffix != suffixTxn {
			continue
		}
		g := l.segments[l.segmentFor(base)]
		if g.base != base {
			continue
		}
		err := g.aborted.load()
		if n := len(g.aborted.entries); err == nil && n > 0 && g.aborted.entries[n-1].LastOffset >= l.end {
			err = errIndex
		}
		if errors.Is(err, errIndex) {
			l.emitIndex(g)
			return base, false, nil
		}
		if err != nil {
			return 0, false, err
		}
	}
	return 0, true, nil
}
