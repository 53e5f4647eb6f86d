package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A shape is what a request looks like on the wire, version by version. Before kmsg decodes a request its frame is
// walked along its shape: kmsg makes room for as many elements as a count announces if only that many bytes follow, so
// that a frame of 100 MiB could ask for many GiB, and it counts tags down from up to four thousand million. After the
// walk, every element that is announced is there.
//
// A shape is written as the fields in their order, separated by blanks:
//
//	bool i8 i16 i32 i64 uuid    fixed size
//	str nstr nbytes             string, nullable string, nullable bytes; compact in flexible versions
//	[]i32 []str                 array of bare fields
//	[ … ]                       array of structures
//	3:x  -2:x  1-4:x            x from version 3, up to 2, from 1 to 4
//	?[ … ]  ?[]str              an array that may be null
//	tag1=x  tag1=( … )          a tagged field that kmsg knows (flexible versions only)
//
// Every structure ends in tags in flexible versions; that is not written. TestShapesAgreeWithKmsg holds the shapes
// against kmsg for all versions.
//
// Source: the message definitions in Kafka's clients/src/main/resources/common/message.
type shape struct {
	flexibleFrom int16
	fields       []field
}

type kind uint8

const (
	kindFixed     kind = iota
	kindString         // int16 length, or compact
	kindBytes          // int32 length, or compact
	kindArray          // of bare fields
	kindStructs        // array of structures
	kindStructure      // one structure, in a tag
)

type field struct {
	kind     kind
	min, max int16
	size     int  // of kindFixed
	nullable bool // strings, bytes, arrays
	tag      int  // -1 for an ordinary field
	fields   []field
}

var (
	errShort = errors.New("the frame ends inside a field")
	errNull  = errors.New("null where there must be a value")
	errTag   = errors.New("a tagged field is longer than its content")
)

// never is the first flexible version of what has none.
const never = 1 << 14

const isrPartition = "-1:str i32 i32 i32 i32 []i32 i32 []i32 3:[]i32 3:[]i32 1:bool 6:i8"
const metadataPartition = "-4:str i32 i32 i32 i32 []i32 i32 []i32 4:[]i32"

var (
	shapeProduce              = newShape(9, "3:nstr i16 i32 [ str [ i32 nbytes ] ]")
	shapeFetch                = newShape(12, "-14:i32 i32 i32 3:i32 4:i8 7:i32 7:i32 [ -12:str 13:uuid [ i32 9:i32 i64 12:i32 5:i64 i32 tag0=uuid tag1=i64 ] ] 7:[ -12:str 13:uuid []i32 ] 11:str tag0=nstr tag1=( i32 i64 )")
	shapeListOffsets          = newShape(6, "i32 2:i8 [ str [ i32 4:i32 i64 0-0:i32 ] ]")
	shapeMetadata             = newShape(9, "0-0:[ str ] 1:?[ 10:uuid -9:str 10:nstr ] 4:bool 8-10:bool 8:bool")
	shapeLeaderAndISR         = newShape(4, "i32 7:bool i32 2:i64 5:i8 -1:[ "+isrPartition+" ] 2:[ str 5:uuid [ "+isrPartition+" ] ] [ i32 str i32 ]")
	shapeStopReplica          = newShape(2, "i32 i32 4:bool 1:i64 -2:bool [ str 0-0:i32 1-2:[]i32 3:[ i32 i32 bool ] ]")
	shapeUpdateMetadata       = newShape(6, "i32 8:bool i32 5:i64 -4:[ "+metadataPartition+" ] 5:[ str 7:uuid [ "+metadataPartition+" ] ] [ i32 0-0:str 0-0:i32 1:[ i32 str 3:str i16 ] 2:nstr ]")
	shapeControlledShutdown   = newShape(3, "i32 2:i64")
	shapeAPIVersions          = newShape(3, "3:str 3:str")
	shapeCreateTopics         = newShape(5, "[ str i32 i16 [ i32 []i32 ] [ str nstr ] ] i32 1:bool")
	shapeDeleteTopics         = newShape(4, "-5:[]str 6:[ nstr uuid ] i32")
	shapeDeleteRecords        = newShape(2, "[ str [ i32 i64 ] ] i32")
	shapeAlterReplicaLogDirs  = newShape(2, "[ str [ str []i32 ] ]")
	shapeDescribeLogDirs      = newShape(2, "?[ str []i32 ]")
	shapeInitProducerID       = newShape(2, "nstr i32 3:i64 3:i16")
	shapeOffsetForLeaderEpoch = newShape(4, "3:i32 [ str [ i32 2:i32 i32 ] ]")
	shapeDescribeConfigs      = newShape(4, "[ i8 str ?[]str ] 1:bool 3:bool")
	shapeAlterPartition       = newShape(0, "i32 i64 [ -1:str 2:uuid [ i32 i32 -2:[]i32 3:[ i32 i64 ] 1:i8 i32 ] ]")
	shapeDescribeCluster      = newShape(0, "bool 1:i8")
	shapeAllocateProducerIDs  = newShape(0, "i32 i64")
	shapeFindCoordinator      = newShape(3, "-3:str 1:i8 4:[]str")
	shapeJoinGroup            = newShape(6, "str i32 1:i32 str 5:nstr str [ str nbytes ] 8:nstr")
	shapeSyncGroup            = newShape(4, "str i32 str 3:nstr 5:nstr 5:nstr [ str nbytes ]")
	shapeHeartbeat            = newShape(4, "str i32 str 3:nstr")
	shapeLeaveGroup           = newShape(4, "str -2:str 3:[ str nstr 5:nstr ]")
	shapeOffsetCommit         = newShape(8, "str 1:i32 1:str 7:nstr 2-4:i64 [ str [ i32 i64 1-1:i64 6:i32 nstr ] ]")
	shapeOffsetFetch          = newShape(6, "-7:str -7:?[ str []i32 ] 8:[ str 9:nstr 9:i32 ?[ str []i32 ] ] 7:bool")
	shapeOffsetDelete         = newShape(never, "str [ str [ i32 ] ]")
	shapeDescribeGroups       = newShape(5, "[]str 3:bool")
	shapeListGroups           = newShape(3, "4:[]str 5:[]str")
	shapeDeleteGroups         = newShape(2, "[]str")
)

func (s shape) flexible(version int16) bool { return version >= s.flexibleFrom }

// check walks body. What is left over is no error: Kafka reads past it too.
func (s shape) check(body []byte, version int16) error {
	w := walker{left: body, version: version, flexible: s.flexible(version)}
	w.structure(s.fields)
	return w.err
}

// walker is at one place of a frame. After an error it stays where it is.
type walker struct {
	left     []byte
	version  int16
	flexible bool
	err      error
}

func (w *walker) structure(fields []field) {
	for i := range fields {
		f := &fields[i]
		if f.tag >= 0 || w.version < f.min || w.version > f.max {
			continue
		}
		if w.one(f); w.err != nil {
			return
		}
	}
	if w.flexible {
		w.tags(fields)
	}
}

func (w *walker) one(f *field) {
	switch f.kind {
	case kindFixed:
		w.skip(f.size)
	case kindString:
		w.span(w.length(2), f.nullable)
	case kindBytes:
		w.span(w.length(4), f.nullable)
	case kindStructure:
		w.structure(f.fields)
	default:
		n := w.length(4)
		if n < 0 && !f.nullable {
			w.fail(errNull)
		}
		if f.kind == kindArray && f.fields[0].kind == kindFixed {
			w.skip(max(n, 0) * f.fields[0].size)
			return
		}
		for ; n > 0 && w.err == nil; n-- {
			if f.kind == kindArray {
				w.one(&f.fields[0])
			} else {
				w.structure(f.fields)
			}
		}
	}
}

// tags walks the tagged fields at the end of a structure, and into those that kmsg knows.
func (w *walker) tags(fields []field) {
	for n := w.uvarint(); n > 0 && w.err == nil; n-- {
		tag := w.uvarint()
		content := w.take(w.uvarint())
		for i := range fields {
			if f := &fields[i]; f.tag == tag && w.err == nil {
				inner := walker{left: content, version: w.version, flexible: true}
				inner.one(f)
				if w.err = inner.err; w.err == nil && len(inner.left) > 0 {
					w.err = errTag
				}
			}
		}
	}
}

// length reads a length: of size bytes, or compact. -1 is null.
func (w *walker) length(size int) int {
	if w.flexible {
		return w.uvarint() - 1
	}
	b := w.take(size)
	switch {
	case b == nil:
		return 0
	case size == 2:
		return int(int16(binary.BigEndian.Uint16(b)))
	default:
		return int(int32(binary.BigEndian.Uint32(b)))
	}
}

func (w *walker) uvarint() int {
	v, n := binary.Uvarint(w.left[:min(len(w.left), 5)])
	if n <= 0 || v > 0xffffffff {
		w.fail(errShort)
		return 0
	}
	w.left = w.left[n:]
	return int(v)
}

func (w *walker) span(n int, nullable bool) {
	if n < 0 {
		if !nullable {
			w.fail(errNull)
		}
		return
	}
	w.skip(n)
}

func (w *walker) skip(n int) { w.take(n) }

func (w *walker) take(n int) []byte {
	if w.err != nil || n < 0 || n > len(w.left) {
		w.fail(errShort)
		return nil
	}
	b := w.left[:n]
	w.left = w.left[n:]
	return b
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.left = nil
}

// skipTags skips the tagged fields at the end of a header.
func skipTags(b []byte) ([]byte, error) {
	w := walker{left: b, flexible: true}
	w.tags(nil)
	return w.left, w.err
}

// newShape reads the notation above. It panics on what it does not know: shapes are constants of the program.
func newShape(flexibleFrom int16, text string) shape {
	p := shapeParser{words: strings.Fields(text)}
	s := shape{flexibleFrom: flexibleFrom, fields: p.fields("")}
	if len(p.words) > 0 {
		panic("wire: shape " + text + ": left over: " + p.words[0])
	}
	return s
}

type shapeParser struct{ words []string }

// fields reads up to the word that ends the list.
func (p *shapeParser) fields(end string) []field {
	var fields []field
	for len(p.words) > 0 {
		word := p.words[0]
		p.words = p.words[1:]
		if word == end {
			return fields
		}
		fields = append(fields, p.field(word))
	}
	if end != "" {
		panic("wire: shape: missing " + end)
	}
	return fields
}

func (p *shapeParser) field(word string) field {
	f := field{max: 1 << 14, tag: -1}
	if versions, rest, ok := strings.Cut(word, ":"); ok {
		word = rest
		low, high, isRange := strings.Cut(versions, "-")
		f.min = versionOf(low, 0)
		if isRange {
			f.max = versionOf(high, f.max)
		}
	}
	if rest, ok := strings.CutPrefix(word, "tag"); ok {
		number, rest, _ := strings.Cut(rest, "=")
		f.tag, word = int(versionOf(number, 0)), rest
	}
	word, f.nullable = strings.CutPrefix(word, "?")
	if bare, ok := strings.CutPrefix(word, "[]"); ok {
		f.kind, f.fields = kindArray, []field{p.field(bare)}
		return f
	}
	switch word {
	case "[":
		f.kind, f.fields = kindStructs, p.fields("]")
	case "(":
		f.kind, f.fields = kindStructure, p.fields(")")
	case "str", "nstr":
		f.kind, f.nullable = kindString, word == "nstr"
	case "nbytes":
		f.kind, f.nullable = kindBytes, true
	default:
		size, ok := map[string]int{"bool": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "uuid": 16}[word]
		if !ok {
			panic("wire: shape: unknown word " + word)
		}
		f.kind, f.size = kindFixed, size
	}
	return f
}

func versionOf(text string, otherwise int16) int16 {
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 16)
	if err != nil {
		panic(fmt.Sprintf("wire: shape: %v", err))
	}
	return int16(n)
}
