package wire

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
)

// Frames come in pieces of any size; what is not a frame is told apart from an orderly end.
func TestReadFrame(t *testing.T) {
	two := []byte{0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0}
	r := iotest.OneByteReader(bytes.NewReader(two))
	for _, want := range []string{"abc", ""} {
		if frame, err := ReadFrame(r, 100, nil); err != nil || string(frame) != want {
			t.Fatalf("%q %v", frame, err)
		}
	}
	if _, err := ReadFrame(r, 100, nil); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
	for name, data := range map[string][]byte{
		"negative":       {255, 255, 255, 255},
		"oversized":      {0, 0, 0, 101, 1, 2, 3},
		"truncated":      {0, 0, 0, 9, 1, 2},
		"truncated size": {0, 0},
	} {
		if _, err := ReadFrame(bytes.NewReader(data), 100, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A frame that fits goes into the caller's buffer; a peer that announces much and sends little gets little.
func TestReadFrameTakesRoomAsBytesCome(t *testing.T) {
	buf := make([]byte, 16)
	frame, err := ReadFrame(bytes.NewReader([]byte{0, 0, 0, 2, 7, 8}), 100, buf)
	if err != nil || &frame[0] != &buf[0] {
		t.Fatalf("%v, in the buffer: %v", err, err == nil && &frame[0] == &buf[0])
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ReadFrame(bytes.NewReader([]byte{6, 64, 0, 0, 1}), MaxFrame, nil); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*frameStep {
		t.Errorf("took %d bytes", took)
	}
}

// FuzzReadFrame: any bytes, any limit, never more than the limit, never a panic.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 'a', 'b', 'c'}, int32(10))
	f.Fuzz(func(t *testing.T, data []byte, limit int32) {
		frame, err := ReadFrame(bytes.NewReader(data), limit, nil)
		if err == nil && (len(frame) > int(limit) || !bytes.Equal(frame, data[4:4+len(frame)])) {
			t.Fatalf("%x of %x with limit %d", frame, data, limit)
		}
	})
}
