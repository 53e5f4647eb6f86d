package log_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
)

// watched counts what a log costs the file system.
type watched struct {
	env.Env
	opens, syncs, dirs int
}

func (w *watched) Open(name string, mode env.OpenMode) (env.File, error) {
	w.opens++
	return w.Env.Open(name, mode)
}

func (w *watched) SyncDir(name string) error {
	w.syncs++
	return w.Env.SyncDir(name)
}

func (w *watched) MkdirAll(name string) error {
	w.dirs++
	return w.Env.MkdirAll(name)
}

// Goal: creating partitions costs no file, no sync, and no directory while somebody waits; the directories come soon after; and
// deleting one before it has its directory leaves none.
func TestNewLogsCostTheDiskNothing(t *testing.T) {
	run(t, func(real env.Env) {
		e := &watched{Env: real}
		m := manager(t, e, brokerConfig("/data/a"))
		m.Start()
		defer m.Shutdown(true)
		before := *e
		for n := range int32(50) {
			create(t, m, topic("t", n), 0)
		}
		if e.opens != before.opens || e.syncs != before.syncs {
			t.Errorf("50 logs: %d files opened, %d directories synced", e.opens-before.opens, e.syncs-before.syncs)
		}
		if err := m.Delete(topic("t", 49)); err != nil {
			t.Fatal(err)
		}
		e.Sleep(time.Second)
		if made := e.dirs - before.dirs; made < 49 || made > 50 {
			t.Errorf("49 logs: %d directories made", made)
		}
		for n := range int32(50) {
			_, err := e.Stat("/data/a/" + topic("t", n).String())
			if there := err == nil; there != (n < 49) {
				t.Errorf("t-%d: %v", n, err)
			}
		}
		if l := m.Get(topic("t", 3)); l.TopicID() != ([16]byte{1, 3}) {
			t.Errorf("topic id %x", l.TopicID())
		}
	})
}

// Goal: from its first durable record on, a log keeps its directory, topic id and leader epochs through any power loss; before that
// it may lose them, and then takes another topic's id. A stop is no birth either.
func TestLogsAreBornWithTheirFirstRecord(t *testing.T) {
	for _, keep := range []disk.Keep{disk.KeepNone, disk.KeepRandom} {
		for seed := range uint64(20) {
			w := cluster.New(cluster.Options{Seed: seed})
			never, written := topic("never", 0), topic("written", 0)
			cfg := brokerConfig("/data/a")
			id := [16]byte{1}
			life := func(f func(*log.Manager)) {
				done := false
				w.SetMain("b1", func(e env.Env) {
					m := manager(t, e, cfg)
					f(m)
					done = true
				})
				w.Start("b1")
				w.RunUntil(func() bool { return done || w.Status("b1") != cluster.Running }, env.Instant(time.Hour))
				if c := w.Crashes(); len(c) > 0 {
					t.Fatalf("seed %d: %s", seed, c[0])
				}
				w.PowerLoss("b1", keep)
			}
			w.AddNode("b1", func(env.Env) {})
			life(func(m *log.Manager) {
				for _, l := range []*log.Log{create(t, m, never, 0), create(t, m, written, 0)} {
					if err := l.AssignEpoch(4, 0); err != nil {
						panic(err)
					}
				}
				config := small
				config.FlushMessages = 1
				m.Get(written).SetConfig(config)
				appendTo(m, written)
			})
			life(func(m *log.Manager) {
				l := m.Get(written)
				if l == nil || l.EndOffset() != 1 || l.TopicID() != id || l.LatestEpoch() != 4 {
					t.Fatalf("seed %d: %+v", seed, l)
				}
				if _, err := m.GetOrCreate(written, [16]byte{9}, small); !errors.Is(err, kerr.InconsistentTopicID) {
					t.Errorf("seed %d: another topic's directory: %v", seed, err)
				}
				other, err := m.GetOrCreate(never, [16]byte{9}, small)
				if err != nil || other.EndOffset() != 0 || other.TopicID() != [16]byte{9} {
					t.Errorf("seed %d: an empty directory: %v", seed, err)
				}
				if err := other.TruncateFullyAndStartAt(0); err != nil { // a birth, too
					panic(err)
				}
				if err := m.Shutdown(true); err != nil {
					panic(err)
				}
			})
			life(func(m *log.Manager) {
				if l := m.Get(never); l == nil || l.TopicID() != [16]byte{9} {
					t.Errorf("seed %d: born, and lost", seed)
				}
			})
			w.Close()
		}
	}
}

func appendTo(m *log.Manager, tp wire.TopicPartition) {
	if _, err := m.Get(tp).AppendAsLeader(build("v", 1, nil), 4, log.AppendOptions{}); err != nil {
		panic(err)
	}
}

// Goal: an epoch without records costs no write, neither when it is assigned nor when a start cuts it; it is in the file once it has a
// record, whoever assigned it, and one that was cut is not, once the log has grown over where it began.
func TestEpochsAreWrittenWithTheirFirstRecord(t *testing.T) {
	run(t, func(real env.Env) {
		e := &watched{Env: real}
		f := open(t, e, nil)
		f.fill(20)
		inFile := func() []log.EpochEntry { // what the next start makes of the file, were the log as long as it can be
			t.Helper()
			var out []log.EpochEntry
			for _, line := range strings.Split(strings.TrimSpace(content(t, real, home+"leader-epoch-checkpoint")), "\n")[2:] {
				var entry log.EpochEntry
				if _, err := fmt.Sscan(line, &entry.Epoch, &entry.StartOffset); err != nil {
					t.Fatal(err)
				}
				out = append(out, entry)
			}
			return out
		}
		end := f.EndOffset()
		before := e.opens
		f.must(f.AssignEpoch(7, end))
		if f.LatestEpoch() != 7 || e.opens != before {
			t.Errorf("epoch %d, %d files opened", f.LatestEpoch(), e.opens-before)
		}
		f.lead(7, "seven", 1)
		if got := inFile(); !slices.Equal(got, f.Epochs()) || got[len(got)-1] != (log.EpochEntry{Epoch: 7, StartOffset: end}) {
			t.Errorf("in the file: %v, known: %v", got, f.Epochs())
		}
		f.must(f.AssignEpoch(9, end+1))
		f.must(f.TruncateTo(end)) // 7 has no record any more, and 9 neither
		f.must(f.AssignEpoch(8, end))
		f.reopen(true)
		if latest := f.LatestEpoch(); latest >= 7 {
			t.Errorf("epoch %d begins behind the log", latest)
		}
		f.must(f.follow(f.LatestEpoch(), end, "old", 1))
		if got := inFile(); !slices.Equal(got, f.Epochs()) {
			t.Errorf("in the file: %v, known: %v", got, f.Epochs())
		}
		f.reopen(true)
		if at := f.EpochAt(end); at != f.LatestEpoch() || at >= 7 {
			t.Errorf("the record at %d is of epoch %d", end, at)
		}
	})
}
