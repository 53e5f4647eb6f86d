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
	gzipWriters [10]pool[gzip.Writer] // by level, 0 for the default
	lz4Writers  [10]pool[lz4.Writer]  // by level, 0 for the fast one
	zstdWriters [5]pool[zstd.Encoder] // by the library's level
	gzipReaders pool[gzip.Reader]
	lz4Readers  pool[lz4.Reader]
	zstdReaders pool[zstd.Decoder]
)

// Default levels of the codecs (CompressionType). 0 means them, too.
const (
	GzipLevel = flate.DefaultCompression
	LZ4Level  = 9
	ZstdLevel = 3
)

// Compress appends src, compressed, to dst. Snappy gets the Java library's framing, as Kafka's own clients write it.
func Compress(dst []byte, c Codec, src []byte) ([]byte, error) { return CompressTo(dst, c, 0, src) }

// CompressTo is Compress with a level of the codec's: 1 to 9 of gzip, 1 to 17 of lz4, up to 22 of zstd, or the default (KIP-390). There are no
// levels of snappy. Those that our codecs do not tell apart, of lz4 above 9 and of zstd most, give the same.
func CompressTo(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, level, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, level, src)
	case Zstd:
		return compressZstd(dst, level, src)
	}
	return dst, unsupported(c)
}

func compressGzip(dst []byte, level int, src []byte) ([]byte, error) {
	level = min(max(level, 0), flate.BestCompression)
	writers, out := &gzipWriters[level], bytes.NewBuffer(dst)
	if level == 0 {
		level = GzipLevel
	}
	w := writers.get()
	if w == nil {
		w, _ = gzip.NewWriterLevel(out, level)
	} else {
		w.Reset(out)
	}
	defer writers.put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// lz4Levels are the library's.
var lz4Levels = [10]lz4.CompressionLevel{lz4.Fast, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}

func compressLZ4(dst []byte, level int, src []byte) ([]byte, error) {
	if level == LZ4Level { // which is the fast one, as in Kafka's Lz4BlockOutputStream; all others pack better
		level = 0
	}
	level = min(max(level, 0), len(lz4Levels)-1)
	writers, out := &lz4Writers[level], bytes.NewBuffer(dst)
	w := writers.get()
	if w == nil {
		w = lz4.NewWriter(out)
		// As Kafka's Lz4BlockOutputStream: blocks of 64 KiB, independent, without checksums.
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.BlockChecksumOption(false), lz4.CompressionLevelOption(lz4Levels[level])); err != nil {
			return dst, err
		}
	} else {
		w.Reset(out)
	}
	defer writers.put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func compressZstd(dst []byte, level int, src []byte) ([]byte, error) {
	if level == 0 {
		level = ZstdLevel
	}
	of := zstd.EncoderLevelFromZstd(level)
	writers := &zstdWriters[of]
	w := writers.get()
	if w == nil {
		// Concurrency 1, and only EncodeAll is used: no goroutines.
		var err error
		if w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithEncoderLevel(of)); err != nil {
			return dst, err
		}
	}
	defer writers.put(w)
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
