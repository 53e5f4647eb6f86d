package log_test

import (
	"fmt"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
)

// Goal: a flipped bit in the base offset of a batch, which no checksum covers, never panics the broker, and costs nobody the records behind it:
// the index is made again from that file while the log goes on. Method: each byte of the base offset of each batch, flipped under a log that
// is in use; readers ask for every offset, so that the index is made again, then the log is written to and what is new is read back.
func TestFlippedBaseOffsetUnderARunningLog(t *testing.T) {
	const before, after = 12, 12
	for victim := 1; victim < before; victim++ {
		for at := int64(4); at < 8; at++ {
			run(t, func(e env.Env) {
				f := open(t, e, func(o *log.Options) { o.Config.SegmentBytes = 1 << 20 })
				size := int64(0)
				for i := range before {
					f.lead(0, fmt.Sprint("old", i), 1+i%2)
					f.change("00000000000000000000.log", func(_ env.File, n int64) {
						if i == victim-1 {
							size = n
						}
					})
				}
				f.change("00000000000000000000.log", flip(size+at))
				read := func() {
					for offset := range f.EndOffset() {
						if s, err := f.Read(offset, 1<<20, f.EndOffset(), true); err == nil {
							s.Release()
						}
					}
				}
				read()
				first := f.EndOffset()
				for i := range after {
					f.lead(0, fmt.Sprint("new", i), 1)
				}
				read()
				for i := range int64(after) {
					want := fmt.Sprintf("%d=new%d-0", first+i, i)
					if got := f.values(first+i, f.EndOffset(), 1); int64(len(got)) != after-i || got[0] != want {
						t.Fatalf("batch %d, byte %d: from %d on there are %d records, the first %q, want %d and %q", victim, at, first+i, len(got), got, after-i, want)
					}
				}
			})
		}
	}
}
