package log_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// oldMessage is a message of magic 1, as Kafka's brokers before 0.11 kept them.
func oldMessage(offset int64, key, value string) []byte {
	be := binary.BigEndian
	m := be.AppendUint64(nil, uint64(offset))
	m = append(m, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)
	m = be.AppendUint64(m, uint64(1000+offset))
	for _, p := range []string{key, value} {
		m = append(be.AppendUint32(m, uint32(len(p))), p...)
	}
	be.PutUint32(m[8:], uint32(len(m)-12))
	be.PutUint32(m[12:], crc32.ChecksumIEEE(m[16:]))
	return m
}

// Goal: a log of which the older segments, and half of a newer one, are messages of magic 1 is opened in a directory that Kafka has written: every record has its offset,
// key, value and time; the log goes on; a second start finds nothing to do; a message that is broken ends the log, or is met by its reader, as with batches. In a
// directory of ours such a log is still refused. Method: segments with gaps, behind a clean stop and behind none.
func TestOldSegmentsBecomeBatches(t *testing.T) {
	const kafkas = "#\n#Thu Nov 28 18:00:00 UTC 2024\nbroker.id=1\ncluster.id=kZxq\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nversion=0\n"
	for _, clean := range []bool{true, false} {
		for _, foreign := range []bool{true, false} {
			for _, broken := range []bool{false, true} {
				run(t, func(e env.Env) {
					f := &fixture{t: t, Env: e}
					put := func(name string, data []byte) { f.must(env.ReplaceFile(e, "/data/a/"+name, data)) }
					f.must(e.MkdirAll("/data/a/t-0"))
					meta := "#\nbroker.id=1\ncluster.id=kZxq\nversion=0\n"
					if foreign {
						meta = kafkas
					}
					put("meta.properties", []byte(meta))
					if clean {
						put(".kafka_cleanshutdown", []byte(`{"version":0,"brokerEpoch":-1}`))
					}
					var want []string
					var segments [2][]byte
					for i := range int64(60) {
						if i%5 == 3 {
							continue // compacted away
						}
						m := oldMessage(i, "k", fmt.Sprintf("value-%d", i))
						if broken && i == 52 {
							m[20] ^= 1
						}
						segments[i/30] = append(segments[i/30], m...)
						want = append(want, fmt.Sprintf("%d=value-%d", i, i))
					}
					batch := build("new", 2, func(o *record.BatchOptions) { o.BaseOffset, o.LeaderEpoch = 60, 3 })
					put("t-0/00000000000000000000.log", segments[0])
					put("t-0/00000000000000000030.log", append(segments[1], batch...))
					want = append(want, "60=new-0", "61=new-1")
					put("t-0/00000000000000000000.index", nil)
					cfg := brokerConfig("/data/a")
					m, err := log.OpenManager(e, cfg)
					if !foreign {
						if err == nil && !clean {
							t.Error("opened, in a directory of ours")
						}
						if m != nil {
							m.Shutdown(false)
						}
						return
					}
					f.must(err)
					f.Log = m.Get(topic("t", 0))
					end := int64(62)
					if broken && !clean { // 50 and 51 are before it
						want, end = want[:len(want)-8], 52
						if r := m.Recoveries()[0]; r.CutBytes == 0 {
							t.Errorf("recovery %+v", r)
						}
					}
					if broken && clean {
						f.SetHighWatermark(f.EndOffset())
						for from := int64(0); ; {
							s, err := f.Read(from, math.MaxInt32, f.EndOffset(), true)
							if err != nil {
								f.want(err, kerr.CorruptMessage)
								return
							}
							data, err := s.Bytes()
							f.must(err)
							s.Release()
							b, _, err := nextBatch(data)
							if err != nil {
								if from != 52 {
									t.Errorf("broken at %d: %v", from, err)
								}
								return
							}
							from = b.NextOffset()
						}
					}
					if got := f.EndOffset(); got != end {
						t.Fatalf("clean %t: the log ends at %d, want %d", clean, got, end)
					}
					if got := f.values(0, math.MaxInt64, 1<<20); fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("clean %t: %v\nwant %v", clean, got, want)
					}
					if offset, timestamp, _, err := f.OffsetForTimestamp(1013); err != nil || offset != 14 || timestamp != 1014 {
						t.Errorf("time: %d at %d, %v", offset, timestamp, err)
					}
					f.SetHighWatermark(f.EndOffset())
					f.lead(4, "more", 1)
					f.must(m.Shutdown(true))
					w := &renamed{Env: e}
					m = manager(t, w, cfg)
					f.Log = m.Get(topic("t", 0))
					if got := f.values(0, math.MaxInt64, 1<<20); len(got) != len(want)+1 || w.n != 0 {
						t.Errorf("the second start: %d records, %d segments renamed", len(got), w.n)
					}
					f.must(m.Shutdown(true))
				})
			}
		}
	}
}

// renamed counts segments that take another's place.
type renamed struct {
	env.Env
	n int
}

func (w *renamed) Rename(from, to string) error {
	if strings.HasSuffix(to, ".log.swap") {
		w.n++
	}
	return w.Env.Rename(from, to)
}

// Goal: a start that is stopped at any step of it loses nothing: the next one finds all. Method: each operation on the disk fails in its turn.
func TestOldSegmentsSurviveAStopAtEveryStep(t *testing.T) {
	run(t, func(e env.Env) {
		f := &fixture{t: t, Env: e}
		steps := 0
		for stopped := true; stopped; steps++ {
			dir := fmt.Sprintf("/data/%d", steps)
			f.must(e.MkdirAll(dir + "/t-0"))
			f.must(env.ReplaceFile(e, dir+"/meta.properties", []byte("broker.id=1\ncluster.id=kZxq\nversion=0\n")))
			f.must(env.ReplaceFile(e, dir+"/.kafka_cleanshutdown", nil))
			var data []byte
			for i := range int64(40) {
				data = append(data, oldMessage(i, "k", "v")...)
			}
			f.must(env.ReplaceFile(e, dir+"/t-0/00000000000000000000.log", data))
			w := &stops{Env: e, left: steps}
			m, err := log.OpenManager(w, brokerConfig(dir))
			if stopped = w.left < 0; !stopped {
				f.must(err)
				w.left = math.MaxInt32
				f.must(m.Shutdown(true))
				break
			}
			if m != nil {
				m.Shutdown(false)
			}
			m = manager(t, e, brokerConfig(dir))
			f.Log = m.Get(topic("t", 0))
			if got := f.values(0, math.MaxInt64, 1<<20); len(got) != 40 {
				t.Fatalf("stopped at step %d: %d records", steps, len(got))
			}
			f.must(m.Shutdown(true))
		}
		if steps < 10 {
			t.Errorf("only %d steps", steps)
		}
	})
}

// stops is a disk that fails for good after some operations which change it.
type stops struct {
	env.Env
	left int
}

func (w *stops) step() error {
	if w.left--; w.left < 0 {
		return env.ErrIO
	}
	return nil
}

func (w *stops) Rename(from, to string) error {
	return errors.Join(w.step(), w.unless(func() error { return w.Env.Rename(from, to) }))
}
func (w *stops) Remove(name string) error {
	return errors.Join(w.step(), w.unless(func() error { return w.Env.Remove(name) }))
}
func (w *stops) SyncDir(name string) error {
	return errors.Join(w.step(), w.unless(func() error { return w.Env.SyncDir(name) }))
}

// unless does op if nothing has failed.
func (w *stops) unless(op func() error) error {
	if w.left < 0 {
		return nil
	}
	return op()
}

func (w *stops) Open(name string, mode env.OpenMode) (env.File, error) {
	if mode == env.Create || mode == env.CreateNew {
		if err := w.step(); err != nil {
			return nil, err
		}
	}
	return w.Env.Open(name, mode)
}
