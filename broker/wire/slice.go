package wire

import "barnabas/broker/env"

// Slice is a run of bytes in a file, or in memory, that will go to a socket untouched. Who holds a Slice must call Done exactly once,
// sent or not; until then the file stays open and the bytes stay what they are.
type Slice struct {
	File    env.File
	Pos     int64  // of the first byte in File
	Len     int32  // bytes; 0 with a nil File means nothing
	Release func() // may be nil
	Bytes   []byte // of Len bytes, in the place of a file: what had to be made for the client
}

// Done gives the slice back.
func (s Slice) Done() {
	if s.Release != nil {
		s.Release()
	}
}
