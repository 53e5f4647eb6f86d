package zookeeper

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
)

// ErrMalformed is wrapped by every error about a znode whose content is not what Kafka writes there. The error's text
// names the path.
var ErrMalformed = errors.New("malformed znode")

// encodeJSON writes v as Kafka's Json.encodeAsBytes does: compact, and with '<', '>' and '&' as they are.
//
// The structs of this package have their fields in the order in which Kafka's Scala maps hand them out, so that what
// we write has the same bytes: three and four entries keep the order of insertion, larger ones that of the hash table.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("zookeeper: " + err.Error()) // only our own structs come here, and they can all be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeJSON reads one JSON value and nothing after it. Fields that v does not know are skipped, as Kafka does, since
// a newer broker may have written them.
func decodeJSON(path string, data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return malformed(path, "%v", err)
	}
	return nil
}

func malformed(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", path, ErrMalformed, fmt.Sprintf(format, args...))
}

// required fails if one of the fields, given as name and "is there" in turn, is missing.
func required(path string, fields ...any) error {
	for i := 0; i < len(fields); i += 2 {
		if !fields[i+1].(bool) {
			return malformed(path, "no field %q", fields[i])
		}
	}
	return nil
}

// hashedMap encodes as JSON with its keys in the order of a Scala 2.13 mutable.HashMap or a Java ConcurrentHashMap
// (inside Properties): by the low bits of the spread hash code, then by the whole hash.
//
// Both begin with 16 buckets and double when the 12th entry arrives, the 24th, and so on. Example: the keys "0" to
// "9" have the hash codes 48 to 57, so "0" stands in bucket 0 and "9" in bucket 9: they come in order. "10" has the
// hash code 49*31+48 = 1567, bucket 15; with 20 entries there are 32 buckets and it stands in bucket 31.
type hashedMap[V any] map[string]V

// MarshalJSON implements json.Marshaler.
func (m hashedMap[V]) MarshalJSON() ([]byte, error) {
	buckets := uint32(16)
	for len(m) >= int(buckets)*3/4 {
		buckets *= 2
	}
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		x, y := spreadHash(a), spreadHash(b)
		return cmp.Or(cmp.Compare(x&(buckets-1), y&(buckets-1)), cmp.Compare(int32(x), int32(y)), cmp.Compare(a, b))
	})
	out := []byte{'{'}
	for i, key := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, encodeJSON(key)...)
		out = append(out, ':')
		out = append(out, encodeJSON(m[key])...)
	}
	return append(out, '}'), nil
}

// spreadHash is Java's String.hashCode with its upper half mixed into the lower.
func spreadHash(s string) uint32 {
	var h uint32
	for _, c := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(c)
	}
	return h ^ h>>16
}

// decimal reads the decimal numbers that Kafka writes as JSON strings.
func decimal(path, field, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, malformed(path, "field %q: %q is not a number", field, text)
	}
	return n, nil
}

// FormatTopicID is Kafka's form of a uuid: 22 characters of unpadded base64 with the URL alphabet (Uuid#toString).
func FormatTopicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseTopicID reads what FormatTopicID writes; padding is allowed, as in Uuid#fromString.
func ParseTopicID(text string) (id [16]byte, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(trimPadding(text))
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%q is not the base64url form of a uuid", text)
	}
	copy(id[:], raw)
	return id, nil
}

func trimPadding(text string) string {
	for len(text) > 22 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	return text
}
