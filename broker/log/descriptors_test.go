package log_test

import (
	"math"
	"os"
	"strings"
	"testing"

	"barnabas/broker/log"
	"barnabas/broker/osenv"
)

// openBelow counts this process's descriptors of what is below a directory, gone or not.
func openBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && strings.HasPrefix(to, dir) && strings.Contains(to, ".log") {
			n++
		}
	}
	return n
}

// Goal: a log of far more segments than there are descriptors is read from end to end, is opened again, moves to another directory and is
// deleted while somebody holds parts of it, and what is held gives its bytes to the last.
func TestSegmentsShareFewDescriptors(t *testing.T) {
	const most, records = 6, 600
	e, dirs := osenv.New(osenv.Options{Descriptors: most}), []string{t.TempDir(), t.TempDir()}
	m := manager(t, e, brokerConfig(dirs...))
	tp := topic("t", 0)
	l := create(t, m, tp, records)
	bounded := func() {
		t.Helper()
		for _, dir := range dirs {
			if n := openBelow(t, dir); n > most+1 { // and one that was needed while none could be spared
				t.Errorf("%d descriptors below %s, at most %d are kept", n, dir, most)
			}
		}
	}
	everything := func(l *log.Log) (all []byte) {
		t.Helper()
		for offset, n := int64(0), 0; offset < l.EndOffset(); n++ {
			s, err := l.Read(offset, 100, math.MaxInt64, true)
			if err != nil {
				t.Fatal(err)
			}
			data, err := s.Bytes()
			s.Release()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
			for len(data) > 0 {
				b, rest, err := nextBatch(data)
				if err != nil {
					t.Fatal(err)
				}
				offset, data = b.NextOffset(), rest
			}
		}
		return all
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	want := everything(l)
	if segments := l.Size() / 1000; segments < 5*most {
		t.Fatalf("%d segments are too few", segments)
	}
	bounded()
	if err := m.Shutdown(true); err != nil {
		t.Fatal(err)
	}
	m = manager(t, e, brokerConfig(dirs...))
	l = m.Get(tp)
	if string(everything(l)) != string(want) {
		t.Fatal("opened again, the log holds other bytes")
	}
	bounded()

	from := l.Dir()
	to := dirs[0]
	if from == to {
		to = dirs[1]
	}
	var held []log.Slice
	var bytes []string
	take := func(l *log.Log) {
		for offset := int64(0); offset < records; offset += 60 {
			s, err := l.Read(offset, 100, math.MaxInt64, true)
			if err != nil {
				t.Fatal(err)
			}
			data, err := s.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			held, bytes = append(held, s), append(bytes, string(data))
		}
	}
	give := func(when string) {
		for i, s := range held {
			if data, err := s.Bytes(); err != nil || string(data) != bytes[i] {
				t.Errorf("%s: slice %d: other bytes, or %v", when, i, err)
			}
		}
	}
	take(l)
	future, err := m.CreateFuture(tp, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := future.AppendAsFollower(want); err != nil {
		t.Fatal(err)
	}
	take(future)
	if err := future.Flush(); err != nil {
		t.Fatal(err)
	}
	l, retire, err := m.Promote(tp, records)
	if err != nil {
		t.Fatal(err)
	}
	retire()
	give("moved")
	if l.Dir() != to || string(everything(l)) != string(want) {
		t.Fatalf("moved to %s, the log is in %s, or holds other bytes", to, l.Dir())
	}
	if err := m.Delete(tp); err != nil {
		t.Fatal(err)
	}
	give("deleted")
	for _, s := range held {
		s.Release()
	}
	if err := m.Shutdown(true); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if n := openBelow(t, dir); n > 0 {
			t.Errorf("%d descriptors are left below %s", n, dir)
		}
	}
}
