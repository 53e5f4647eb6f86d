package record

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Codec is a compression type, as in the attributes of a batch.
type Codec int8

// The codecs (CompressionType).
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// zstdWindowMax bounds the memory that a frame may ask of us: 32 MiB, four times what any level below 20 uses.
const zstdWindowMax = 32 << 20

// String is Kafka's name of the codec, as in compression.type.
func (c Codec) String() string {
	if c < None || c > Zstd {
		return "unknown"
	}
	return [...]string{"none", "gzip", "snappy", "lz4", "zstd"}[c]
}

// ParseCodec reads Kafka's name of a codec. "uncompressed" is another name of none.
func ParseCodec(name string) (Codec, error) {
	for c := None; c <= Zstd; c++ {
		if name == c.String() {
			return c, nil
		}
	}
	if name == "uncompressed" {
		return None, nil
	}
	return None, fmt.Errorf("unknown compression type %q; known are none, gzip, snappy, lz4, zstd", name)
}

func unsupported(c Codec) error {
	return fmt.Errorf("compression type %d: %w", c, kerr.UnsupportedCompressionType)
}

var (
	gzipWriters pool[gzip.Writer]
	gzipReaders pool[gzip.Reader]
	lz4Writers  pool[lz4.Writer]
	lz4Readers  pool[lz4.Reader]
	zstdWriters pool[zstd.Encoder]
	zstdReaders pool[zstd.Decoder]
)

// Compress appends src, compressed, to dst. Snappy gets the Java library's framing, as Kafka's own clients write it.
func Compress(dst []byte, c Codec, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, src)
	case Zstd:
		return compressZstd(dst, src)
	}
	return dst, unsupported(c)
}

func compressGzip(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w := gzipWriters.get()
	if w == nil {
		w, _ = gzip.NewWriterLevel(out, flate.DefaultCompression)
	} else {
		w.Reset(out)
	}
	defer gzipWriters.put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func compressLZ4(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w := lz4Writers.get()
	if w == nil {
		w = lz4.NewWriter(out)
		// As Kafka's Lz4BlockOutputStream: blocks of 64 KiB, independent, without checksums.
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.BlockChecksumOption(false)); err != nil {
			return dst, err
		}
	} else {
		w.Reset(out)
	}
	defer lz4Writers.put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func compressZstd(dst, src []byte) ([]byte, error) {
	w := zstdWriters.get()
	if w == nil {
		// Concurrency 1, and only EncodeAll is used: no goroutines.
		var err error
		if w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); err != nil {
			return dst, err
		}
	}
	defer zstdWriters.put(w)
	return w.EncodeAll(src, dst), nil
}

// Decompress appends src, unpacked, to dst. More than limit unpacked bytes are MESSAGE_TOO_LARGE; what the codec
// cannot read is CORRUPT_MESSAGE; a codec that does not exist is UNSUPPORTED_COMPRESSION_TYPE. Snappy is read raw and
// in the Java library's framing.
func Decompress(dst []byte, c Codec, src []byte, limit int) ([]byte, error) {
	r, done, err := unpacker(c, src, limit)
	if err != nil {
		return dst, err
	}
	defer done()
	start := len(dst)
	dst = slices.Grow(dst, min(2*len(src), limit, 1<<20)+1) // a guess; what grows from nothing is copied over and over
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			return dst, tooUnpacked(limit)
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, unreadable(c, err)
		}
	}
}

func tooUnpacked(limit int) error {
	return fmt.Errorf("batch unpacks to more than %d bytes: %w", limit, kerr.MessageTooLarge)
}

// unreadable is what a codec's complaint means; one that carries a Kafka error already keeps it.
func unreadable(c Codec, err error) error {
	var kafka *kerr.Error
	if errors.As(err, &kafka) {
		return err
	}
	return fmt.Errorf("unpacking %s: %v: %w", c, err, kerr.CorruptMessage)
}

// unpacker opens src for reading. done gives the codec back; it must be called, once, and ends the reader's life.
func unpacker(c Codec, src []byte, limit int) (r io.Reader, done func(), err error) {
	switch c {
	case None:
		return bytes.NewReader(src), func() {}, nil
	case Gzip:
		return unpackGzip(src)
	case Snappy:
		return newSnappyReader(src, limit), func() {}, nil
	case LZ4:
		z := lz4Readers.get()
		if z == nil {
			z = lz4.NewReader(bytes.NewReader(src))
		} else {
			z.Reset(bytes.NewReader(src))
		}
		return z, func() { z.Reset(nil); lz4Readers.put(z) }, nil
	case Zstd:
		return unpackZstd(src)
	}
	return nil, nil, unsupported(c)
}

func unpackGzip(src []byte) (io.Reader, func(), error) {
	z := gzipReaders.get()
	if z == nil {
		z = new(gzip.Reader)
	}
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		gzipReaders.put(z)
		return nil, nil, unreadable(Gzip, err)
	}
	return z, func() { gzipReaders.put(z) }, nil
}

func unpackZstd(src []byte) (io.Reader, func(), error) {
	z := zstdReaders.get()
	if z == nil {
		// Concurrency 1 unpacks in the caller: no goroutines.
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax)); err != nil {
			return nil, nil, unreadable(Zstd, err)
		}
	}
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return nil, nil, unreadable(Zstd, err)
	}
	return z, func() { _ = z.Reset(nil); zstdReaders.put(z) }, nil
}
