package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Upconvert appends to dst, as one batch from offset 0 on, the messages of magic 0 or 1 in buf: in the wrapper's codec if
// they were compressed, with their own timestamps (none in magic 0). A partial message behind them is left out, as Kafka
// does. What a leader asks of a batch Validate must still be asked.
//
// Errors: CORRUPT_MESSAGE (size, magic, CRC, what cannot be unpacked), INVALID_RECORD (magics mixed, a wrapper beside other
// messages, without content or in another, offsets that cannot be, no message at all), INVALID_TIMESTAMP for
// LogAppendTime, MESSAGE_TOO_LARGE beyond r.BatchBytesMax or OldUnpackedBytesMax, UNSUPPORTED_COMPRESSION_TYPE.
//
// Source: UnifiedLog#analyzeAndValidateRecords, LogValidator#convertAndAssignOffsetsNonCompressed,
// #validateMessagesAndAssignOffsetsCompressed, AbstractLegacyRecordBatch.DeepRecordsIterator.
func Upconvert(dst, buf []byte, r Rules) ([]byte, error) {
	var b Builder
	codec := None
	for n, first := 0, int8(0); ; n++ {
		m, rest, err := nextOld(buf)
		if errors.Is(err, ErrPartial) {
			if n == 0 {
				return dst, fmt.Errorf("no whole message in %d bytes: %w", len(buf), kerr.InvalidRecord)
			}
			break
		}
		if err != nil {
			return dst, err
		}
		if n == 0 {
			first = m.magic()
		}
		switch {
		case m.magic() != first:
			return dst, fmt.Errorf("a message of magic %d behind one of magic %d: %w", m.magic(), first, kerr.InvalidRecord)
		case r.BatchBytesMax > 0 && len(m) > int(r.BatchBytesMax):
			return dst, fmt.Errorf("message of %d bytes, at most %d allowed: %w", len(m), r.BatchBytesMax, kerr.MessageTooLarge)
		}
		if err := m.check(); err != nil {
			return dst, err
		}
		if n > 0 && (codec != None || m.codec() != None) {
			return dst, fmt.Errorf("a compressed message that is not the only one: %w", kerr.InvalidRecord)
		}
		if codec = m.codec(); codec == None {
			err = b.take(m)
		} else {
			err = b.takeWrapped(m, r)
		}
		if err != nil {
			return dst, err
		}
		buf = rest
	}
	o := NewBatchOptions()
	o.Codec = codec
	return b.Build(dst, o)
}

func (b *Builder) take(m oldMessage) error {
	if m.isLogAppended() {
		return fmt.Errorf("timestamp type LogAppendTime is not a producer's to set: %w", kerr.InvalidTimestamp)
	}
	key, value, err := m.content()
	if err == nil {
		b.Append(m.timestamp(), key, value)
	}
	return err
}

// takeWrapped takes the messages in a wrapper.
func (b *Builder) takeWrapped(wrapper oldMessage, r Rules) error {
	if wrapper.isLogAppended() {
		return fmt.Errorf("timestamp type LogAppendTime is not a producer's to set: %w", kerr.InvalidTimestamp)
	}
	inner, err := wrapper.unpack(r)
	if err != nil {
		return err
	}
	last := int64(-1)
	for n := 0; ; n++ {
		m, rest, err := nextOld(inner)
		if errors.Is(err, ErrPartial) { // what is behind the last whole one Kafka leaves out too
			if n == 0 {
				return fmt.Errorf("a compressed message with nothing in it: %w", kerr.InvalidRecord)
			}
			break
		}
		if err == nil {
			err = m.check()
		}
		switch {
		case err != nil:
			return fmt.Errorf("message %d of a compressed one: %w", n, err)
		case m.magic() != wrapper.magic():
			return fmt.Errorf("a message of magic %d in one of magic %d: %w", m.magic(), wrapper.magic(), kerr.InvalidRecord)
		case m.codec() != None:
			return fmt.Errorf("a compressed message in another: %w", kerr.InvalidRecord)
		}
		if err := b.take(m); err != nil {
			return fmt.Errorf("message %d of a compressed one: %w", n, err)
		}
		last, inner = m.offset(), rest
	}
	// Some clients leave the wrapper's offset 0; and what is between the offsets inside does not matter, as all get new ones.
	if wrapper.magic() == 1 && wrapper.offset() != 0 && wrapper.offset() < last {
		return fmt.Errorf("a compressed message at offset %d with offset %d in it: %w", wrapper.offset(), last, kerr.InvalidRecord)
	}
	return nil
}

// unpack is what a wrapper holds.
func (m oldMessage) unpack(r Rules) ([]byte, error) {
	_, packed, err := m.content()
	if err != nil {
		return nil, err
	}
	if packed == nil {
		return nil, fmt.Errorf("a compressed message without content: %w", kerr.InvalidRecord)
	}
	limit := OldUnpackedBytesMax
	if r.UnpackedBytesMax > 0 {
		limit = min(limit, r.UnpackedBytesMax)
	}
	switch codec := m.codec(); {
	case codec == Zstd:
		return nil, fmt.Errorf("zstd in a message of magic %d: %w", m.magic(), kerr.InvalidRecord)
	case codec == LZ4 && m.magic() == 0:
		packed = mendLZ4(packed)
	}
	return Decompress(nil, m.codec(), packed, limit)
}

// lz4Header is where a frame's header checksum is: behind magic, flags, block size and what the flags say is there. -1 if
// there is none.
func lz4Header(frame []byte) int {
	if len(frame) < 7 || binary.LittleEndian.Uint32(frame) != 0x184D2204 {
		return -1
	}
	at := 6
	if frame[4]&0x08 != 0 {
		at += 8
	}
	if frame[4]&0x01 != 0 {
		at += 4
	}
	if at >= len(frame) {
		return -1
	}
	return at
}

// mendLZ4 returns the frame, if need be copied, with the header checksum that it should have: Kafka's first clients
// counted the frame's magic in (KAFKA-3160), and all that came after do so in magic 0.
func mendLZ4(frame []byte) []byte {
	at := lz4Header(frame)
	if at < 0 {
		return frame
	}
	if sum := byte(xxh32(frame[4:at]) >> 8); sum != frame[at] {
		frame = append([]byte(nil), frame...)
		frame[at] = sum
	}
	return frame
}

// breakLZ4 gives a frame the header checksum that clients of magic 0 expect, in place.
func breakLZ4(frame []byte) {
	if at := lz4Header(frame); at > 0 {
		frame[at] = byte(xxh32(frame[:at]) >> 8)
	}
}

// xxh32 is the hash of that name, with seed 0.
func xxh32(p []byte) uint32 {
	const p1, p2, p3, p4, p5 uint32 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	h := p5
	n := uint32(len(p))
	if len(p) >= 16 {
		lanes := [4]uint32{p1, p2, 0, 0}
		lanes[0] += lanes[1]
		lanes[3] -= p1
		for ; len(p) >= 16; p = p[16:] {
			for i := range lanes {
				lanes[i] = bits.RotateLeft32(lanes[i]+binary.LittleEndian.Uint32(p[4*i:])*p2, 13) * p1
			}
		}
		h = bits.RotateLeft32(lanes[0], 1) + bits.RotateLeft32(lanes[1], 7) + bits.RotateLeft32(lanes[2], 12) + bits.RotateLeft32(lanes[3], 18)
	}
	h += n
	for ; len(p) >= 4; p = p[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(p)*p3, 17) * p4
	}
	for _, b := range p {
		h = bits.RotateLeft32(h+uint32(b)*p5, 11) * p1
	}
	h ^= h >> 15
	h *= p2
	h ^= h >> 13
	h *= p3
	return h ^ h>>16
}
