package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// A producer snapshot is the state of all producers at the offset in its name, so that the batches below need not be
// read again. It keeps of each producer's batches the last:
//
//	version int16 = 1 | CRC-32C of what follows uint32 | count int32 | then for each:
//	producer id int64 | epoch int16 | last sequence int32 | last offset int64 | offset delta int32 | timestamp int64 |
//	coordinator epoch int32 | first offset of the open transaction int64, -1 if none
//
// Source: ProducerStateManager#writeSnapshot, ProducerSnapshot.json.
const (
	snapshotVersion = 1
	snapshotHeader  = 10
	snapshotEntry   = 46
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (ps *producers) ids() []int64 {
	ids := make([]int64, 0, len(ps.byID))
	for id := range ps.byID { // unordered: sorted below
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (ps *producers) encode() []byte {
	ids := ps.ids()
	be := binary.BigEndian
	data := be.AppendUint16(make([]byte, 0, snapshotHeader+snapshotEntry*len(ids)), snapshotVersion)
	data = be.AppendUint32(data, 0)
	data = be.AppendUint32(data, uint32(len(ids)))
	for _, id := range ids {
		p := ps.byID[id]
		last := sent{lastSequence: record.NoSequence, lastOffset: -1, timestamp: p.lastTimestamp}
		if p.n > 0 {
			last = p.batches[p.n-1]
		}
		data = be.AppendUint64(data, uint64(id))
		data = be.AppendUint16(data, uint16(p.epoch))
		data = be.AppendUint32(data, uint32(last.lastSequence))
		data = be.AppendUint64(data, uint64(last.lastOffset))
		data = be.AppendUint32(data, uint32(last.delta))
		data = be.AppendUint64(data, uint64(p.lastTimestamp))
		data = be.AppendUint32(data, uint32(p.coordinatorEpoch))
		data = be.AppendUint64(data, uint64(p.txnStart))
	}
	be.PutUint32(data[2:], crc32.Checksum(data[6:], castagnoli))
	return data
}

// parseSnapshot reads the state at offset end. The producers count as seen now.
func parseSnapshot(data []byte, end int64, now env.Instant) (*producers, error) {
	if len(data) < snapshotHeader {
		return nil, fmt.Errorf("snapshot of %d bytes", len(data))
	}
	be := binary.BigEndian
	if version := be.Uint16(data); version != snapshotVersion {
		return nil, fmt.Errorf("snapshot version %d", version)
	}
	if sum := crc32.Checksum(data[6:], castagnoli); sum != be.Uint32(data[2:]) {
		return nil, fmt.Errorf("snapshot CRC is %08x, it says %08x", sum, be.Uint32(data[2:]))
	}
	n := int64(int32(be.Uint32(data[6:])))
	if data = data[snapshotHeader:]; n < 0 || n*snapshotEntry != int64(len(data)) {
		return nil, fmt.Errorf("snapshot of %d producers in %d bytes", n, len(data))
	}
	ps := newProducers(end)
	for ; len(data) > 0; data = data[snapshotEntry:] {
		p := newProducer(int64(be.Uint64(data)))
		p.seen = now
		p.epoch = int16(be.Uint16(data[8:]))
		last := sent{int32(be.Uint32(data[10:])), int64(be.Uint64(data[14:])), int32(be.Uint32(data[22:])), int64(be.Uint64(data[26:]))}
		p.lastTimestamp = last.timestamp
		if last.lastOffset >= 0 && last.lastSequence >= 0 {
			p.add(last)
		}
		p.coordinatorEpoch = int32(be.Uint32(data[34:]))
		p.txnStart = int64(be.Uint64(data[38:]))
		if p.txnStart >= 0 {
			ps.begin(txn{p.id, p.txnStart, -1, false})
		}
		ps.byID[p.id] = &p
	}
	return ps, nil
}

// forgetCleaned ends the transactions that a snapshot knows as open, and of which no batch is left below it. Behind the
// snapshot the cleaner may have removed the marker of such a one, and nothing would ever end it; a marker stays as long
// as a batch of its transaction does. If one is open indeed, then without any record below the snapshot: it begins at
// the next.
//
// DEVIATION(KIP-98): Kafka trusts the snapshot, and relies on newer ones, which it syncs when it rolls, being there.
func (l *Log) forgetCleaned(ps *producers) error {
	for _, t := range slices.Clone(ps.txns) {
		left, err := l.batchLeft(t, ps.end)
		if err != nil {
			return err
		}
		if !left {
			ps.txns = slices.DeleteFunc(ps.txns, func(other txn) bool { return other == t })
			ps.byID[t.producer].txnStart = -1
		}
	}
	return nil
}

// batchLeft says that the log holds a batch of an open transaction below end. Usually that is the first it looks at.
func (l *Log) batchLeft(t txn, end int64) (bool, error) {
	for _, g := range l.segments[l.segmentFor(t.first):] {
		if g.base >= end {
			break
		}
		if err := l.ensureIndexed(g); err != nil {
			return false, err
		}
		pos, _, err := g.locate(t.first, l.interval())
		if err == io.EOF {
			continue
		}
		left := false
		if err == nil {
			err = g.walk(pos, func(b record.Batch, _ int64) error {
				left = b.BaseOffset() < end && b.ProducerID() == t.producer && b.IsTransactional() && !b.IsControl()
				if left || b.BaseOffset() >= end {
					return errEnough
				}
				return nil
			})
		}
		if err == errEnough {
			return left, nil
		}
		if err != nil && isBad(err) { // not ours to find
			return true, nil
		}
		if err != nil {
			return false, l.fail("look for a transaction", err)
		}
	}
	return false, nil
}

// removeStrays removes the producer snapshots that belong to no segment: those of clean stops, but for the newest.
//
// Source: ProducerStateManager#removeStraySnapshots.
func (l *Log) removeStrays() error {
	offsets, err := l.snapshots()
	if err != nil || len(offsets) == 0 {
		return err
	}
	newest := offsets[len(offsets)-1]
	return l.removeSnapshots(func(offset int64) bool {
		return offset != newest && l.segments[l.segmentFor(offset)].base != offset
	})
}
