package wire

import "barnabas/broker/env"

// Slice is a run of bytes in a file that will go to a socket untouched. Who holds a Slice must call Done exactly once,
// sent or not; until then the file stays open and the bytes stay what they are.
type Slice struct {
	File    env.File
	Pos     int64  // of the first byte in File
	Len     int32  // bytes; 0 with a nil File means nothing
	Release func() // may be nil
}

// Done gives the slice back.
func (s Slice) Done() {
	if s.Release != nil {
		s.Release()
	}
}
