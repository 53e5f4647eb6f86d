package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The formats before the batch are sets of messages, each with its own CRC (IEEE, of everything behind it). A compressed
// set is the value of one message, the wrapper, whose attributes name the codec.
//
//	 0  offset     int64   of the message; of the last one inside, for a wrapper
//	 8  size       int32   bytes that follow it
//	12  CRC        uint32
//	16  magic      int8    0 or 1
//	17  attributes int8    bits 0-2 codec, 3 LogAppendTime (magic 1)
//	18  timestamp  int64   ms, magic 1 alone
//	    key        int32 length, bytes; -1 is null
//	    value      the same
//
// Inside a wrapper of magic 1 the offsets count from 0; inside one of magic 0 they are the log's.
//
// Source: LegacyRecord, AbstractLegacyRecordBatch. KIP-31, KIP-32.
const (
	atOldCRC        = 12
	atOldAttributes = 17
	atOldTimestamp  = 18
	// sizeV1 is the least size of a message of magic 1; that of magic 0 is sizeV0.
	sizeV1 = sizeV0 + 8
)

// OldUnpackedBytesMax bounds how far a wrapper may unfold: 64 MiB, as the whole of it is in memory while it is converted.
const OldUnpackedBytesMax = 64 << 20

// IsOld says that buf begins with a message of magic 0 or 1.
func IsOld(buf []byte) bool { return len(buf) > atMagic && buf[atMagic] <= 1 }

// OldSize is the whole size of the message of magic 0 or 1 that buf begins with, as it says. Errors: ErrPartial, CORRUPT_MESSAGE.
func OldSize(buf []byte) (int64, error) {
	if len(buf) < LogOverhead {
		return 0, ErrPartial
	}
	size := int64(int32(binary.BigEndian.Uint32(buf[atLength:])))
	if size < sizeV0 {
		return 0, fmt.Errorf("message of %d bytes, the least possible is %d: %w", size, sizeV0, kerr.CorruptMessage)
	}
	return size + LogOverhead, nil
}

// oldMessage is one whole message, from its offset on.
type oldMessage []byte

func (m oldMessage) offset() int64 { return int64(binary.BigEndian.Uint64(m)) }
func (m oldMessage) magic() int8   { return int8(m[atMagic]) }
func (m oldMessage) codec() Codec  { return Codec(m[atOldAttributes] & attrCodec) }
func (m oldMessage) isLogAppended() bool {
	return m.magic() == 1 && m[atOldAttributes]&attrLogAppendTime != 0
}

// timestamp is in ms; NoTimestamp for magic 0.
func (m oldMessage) timestamp() int64 {
	if m.magic() == 0 {
		return NoTimestamp
	}
	return int64(binary.BigEndian.Uint64(m[atOldTimestamp:]))
}

// nextOld cuts the first message off buf. Errors: ErrPartial, CORRUPT_MESSAGE (size, magic, CRC).
func nextOld(buf []byte) (m oldMessage, rest []byte, err error) {
	end, err := OldSize(buf)
	if err != nil {
		return nil, buf, err
	}
	if end > int64(len(buf)) {
		return nil, buf, ErrPartial
	}
	m = oldMessage(buf[:end:end])
	if m.magic() < 0 || m.magic() > Magic {
		return nil, buf, fmt.Errorf("magic %d: %w", m.magic(), kerr.CorruptMessage)
	}
	return m, buf[end:], nil
}

// check looks at the CRC, and at the size that the magic asks for.
func (m oldMessage) check() error {
	if m.magic() == 1 && len(m) < LogOverhead+sizeV1 {
		return fmt.Errorf("message of %d bytes and magic 1: %w", len(m), kerr.CorruptMessage)
	}
	if sum, says := crc32.ChecksumIEEE(m[atMagic:]), binary.BigEndian.Uint32(m[atOldCRC:]); sum != says {
		return fmt.Errorf("CRC is %08x, message says %08x: %w", sum, says, kerr.CorruptMessage)
	}
	return nil
}

// content is the message's key and value, nil for null.
func (m oldMessage) content() (key, value []byte, err error) {
	at := atOldTimestamp
	if m.magic() == 1 {
		at += 8
	}
	if key, at, err = m.bytes(at); err == nil {
		value, _, err = m.bytes(at)
	}
	return key, value, err
}

func (m oldMessage) bytes(at int) (p []byte, next int, err error) {
	if len(m)-at < 4 {
		return nil, at, fmt.Errorf("message ends before its key or value: %w", kerr.InvalidRecord)
	}
	n := int(int32(binary.BigEndian.Uint32(m[at:])))
	at += 4
	switch {
	case n < 0:
		return nil, at, nil
	case n > len(m)-at:
		return nil, at, fmt.Errorf("key or value of %d bytes in a message with %d left: %w", n, len(m)-at, kerr.InvalidRecord)
	}
	return m[at : at+n : at+n], at + n, nil
}

// appendOld appends one message, with its CRC.
func appendOld(dst []byte, offset int64, magic int8, attributes byte, timestamp int64, key, value []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(offset))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, byte(magic), attributes) // size and CRC come last
	if magic == 1 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(timestamp))
	}
	for _, p := range [][]byte{key, value} {
		n := int32(len(p))
		if p == nil {
			n = -1
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(n)), p...)
	}
	m := dst[start:]
	binary.BigEndian.PutUint32(m[atLength:], uint32(len(m)-LogOverhead))
	binary.BigEndian.PutUint32(m[atOldCRC:], crc32.ChecksumIEEE(m[atMagic:]))
	return dst
}
