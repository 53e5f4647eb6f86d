package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
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

func (ps *producers) encode() []byte {
	ids := make([]int64, 0, len(ps.byID))
	for id := range ps.byID { // unordered: sorted below
		ids = append(ids, id)
	}
	slices.Sort(ids)
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
