// Goal: the manager finds after every stop what it held before, in Kafka's files, and forgets what was deleted.
package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
)

func topic(name string, partition int32) wire.TopicPartition {
	return wire.TopicPartition{Topic: name, Partition: partition}
}

func brokerConfig(dirs ...string) *config.Broker { return &config.Broker{LogDirs: dirs, Topic: small} }

func manager(t testing.TB, e env.Env, cfg *config.Broker) *log.Manager {
	m, err := log.OpenManager(e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func create(t testing.TB, m *log.Manager, tp wire.TopicPartition, records int) *log.Log {
	l, err := m.GetOrCreate(tp, [16]byte{1, byte(tp.Partition)}, small)
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if _, err := l.AppendAsLeader(build("v", 1, nil), 4, log.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func content(t testing.TB, e env.Env, name string) string {
	data, err := env.ReadFile(e, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestManagerWritesKafkasFiles(t *testing.T) {
	run(t, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		if err := m.SetMeta(log.Meta{ClusterID: "kZxq", BrokerID: 2}); err != nil {
			t.Fatal(err)
		}
		create(t, m, topic("b-c", 1), 3)
		create(t, m, topic("a", 10), 2)
		l := create(t, m, topic("a", 2), 40)
		if err := l.AdvanceStartOffset(5); err != nil {
			t.Fatal(err)
		}
		if err := m.CheckpointHighWatermarks(map[wire.TopicPartition]int64{topic("a", 2): 7, topic("b-c", 1): 3, topic("gone", 0): 9}); err != nil {
			t.Fatal(err)
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"meta.properties":                  "#\nbroker.id=2\ncluster.id=kZxq\nversion=0\n",
			"recovery-point-offset-checkpoint": "0\n3\na 2 40\na 10 2\nb-c 1 3\n",
			"replication-offset-checkpoint":    "0\n2\na 2 7\nb-c 1 3\n",
			"log-start-offset-checkpoint":      "0\n1\na 2 5\n",
			".kafka_cleanshutdown":             `{"version":0,"brokerEpoch":-1}`,
			"a-2/leader-epoch-checkpoint":      "0\n1\n4 0\n",
			"a-2/partition.metadata":           "version: 0\ntopic_id: AQIAAAAAAAAAAAAAAAAAAA",
		} {
			if got := content(t, e, "/data/a/"+name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		m = manager(t, e, brokerConfig("/data/a"))
		if _, err := e.Stat("/data/a/.kafka_cleanshutdown"); !errors.Is(err, env.ErrNotExist) {
			t.Error("the marker is still there")
		}
		if got := m.List(); !slices.Equal(got, []wire.TopicPartition{topic("a", 2), topic("a", 10), topic("b-c", 1)}) {
			t.Error(got)
		}
		if got := m.HighWatermarks(); !maps.Equal(got, map[wire.TopicPartition]int64{topic("a", 2): 7, topic("b-c", 1): 3}) {
			t.Error(got)
		}
		for _, r := range m.Recoveries() {
			if !r.Clean {
				t.Errorf("%+v", r)
			}
		}
		if l := m.Get(topic("a", 2)); l.EndOffset() != 40 || l.StartOffset() != 5 || l.RecoveryPoint() != 40 || l.TopicID() != [16]byte{1, 2} {
			t.Error(l.EndOffset(), l.StartOffset(), l.RecoveryPoint())
		}
		if got := m.Meta(); got != (log.Meta{ClusterID: "kZxq", BrokerID: 2}) {
			t.Error(got)
		}
		if err := m.SetMeta(log.Meta{ClusterID: "other", BrokerID: 2}); !errors.Is(err, kerr.InconsistentClusterID) {
			t.Error(err)
		}
		if err := m.SetMeta(log.Meta{ClusterID: "kZxq", BrokerID: 3}); err == nil {
			t.Error("another broker's disk was taken")
		}
		if _, err := m.GetOrCreate(topic("a", 2), [16]byte{9}, small); !errors.Is(err, kerr.InconsistentTopicID) {
			t.Error(err)
		}
	})
}

// Goal: a start that comes to nothing leaves a directory as it found it, clean or not: else the next one would recover all logs, or none.
func TestAbandonedStartLeavesDirectoriesAsFound(t *testing.T) {
	run(t, func(e env.Env) {
		const marker = "/data/a/.kafka_cleanshutdown"
		m := manager(t, e, brokerConfig("/data/a"))
		create(t, m, topic("a", 0), 20)
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		clean := content(t, e, marker)
		for range 2 {
			if err := manager(t, e, brokerConfig("/data/a")).Abandon(); err != nil {
				t.Fatal(err)
			}
			if got := content(t, e, marker); got != clean {
				t.Errorf("the marker is %q, was %q", got, clean)
			}
		}
		m = manager(t, e, brokerConfig("/data/a"))
		if r := m.Recoveries()[0]; !r.Clean || r.End != 20 {
			t.Errorf("%+v", r)
		}
		if err := m.Shutdown(false); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m = manager(t, e, brokerConfig("/data/a"))
			if r := m.Recoveries()[0]; r.Clean || r.End != 20 {
				t.Errorf("%+v", r)
			}
			if err := m.Abandon(); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Stat(marker); !errors.Is(err, env.ErrNotExist) {
				t.Error("what was not clean is marked so")
			}
		}
	})
}

func TestCorruptCheckpointCountsAsMissing(t *testing.T) {
	run(t, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		create(t, m, topic("a", 0), 20)
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"} {
			f, _ := e.Open("/data/a/"+name, env.Create)
			f.Truncate(0)
			f.WriteAt([]byte("0\n1\na zero 7"), 0)
			f.Close()
		}
		e.Remove("/data/a/.kafka_cleanshutdown")
		m = manager(t, e, brokerConfig("/data/a"))
		if r := m.Recoveries()[0]; r.Clean || r.From != 0 || r.End != 20 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestLogsSpreadOverDirectories(t *testing.T) {
	run(t, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a", "/data/b"))
		count := map[string]int{}
		for p := range int32(6) {
			count[create(t, m, topic("t", p), 1).Dir()]++
		}
		if count["/data/a"] != 3 || count["/data/b"] != 3 {
			t.Fatal(count)
		}
	})
}

// Goal: after a crash the logs of a directory are recovered several at once, as many as num.recovery.threads.per.data.dir says or four, and
// directories beside one another. Method: two directories of eight logs each; how many logs are being read
// at one time, where a read takes a millisecond.
func TestRecoveryIsParallel(t *testing.T) {
	for _, threads := range []int{1, 8} {
		run(t, func(e env.Env) {
			cfg := brokerConfig("/data/a", "/data/b")
			cfg.NumRecoveryThreads = threads
			m := manager(t, e, cfg)
			for n := range int32(16) {
				create(t, m, topic("t", n), 40)
			}
			if err := m.Shutdown(false); err != nil {
				t.Fatal(err)
			}
			w := &atOnce{Env: e, now: map[string]int{}, most: map[string]int{}}
			m = manager(t, w, cfg)
			if n := len(m.Recoveries()); n != 16 {
				t.Fatalf("%d logs recovered", n)
			}
			want := max(threads, 4)
			for _, dir := range []string{"/data/a", "/data/b"} {
				if got := w.most[dir]; got != want {
					t.Errorf("%d threads: up to %d logs at once in %s, want %d", threads, got, dir, want)
				}
			}
			if got := w.most[""]; got != 2*want {
				t.Errorf("%d threads: up to %d logs at once in both", threads, got)
			}
		})
	}
}

// atOnce counts how many logs are being read at one time, in each log directory and, "", in all.
type atOnce struct {
	env.Env
	now, most map[string]int
}

type readAtOnce struct {
	env.File
	w *atOnce
}

func (w *atOnce) Open(name string, mode env.OpenMode) (env.File, error) {
	f, err := w.Env.Open(name, mode)
	if err != nil || path.Ext(name) != ".log" {
		return f, err
	}
	return readAtOnce{f, w}, nil
}

func (f readAtOnce) ReadAt(p []byte, offset int64) (int, error) {
	dir := path.Dir(path.Dir(f.Name()))
	for _, d := range []string{dir, ""} {
		f.w.now[d]++
		f.w.most[d] = max(f.w.most[d], f.w.now[d])
	}
	f.w.Sleep(time.Millisecond)
	n, err := f.File.ReadAt(p, offset)
	f.w.now[dir]--
	f.w.now[""]--
	return n, err
}

// Goal: what keeps the broker from opening one directory leaves all of them as cleanly shut down as they were found.
// Method: a log that is in two directories; once it is taken out of the second, the start recovers nothing.
func TestOpeningThatFailsLeavesTheMarkers(t *testing.T) {
	run(t, func(e env.Env) {
		dirs := brokerConfig("/data/a", "/data/b", "/data/c")
		m := manager(t, e, dirs)
		for n := range int32(3) {
			create(t, m, topic("t", n), 5)
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		if err := e.MkdirAll("/data/b/t-0"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if m, err := log.OpenManager(e, dirs); err == nil || m != nil || !strings.Contains(err.Error(), "another log directory") {
				t.Fatalf("opened: %v", err)
			}
			for _, dir := range dirs.LogDirs {
				if _, err := e.Stat(dir + "/.kafka_cleanshutdown"); err != nil {
					t.Errorf("%s: %v", dir, err)
				}
			}
		}
		if err := env.RemoveAll(e, "/data/b/t-0"); err != nil {
			t.Fatal(err)
		}
		for _, r := range manager(t, e, dirs).Recoveries() {
			if !r.Clean {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A directory that fails takes its logs offline, and the others go on.
func TestFailedDirectoryIsToldOnce(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	var told []string
	w.AddNode("b1", func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a", "/data/b"))
		m.OnFailure(func(dir string, err error) { told = append(told, dir) })
		first, second := create(t, m, topic("t", 0), 1), create(t, m, topic("t", 1), 1)
		w.Disk("b1").SetFail(disk.OpWrite, true)
		first.AppendAsLeader(build("v", 1, nil), 4, log.AppendOptions{})
		w.Disk("b1").Heal()
		if _, err := second.AppendAsLeader(build("v", 1, nil), 4, log.AppendOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := m.GetOrCreate(topic("t", 2), [16]byte{1}, small); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("created beside an offline directory: %v", err)
		}
		if got := m.OfflineDirs(); !slices.Equal(got, []string{"/data/a"}) || !slices.Equal(told, got) {
			t.Errorf("offline %v, told %v", got, told)
		}
		if err := m.Shutdown(true); !errors.Is(err, kerr.KafkaStorageError) {
			t.Error(err)
		}
		if _, err := e.Stat("/data/a/.kafka_cleanshutdown"); !errors.Is(err, env.ErrNotExist) {
			t.Error("a failed directory was marked clean")
		}
		if _, err := e.Stat("/data/b/.kafka_cleanshutdown"); err != nil {
			t.Error(err)
		}
	})
	w.Start("b1")
	w.Run(env.Never)
	if c := w.Crashes(); len(c) > 0 {
		t.Fatal(c[0])
	}
}

// Whenever a deletion is interrupted, at the next start the partition is there, whole, or gone; never half; and a log
// of the same name, made later, inherits nothing.
func TestDeletionSurvivesCrashes(t *testing.T) {
	gone, there := 0, 0
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := cluster.New(cluster.Options{Seed: seed})
		deleting := false
		w.AddNode("b1", func(e env.Env) {
			m := manager(t, e, brokerConfig("/data/a"))
			create(t, m, topic("t", 0), 30)
			create(t, m, topic("u", 0), 30)
			if err := errors.Join(m.CheckpointHighWatermarks(map[wire.TopicPartition]int64{topic("t", 0): 30, topic("u", 0): 30}), m.Get(topic("t", 0)).Flush(), m.Get(topic("u", 0)).Flush(), m.CheckpointRecoveryPoints()); err != nil {
				panic(err)
			}
			deleting = true
			if err := m.Delete(topic("t", 0)); err != nil {
				panic(err)
			}
		})
		w.Start("b1")
		w.RunUntil(func() bool { return deleting }, env.Never)
		steps := w.Steps() + uint64(r.IntN(60))
		w.RunUntil(func() bool { return w.Steps() >= steps || w.Status("b1") != cluster.Running }, env.Never)
		if r.IntN(2) == 0 {
			w.PowerLoss("b1", disk.KeepRandom)
		} else {
			w.Crash("b1")
		}
		w.SetMain("b1", func(e env.Env) {
			m := manager(t, e, brokerConfig("/data/a"))
			if l := m.Get(topic("u", 0)); l.EndOffset() != 30 || m.HighWatermarks()[topic("u", 0)] != 30 {
				panic("the other log suffered")
			}
			if l := m.Get(topic("t", 0)); l != nil {
				there++
				if l.EndOffset() != 30 {
					panic(fmt.Sprint("half deleted: ", l.EndOffset()))
				}
				if err := m.Delete(topic("t", 0)); err != nil {
					panic(err)
				}
			} else {
				gone++
			}
			l := create(t, m, topic("t", 0), 0)
			if l.EndOffset() != 0 || l.RecoveryPoint() != 0 {
				panic("inherited")
			}
			entries, _ := e.ReadDir("/data/a")
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name, "-delete") {
					panic("left " + entry.Name)
				}
			}
			for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint"} {
				if text := content(t, e, "/data/a/"+name); strings.Contains(text, "t 0 30") {
					panic(name + " remembers: " + text)
				}
			}
		})
		w.Start("b1")
		w.Run(env.Never)
		if c := w.Crashes(); len(c) > 0 {
			t.Fatalf("seed %d: %s", seed, c[0])
		}
		w.Close()
	}
	if gone == 0 || there == 0 {
		t.Fatalf("gone %d, there %d", gone, there)
	}
}

// Rolled segments are synced behind the appends' backs, so that recovery stays short.
func TestBackgroundRaisesTheRecoveryPoint(t *testing.T) {
	run(t, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		m.Start()
		l := create(t, m, topic("t", 0), 100)
		e.Sleep(2e9)
		if point := l.RecoveryPoint(); point < 80 || point >= 100 {
			t.Fatalf("recovery point is %d", point)
		}
		e.Sleep(61e9)
		if text := content(t, e, "/data/a/recovery-point-offset-checkpoint"); text != fmt.Sprintf("0\n1\nt 0 %d\n", l.RecoveryPoint()) {
			t.Fatalf("%q", text)
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
	})
}

// Many tasks append, read and truncate at once: on the simulated scheduler, every interleaving is a seed.
func TestConcurrentUse(t *testing.T) {
	for seed := range uint64(40) {
		cluster.Test(t, seed, func(e env.Env) {
			m := manager(t, e, brokerConfig("/data/a"))
			m.Start()
			l := create(t, m, topic("t", 0), 10)
			group := env.NewGroup(e)
			for task := range 3 {
				group.Go("append", func() {
					for i := range 30 {
						if _, err := l.AppendAsLeader(build(fmt.Sprintf("%d-%d", task, i), 1+i%3, nil), 4, log.AppendOptions{}); err != nil {
							panic(err)
						}
					}
				})
				group.Go("read", func() {
					for range 60 {
						from := l.StartOffset()
						s, err := l.Read(from, 700, l.EndOffset(), true)
						if errors.Is(err, kerr.OffsetOutOfRange) {
							continue
						}
						if err != nil {
							panic(err)
						}
						data, err := s.Bytes()
						s.Release()
						if err != nil && !errors.Is(err, kerr.NotLeaderForPartition) {
							panic(err)
						}
						for len(data) > 0 {
							b, rest, err := nextBatch(data)
							if err != nil {
								panic(err)
							}
							_, data = b, rest
						}
					}
				})
			}
			group.Go("truncate", func() {
				for i := range 10 {
					if err := l.TruncateTo(max(l.StartOffset(), l.EndOffset()-int64(i))); err != nil {
						panic(err)
					}
					if err := l.Flush(); err != nil {
						panic(err)
					}
				}
			})
			group.Wait()
			if err := m.Shutdown(true); err != nil {
				panic(err)
			}
		})
	}
}
