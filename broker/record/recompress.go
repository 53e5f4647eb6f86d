package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Recompress appends to dst the batches in buf, which Validate has passed, each with its records in the codec: for
// topics whose compression.type is not the producer's choice. Batches in that codec already are copied as they are.
// unpackedMax bounds the records of one batch, 0 for DefaultUnpackedBytesMax.
//
// Errors: MESSAGE_TOO_LARGE, CORRUPT_MESSAGE.
//
// Source: LogValidator#buildRecordsAndAssignOffsets.
func Recompress(dst, buf []byte, c Codec, level, unpackedMax int) ([]byte, error) {
	if unpackedMax <= 0 {
		unpackedMax = DefaultUnpackedBytesMax
	}
	for len(buf) > 0 {
		b, rest, err := Next(buf)
		if err != nil {
			return dst, err
		}
		if b.Codec() == c || b.IsControl() {
			dst = append(dst, b...)
		} else if dst, err = b.recompress(dst, c, level, unpackedMax); err != nil {
			return dst, err
		}
		buf = rest
	}
	return dst, nil
}

func (b Batch) recompress(dst []byte, c Codec, level, unpackedMax int) ([]byte, error) {
	records, err := Decompress(nil, b.Codec(), b.RecordBytes(), unpackedMax)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	if dst, err = CompressTo(dst, c, level, records); err != nil {
		return dst[:start], err
	}
	out := Batch(dst[start:])
	if len(out) > math.MaxInt32 {
		return dst[:start], fmt.Errorf("batch of %d bytes: %w", len(out), kerr.MessageTooLarge)
	}
	binary.BigEndian.PutUint32(out[atLength:], uint32(len(out)-LogOverhead))
	binary.BigEndian.PutUint16(out[atAttributes:], uint16(b.Attributes()&^attrCodec)|uint16(c))
	out.SetCRC()
	return dst, nil
}

// Uniform reports whether every batch in buf is in the codec.
func Uniform(buf []byte, c Codec) bool {
	for len(buf) > 0 {
		b, rest, err := Next(buf)
		if err != nil || b.Codec() != c && !b.IsControl() {
			return err != nil
		}
		buf = rest
	}
	return true
}
