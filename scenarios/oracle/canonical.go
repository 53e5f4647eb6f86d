package oracle

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"

	"barnabas/broker/env"
	"barnabas/broker/partition"
)

// canonical is what is committed in one partition, batch by batch.
type canonical struct {
	batches []batch // by offset; a gap is what retention took before anybody looked
}

// batch is one record batch. Its sum covers the whole header, and so, through the CRC in it, every byte.
type batch struct {
	base, next int64 // offsets: of the first record, and behind the last
	sum        uint32
	epoch      int32
	by         int32 // the broker that showed it first
}

func (c *canonical) end() int64 {
	if len(c.batches) == 0 {
		return 0
	}
	return c.batches[len(c.batches)-1].next
}

// at finds the batch that holds the offset.
func (c *canonical) at(offset int64) *batch {
	i := sort.Search(len(c.batches), func(i int) bool { return c.batches[i].next > offset })
	if i == len(c.batches) || c.batches[i].base > offset {
		return nil
	}
	return &c.batches[i]
}

// cursor is how far a replica's log has been compared with the canonical one.
type cursor struct {
	offset  int64 // compared below it
	segment int64 // base offset of the segment that holds offset
	pos     int64 // of offset in the segment's file

	file   File  // of that segment, once it was asked for
	fileOf int64 // the segment that it is of
}

// headerSize is the size of a record batch's header, up to and with the record count.
const headerSize = 61

// lookLog compares what came below the replica's high watermark since the last look. A leader extends the canonical
// log; a follower cannot know more than a leader told it.
func (o *Oracle) lookLog(at env.Instant, r *Replica, was *seen) {
	s, tp := &r.State, r.State.TP
	key := topicPartition{s.TopicID, tp}
	log := o.logs[key]
	if log == nil {
		log = &canonical{}
		o.logs[key], o.latest[tp] = log, log
		o.registers++
	}
	if s.LogEndOffset < was.cursor.offset {
		o.violated(at, "INV-COMMITTED-KEPT", tp, r.Broker, "broker %d, %s in epoch %d, cut its log to %d although everything below %d was committed",
			r.Broker, s.Role, s.LeaderEpoch, s.LogEndOffset, was.cursor.offset)
		was.cursor = cursor{}
	}
	if first := s.LogFirstOffset; was.cursor.offset < first { // retention took what is before
		was.cursor = cursor{offset: first, segment: first}
	}
	bound := min(s.HighWatermark, s.LogEndOffset)
	if s.Log != nil && s.Log.TopicConfig() != nil && s.Log.TopicConfig().CleanupPolicyCompact {
		log.lookCompacted(r, bound, was)
		return
	}
	for was.cursor.offset < bound {
		b, size, ok := o.readBatch(r, &was.cursor)
		if !ok {
			return // being written just now; the next look will see it
		}
		if b.base != was.cursor.offset || b.next <= b.base {
			o.violated(at, "INV-LOG-CONTIGUOUS", tp, r.Broker, "broker %d has a batch of offsets %d to %d where %d is due", r.Broker, b.base, b.next-1, was.cursor.offset)
			return
		}
		if b.next > bound {
			return // a high watermark inside a batch: compared when it is whole
		}
		if whole, ok := o.whole(r, &was.cursor, size); !ok {
			return // being written just now
		} else if !whole {
			o.violated(at, "INV-COMMITTED-WHOLE", tp, r.Broker, "broker %d, %s in epoch %d, has a batch of offsets %d to %d below its high watermark %d whose checksum is wrong",
				r.Broker, s.Role, s.LeaderEpoch, b.base, b.next-1, s.HighWatermark)
			return
		}
		if !o.compare(at, log, r, b) {
			return
		}
		was.cursor.offset = b.next
		was.cursor.pos += size
	}
}

// lookCompacted takes note of how far a compacted log is committed. Its batches are written anew by each replica's cleaner
// when it likes, and files are replaced: there is nothing to compare byte by byte, and gaps are normal.
func (c *canonical) lookCompacted(r *Replica, bound int64, was *seen) {
	if r.State.Role == partition.Leader && bound > c.end() {
		c.batches = append(c.batches[:0], batch{next: bound, by: r.Broker})
	}
	was.cursor.offset = max(was.cursor.offset, min(bound, c.end()))
}

// find is the replica's file of the segment, in the log directory that it is in.
func (o *Oracle) find(r *Replica, segment int64) File {
	dir := ""
	if r.State.Log != nil {
		dir = r.State.Log.Dir()
	}
	return o.disks.Find(r.Broker, dir, r.State.TP, segmentFile(segment))
}

// peek reads from the file of the cursor's segment.
func (o *Oracle) peek(r *Replica, c *cursor, p []byte, offset int64) int {
	if c.file == nil || c.fileOf != c.segment {
		c.file, c.fileOf = o.find(r, c.segment), c.segment
	}
	return c.file.Peek(p, offset)
}

// readBatch reads the header at the cursor, moving it to the next segment where one ends.
func (o *Oracle) readBatch(r *Replica, c *cursor) (b batch, size int64, ok bool) {
	h := &o.header
	n := o.peek(r, c, h[:], c.pos)
	if n <= 0 && c.segment != c.offset {
		if n = o.find(r, c.offset).Peek(h[:], 0); n > 0 {
			c.segment, c.pos = c.offset, 0
		}
	}
	if n < headerSize {
		return batch{}, 0, false
	}
	b.base = int64(binary.BigEndian.Uint64(h[0:]))
	size = 12 + int64(binary.BigEndian.Uint32(h[8:]))
	b.epoch = int32(binary.BigEndian.Uint32(h[12:]))
	b.next = b.base + int64(int32(binary.BigEndian.Uint32(h[23:]))) + 1
	b.sum = crc32.ChecksumIEEE(h[:])
	return b, size, true
}

// whole tells whether the checksum of the batch at the cursor holds; ok is false if its bytes are not all there.
func (o *Oracle) whole(r *Replica, c *cursor, size int64) (whole, ok bool) {
	if size < headerSize || size > batchSizeMax {
		return false, true
	}
	if int64(cap(o.buf)) < size {
		o.buf = make([]byte, size)
	}
	o.buf = o.buf[:size]
	if o.peek(r, c, o.buf, c.pos) < int(size) {
		return false, false
	}
	return crc32.Checksum(o.buf[21:], castagnoli) == binary.BigEndian.Uint32(o.buf[17:]), true
}

// batchSizeMax bounds what a damaged header may say.
const batchSizeMax = 16 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func segmentFile(base int64) string { return fmt.Sprintf("%020d.log", base) }

func (o *Oracle) compare(at env.Instant, log *canonical, r *Replica, b batch) bool {
	b.by = r.Broker
	if b.base >= log.end() {
		if r.State.Role == partition.Leader {
			log.batches = append(log.batches, b)
			o.lookEpoch(at, r, b)
			return true
		}
		return false // a leader's high watermark that no look has caught; its log will tell
	}
	have := log.at(b.base)
	if have == nil {
		return true // in a gap: there is nothing to compare with
	}
	if b.next <= r.State.LogStartOffset {
		return true // nobody reads it: the leader has deleted it, and could not tell where the logs part (LeaderEpochFileCache#endOffsetFor)
	}
	o.lookEpoch(at, r, b)
	if have.base != b.base || have.next != b.next || have.sum != b.sum {
		o.violated(at, "INV-COMMITTED-EQUAL", r.State.TP, r.Broker,
			"broker %d has another batch at offset %d (epoch %d) below its high watermark %d than broker %d had (epoch %d) when it was committed",
			r.Broker, b.base, b.epoch, r.State.HighWatermark, have.by, have.epoch)
		return false
	}
	return true
}

// lookEpoch checks that a log takes a batch for one of the epoch that stands in it: logs are cut where they part by what each knows of epochs.
func (o *Oracle) lookEpoch(at env.Instant, r *Replica, b batch) {
	known := int32(-1)
	for _, e := range slices.Backward(r.State.Epochs) {
		if e.StartOffset <= b.base {
			known = e.Epoch
			break
		}
	}
	if known != b.epoch && !r.State.Changing {
		o.violated(at, "INV-EPOCH-KNOWN", r.State.TP, r.Broker, "broker %d has a batch of epoch %d at offset %d, and takes it for one of epoch %d", r.Broker, b.epoch, b.base, known)
	}
}
