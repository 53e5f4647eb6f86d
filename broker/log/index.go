package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"barnabas/broker/assert"
	"barnabas/broker/env"
)

// Both indexes of a segment are files of entries of one size, ascending, one for about every index.interval.bytes:
//
//	.index      offset less the segment's base  int32 | position in the .log  int32
//	.timeindex  timestamp, ms                   int64 | offset less the base  int32
//
// Source: OffsetIndex, TimeIndex, AbstractIndex.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// chunkEntries is how many entries are read from a file at once, and how many one entry in memory stands for.
const chunkEntries = 64

// entry is one entry of either index. Keys ascend strictly, values never go down.
type entry struct {
	key   int64 // relative offset, or timestamp in ms
	value int64 // position in bytes, or relative offset
}

// index is an index file with a bounded picture of it in memory: every 64th entry, and the last up to 64 of them, which
// are written together. So it costs 16/64 bytes an entry plus 1 KiB while it grows, holds no descriptor, and a lookup
// reads at most one chunk. Not safe for concurrent use.
//
// What is not yet in the file after a crash, recovery makes again.
type index struct {
	fs     env.FS
	name   string
	width  int  // of an entry in the file
	loaded bool // samples and tail are there

	n       int // entries
	filed   int // of them in the file
	samples []entry
	tail    []entry // entries from n/64*64, or the 64 before it
	tailAt  int

	chunks [2]chunk // the last ones read: a read needs one for its start and one for its end
	oldest int      // which of them goes next
}

// chunk is part of an index file in memory.
type chunk struct {
	entries []entry
	at      int // the number of its first entry
}

// errIndex says that an index file cannot be what we wrote.
var errIndex = errors.New("corrupt index")

func newIndex(fs env.FS, name string, width int) *index {
	return &index{fs: fs, name: name, width: width}
}

// reset empties the index in memory; the next write empties the file.
func (x *index) reset() {
	*x = index{fs: x.fs, name: x.name, width: x.width, loaded: true, samples: x.samples[:0], tail: x.tail[:0]}
}

// load reads the file, if that was not done. Errors: errIndex when it is missing or makes no sense; those of the disk.
func (x *index) load() error {
	if x.loaded {
		return nil
	}
	data, err := env.ReadFile(x.fs, x.name, 1<<30)
	if errors.Is(err, env.ErrNotExist) {
		return fmt.Errorf("%s is missing: %w", x.name, errIndex)
	}
	if err != nil {
		return err
	}
	if len(data)%x.width != 0 {
		return fmt.Errorf("%s has %d bytes: %w", x.name, len(data), errIndex)
	}
	x.reset()
	last := entry{-1, -1}
	for i := 0; i < len(data); i += x.width {
		e := x.decode(data[i:])
		if e.key <= last.key || e.value < last.value || (x.width == offsetEntrySize && e.value == last.value) {
			return fmt.Errorf("%s: entry %d is (%d, %d) after (%d, %d): %w", x.name, i/x.width, e.key, e.value, last.key, last.value, errIndex)
		}
		x.push(e)
		last = e
	}
	x.filed = x.n
	return nil
}

func (x *index) decode(p []byte) entry {
	if x.width == offsetEntrySize {
		return entry{int64(int32(binary.BigEndian.Uint32(p))), int64(int32(binary.BigEndian.Uint32(p[4:])))}
	}
	return entry{int64(binary.BigEndian.Uint64(p)), int64(int32(binary.BigEndian.Uint32(p[8:])))}
}

func (x *index) encode(p []byte, e entry) []byte {
	if x.width == offsetEntrySize {
		p = binary.BigEndian.AppendUint32(p, uint32(e.key))
		return binary.BigEndian.AppendUint32(p, uint32(e.value))
	}
	p = binary.BigEndian.AppendUint64(p, uint64(e.key))
	return binary.BigEndian.AppendUint32(p, uint32(e.value))
}

// push adds an entry in memory. A full tail that was not written yet must be written before.
func (x *index) push(e entry) {
	if len(x.tail) == chunkEntries {
		x.tailAt += chunkEntries
		x.tail = x.tail[:0]
	}
	if x.n%chunkEntries == 0 {
		x.samples = append(x.samples, e)
	}
	x.tail = append(x.tail, e)
	x.n++
}

// append adds an entry behind the last, and writes when a chunk is full.
func (x *index) append(e entry) error {
	last, ok := x.last()
	if !x.loaded || ok && (e.key <= last.key || e.value < last.value) { // the arguments of assert.That cost memory
		assert.That(false, "INV-INDEX-ASCENDS: %s: (%d, %d) after (%d, %d)", x.name, e.key, e.value, last.key, last.value)
	}
	x.push(e)
	if len(x.tail) < chunkEntries {
		return nil
	}
	return x.write()
}

// last is the last entry. The index must be loaded.
func (x *index) last() (entry, bool) {
	if len(x.tail) == 0 {
		return entry{}, false
	}
	return x.tail[len(x.tail)-1], true
}

// write puts into the file what is not there yet, and makes the file if there is none.
func (x *index) write() error {
	if !x.loaded {
		return nil
	}
	f, err := x.fs.Open(x.name, env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if want := int64(x.filed * x.width); size > want {
		if err := f.Truncate(want); err != nil {
			return err
		}
	}
	if x.filed < x.n {
		assert.That(x.filed >= x.tailAt, "INV-INDEX-TAIL: %s: %d of %d in the file, the rest from %d on", x.name, x.filed, x.n, x.tailAt)
		data := make([]byte, 0, (x.n-x.filed)*x.width)
		for _, e := range x.tail[x.filed-x.tailAt:] {
			data = x.encode(data, e)
		}
		if _, err := f.WriteAt(data, int64(x.filed*x.width)); err != nil {
			return err
		}
	}
	x.filed = x.n
	return nil
}

// sync makes the file durable.
func (x *index) sync() error {
	f, err := x.fs.Open(x.name, env.ReadWrite)
	if errors.Is(err, env.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// get is entry i.
func (x *index) get(i int) (entry, error) {
	if i >= x.tailAt {
		return x.tail[i-x.tailAt], nil
	}
	if i%chunkEntries == 0 {
		return x.samples[i/chunkEntries], nil
	}
	at := i - i%chunkEntries
	for _, c := range x.chunks {
		if c.at == at && len(c.entries) > 0 {
			return c.entries[i-at], nil
		}
	}
	c, err := x.read(at)
	if err != nil {
		return entry{}, err
	}
	return c.entries[i-at], nil
}

// read reads the chunk that begins with entry at. It is wholly in the file, because only the tail is not.
func (x *index) read(at int) (*chunk, error) {
	f, err := x.fs.Open(x.name, env.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, chunkEntries*x.width)
	if n, err := f.ReadAt(data, int64(at*x.width)); n < len(data) {
		return nil, fmt.Errorf("%s: entry %d: %w", x.name, at, errors.Join(err, errIndex))
	}
	c := &x.chunks[x.oldest]
	x.oldest = 1 - x.oldest
	c.entries, c.at = c.entries[:0], at
	for i := 0; i < len(data); i += x.width {
		c.entries = append(c.entries, x.decode(data[i:]))
	}
	return c, nil
}

// floor is the last entry for which atMost holds, and its number, -1 if there is none. atMost must be true of a prefix.
func (x *index) floor(atMost func(entry) bool) (entry, int, error) {
	if x.n == 0 {
		return entry{}, -1, nil
	}
	c := sort.Search(len(x.samples), func(i int) bool { return !atMost(x.samples[i]) }) - 1
	if c < 0 {
		return entry{}, -1, nil
	}
	low, high := c*chunkEntries, min((c+1)*chunkEntries, x.n)-1
	best := x.samples[c]
	at := low
	for low < high {
		mid := (low + high + 1) / 2
		e, err := x.get(mid)
		if err != nil {
			return entry{}, -1, err
		}
		if atMost(e) {
			low, best, at = mid, e, mid
		} else {
			high = mid - 1
		}
	}
	return best, at, nil
}

// floorKey is the last entry whose key is at most key.
func (x *index) floorKey(key int64) (entry, int, error) {
	return x.floor(func(e entry) bool { return e.key <= key })
}

// floorValue is the last entry whose value is at most value.
func (x *index) floorValue(value int64) (entry, int, error) {
	return x.floor(func(e entry) bool { return e.value <= value })
}

// truncate keeps the first n entries. The file is cut at the next write.
func (x *index) truncate(n int) error {
	if n >= x.n {
		return nil
	}
	at := n - n%chunkEntries
	tail := make([]entry, 0, chunkEntries)
	for i := at; i < n; i++ {
		e, err := x.get(i)
		if err != nil {
			return err
		}
		tail = append(tail, e)
	}
	if len(tail) == 0 && n > 0 { // the tail is never empty unless the index is
		at -= chunkEntries
		for i := at; i < n; i++ {
			e, err := x.get(i)
			if err != nil {
				return err
			}
			tail = append(tail, e)
		}
	}
	x.samples = slices.Clip(x.samples[:(n+chunkEntries-1)/chunkEntries])
	x.tail, x.tailAt = tail, at
	x.n, x.filed = n, min(x.filed, n)
	x.chunks = [2]chunk{}
	return x.write()
}
