package record

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

// String is Kafka's name of the codec, as in compression.type.
func (c Codec) String() string {
	if c < None || c > Zstd {
		return "unknown"
	}
	return [...]string{"none", "gzip", "snappy", "lz4", "zstd"}[c]
}

// Compress appends src, compressed, to dst. Snappy gets the Java library's framing, as Kafka's own clients write it.
func Compress(dst []byte, c Codec, src []byte) ([]byte, error) { panic("unfinished") }

// Decompress appends src, unpacked, to dst. More than limit unpacked bytes are MESSAGE_TOO_LARGE; what the codec
// cannot read is CORRUPT_MESSAGE; a codec that does not exist is UNSUPPORTED_COMPRESSION_TYPE. Snappy is read raw and
// in the Java library's framing.
func Decompress(dst []byte, c Codec, src []byte, limit int) ([]byte, error) { panic("unfinished") }
