package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Two forms of snappy are on the wire. Kafka's own clients write those of the Java library (xerial): a header of 16
// bytes, then chunks of a size, four bytes big-endian, and a raw block. Most others write one raw block.
//
//	82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version 00 00 00 01 | compatible 00 00 00 01 | size | block | size | block …
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10 // bytes unpacked in a chunk, as SnappyOutputStream writes them
	snappyMax    = 64       // a raw block does not unpack to more than this many times its size
)

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		at := len(dst)
		dst = append(dst, make([]byte, 4+snappy.MaxEncodedLen(len(block)))...)
		packed := snappy.Encode(dst[at+4:], block)
		binary.BigEndian.PutUint32(dst[at:], uint32(len(packed)))
		dst = dst[:at+4+len(packed)]
	}
	return dst
}

// snappyReader unpacks block by block, so that only one is in memory.
type snappyReader struct {
	src    []byte // what is still packed
	framed bool
	block  []byte // what is unpacked and not yet read
	buf    []byte
	limit  int
}

func newSnappyReader(src []byte, limit int) *snappyReader {
	if len(src) >= xerialHeader && bytes.HasPrefix(src, xerialMagic) {
		return &snappyReader{src: src[xerialHeader:], framed: true, limit: limit}
	}
	return &snappyReader{src: src, limit: limit}
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.block) == 0 {
		if len(r.src) == 0 {
			return 0, io.EOF
		}
		packed := r.src
		if r.framed {
			if len(r.src) < 4 {
				return 0, io.ErrUnexpectedEOF
			}
			size := binary.BigEndian.Uint32(r.src)
			if uint64(size) > uint64(len(r.src)-4) {
				return 0, io.ErrUnexpectedEOF
			}
			packed = r.src[4 : 4+size]
		}
		if err := r.unpack(packed); err != nil {
			return 0, err
		}
		if r.framed {
			r.src = r.src[4+len(packed):]
		} else {
			r.src = nil
		}
	}
	n := copy(p, r.block)
	r.block = r.block[n:]
	return n, nil
}

// unpack checks what a block claims to unpack to before memory is taken for it.
func (r *snappyReader) unpack(packed []byte) error {
	size, err := snappy.DecodedLen(packed)
	if err != nil {
		return err
	}
	if size > r.limit {
		return tooUnpacked(r.limit)
	}
	if size > snappyMax*len(packed) {
		return fmt.Errorf("snappy block of %d bytes claims to unpack to %d: %w", len(packed), size, kerr.CorruptMessage)
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	r.block, err = snappy.Decode(r.buf[:size], packed)
	return err
}
