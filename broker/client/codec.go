package client

import (
	"fmt"

	"barnabas/broker/assert"
	"barnabas/broker/record"
)

// unpackedBytesMax bounds what one fetched batch may unfold to.
const unpackedBytesMax = 256 << 20

// recordBytes is about what a record adds to a batch.
func recordBytes(r *Record) int {
	n := record.MaxRecordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

func parseCompression(name string) (record.Codec, error) {
	for c := record.None; c <= record.Zstd; c++ {
		if c.String() == name || name == "" && c == record.None {
			return c, nil
		}
	}
	return record.None, fmt.Errorf("compression %q: not none, gzip, snappy, lz4 or zstd", name)
}

// encodeBatch makes the record batch that goes over the wire.
func encodeBatch(b *batch, compression string, transactional bool) []byte {
	o := record.NewBatchOptions()
	o.Codec, _ = parseCompression(compression)
	o.Transactional = transactional
	if b.sequence >= 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = b.id, b.epoch, b.sequence
	}
	var builder record.Builder
	for i := range b.records {
		r := &b.records[i].record
		builder.Append(r.Timestamp, r.Key, r.Value, r.Headers...)
	}
	data, err := builder.Build(nil, o)
	assert.That(err == nil, "INV-BATCH-BUILD: %d records of %v: %v", len(b.records), b.lane.tp, err)
	return data
}
