package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Hole is a place in an encoded fetch response where a file's bytes belong.
type Hole struct {
	At    int // index into the head: the slice goes out before head[At]
	Slice Slice
}

// AppendFetch appends the frame of a fetch response, size first, without its records, and tells where they go:
// records[i] are those of the i-th partition of the message, counted through its topics, and an empty slice means
// none. RecordBatches of the message are not looked at. What goes on the wire is
//
//	head[:holes[0].At] holes[0].Slice head[holes[0].At:holes[1].At] holes[1].Slice … head[holes[n].At:]
//
// and is byte for byte what kmsg would have made of the whole. The caller keeps the duty to call Done on each slice.
func AppendFetch(dst []byte, holes []Hole, correlation int32, resp *kmsg.FetchResponse, records []Slice) ([]byte, []Hole) {
	panic("unfinished")
}
