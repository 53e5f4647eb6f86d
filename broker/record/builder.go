package record

// BatchOptions are what a builder puts into its batches besides records. Use NewBatchOptions: ids of 0 are real ids.
type BatchOptions struct {
	Codec         Codec
	ProducerID    int64 // NoProducerID: not idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	BaseOffset    int64 // 0 in what clients send
	LeaderEpoch   int32 // -1 in what clients send
}

// NewBatchOptions are those of a producer without an id.
func NewBatchOptions() BatchOptions {
	return BatchOptions{ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: NoSequence, LeaderEpoch: -1}
}

// Builder makes a batch, record by record. The zero Builder is empty and ready.
type Builder struct {
	records   []byte
	count     int32
	base, max int64
}

// Append adds a record. A nil key or value is null, which is not the same as an empty one. The bytes are copied.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...Header) { panic("unfinished") }

// Count is the number of records; Size the batch's size in bytes if it were built now, without compression.
func (b *Builder) Count() int { return int(b.count) }
func (b *Builder) Size() int  { return HeaderSize + len(b.records) }

// Build appends the batch to dst. The builder keeps its records: building again with other options is allowed.
func (b *Builder) Build(dst []byte, o BatchOptions) ([]byte, error) { panic("unfinished") }

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() { panic("unfinished") }

// MaxRecordOverhead bounds what a record adds to its key, value and headers in a batch.
const MaxRecordOverhead = 36
