package record

// Check judges one batch by itself: header, CRC and the counts that its header carries; not its records. It is what a
// follower and a recovering log ask of a batch. Errors: CORRUPT_MESSAGE.
func (b Batch) Check() error { panic("unfinished") }

// Rules are what a leader asks of the batches of a produce.
type Rules struct {
	BatchBytesMax    int32 // max.message.bytes; 0: no bound
	UnpackedBytesMax int   // of a compressed batch's records; 0: DefaultUnpackedBytesMax
	KeyRequired      bool  // the topic is compacted
	Coordinator      bool  // from a coordinator of this cluster: control batches are allowed
}

// DefaultUnpackedBytesMax bounds how far a compressed batch may unfold: 256 MiB.
const DefaultUnpackedBytesMax = 256 << 20

// Validate judges the batches of a produce as Kafka's leader does and returns how many whole batches there are, and in
// how many bytes. A partial batch behind them is left out, as Kafka does.
//
// Errors: CORRUPT_MESSAGE (length, magic, CRC), MESSAGE_TOO_LARGE, INVALID_RECORD (counts, offsets, keys, control bit,
// sequence; no whole batch at all), UNSUPPORTED_FOR_MESSAGE_FORMAT (magic 0 and 1).
//
// Source: UnifiedLog#analyzeAndValidateRecords, LogValidator#validateBatch, DefaultRecord#readFrom.
func Validate(buf []byte, r Rules) (batches int, size int, err error) { panic("unfinished") }
