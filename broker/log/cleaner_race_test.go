package log_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/osenv"
)

// Goal: on real threads, a cleaner beside appends, reads, truncations and syncs races with none of them, and readers
// find only what was written. Method: the race detector, and a table read back.
func TestCleanerOnRealThreads(t *testing.T) {
	e := osenv.New(osenv.Options{})
	cfg := &config.Broker{LogDirs: []string{t.TempDir()}, Topic: small, LogCleanerEnable: true, LogCleanerBackoff: time.Millisecond, LogCleanerThreads: 2}
	m := manager(t, e, cfg)
	m.Start()
	l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, compact)
	check(t, err)
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			for next := l.StartOffset(); ; {
				s, err := l.Read(next, 500, math.MaxInt64, true)
				if err != nil {
					break // truncated meanwhile
				}
				data, err := s.Bytes()
				_, _ = l.AbortedTransactions(s, next)
				s.Release()
				if err != nil || len(data) == 0 {
					break
				}
				for len(data) > 0 {
					b, rest, err := nextBatch(data)
					if err != nil {
						done <- err
						return
					}
					next, data = b.NextOffset(), rest
				}
			}
		}
	}()
	for i := range 60 {
		put(t, l, 1000, keys(20), fmt.Sprint(i))
		if i%5 == 4 {
			check(t, l.TruncateTo(l.EndOffset()-30))
		}
		if i%7 == 6 {
			check(t, l.Flush())
		}
	}
	put(t, l, 1000, keys(20), "last")
	close(stop)
	check(t, <-done)
	last := map[string]bool{}
	for _, r := range table(t, l) {
		last[r] = true
	}
	for i, key := range keys(20) {
		if want := fmt.Sprintf("%d %s=%s-last", l.EndOffset()-20+int64(i), key, key); !last[want] {
			t.Errorf("%s is missing", want)
		}
	}
	check(t, m.Shutdown(true))
}
