package cluster_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/trace"
)

var evGot = env.NewKind("got", env.Info, "n")

// echo serves connections on its own port, and writes each byte it saw to a file.
func echo(e env.Env) {
	l, err := e.Listen(":9092")
	if err != nil {
		panic(err)
	}
	f, err := e.Open("seen", env.Create)
	if err != nil {
		panic(err)
	}
	var at int64
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		e.Go("conn", func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				from := at
				at += int64(n)
				if _, err := f.WriteAt(buf[:n], from); err != nil {
					return
				}
				e.Emit(env.Event{Kind: evGot, V: [4]int64{int64(n)}})
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		})
	}
}

// asker sends lines and reads them back, redialling when something breaks, until rounds came back.
func asker(rounds int, back *int) func(e env.Env) {
	return func(e env.Env) {
		r := e.Rand("sizes")
		for *back < rounds {
			c, err := e.Dial("b1:9092", time.Second)
			if err != nil {
				e.Sleep(100 * time.Millisecond)
				continue
			}
			for *back < rounds {
				msg := make([]byte, 1+r.IntN(2000))
				c.SetReadDeadline(e.Mono().Add(time.Second))
				if _, err := c.Write(msg); err != nil {
					break
				}
				if _, err := io.ReadFull(reader{c}, msg); err != nil {
					break
				}
				*back++
				e.Sleep(time.Millisecond)
			}
			c.Close()
		}
	}
}

type reader struct{ c env.Conn }

func (r reader) Read(p []byte) (int, error) { return r.c.Read(p) }

// stormy runs two askers against an echo server through every kind of fault, and returns the world, closed.
func stormy(t testing.TB, seed uint64, o trace.Options) *cluster.World {
	w := cluster.New(cluster.Options{Seed: seed, Trace: o})
	defer w.Close()
	var back [2]int
	w.AddNode("b1", echo)
	w.AddNode("c1", asker(400, &back[0]))
	w.AddNode("c2", asker(400, &back[1]))
	for _, n := range w.Nodes() {
		w.Start(n)
	}
	at := func(ms int, f func()) { w.At(env.Instant(ms)*env.Instant(time.Millisecond), f) }
	var heal func()
	at(20, func() { w.Pause("b1") })
	at(50, func() { w.Resume("b1") })
	at(60, func() { heal = w.Partition([]string{"c1"}, []string{"b1"}, true) })
	at(200, func() { heal() })
	at(250, func() { w.Restart("b1") })
	at(300, func() { w.ResetLinks([]string{"c1", "c2"}, []string{"b1"}) })
	at(400, func() { w.PowerLoss("b1", disk.KeepRandom) })
	at(500, func() { w.Start("b1") })
	at(600, func() { w.SlowLink([]string{"c1"}, []string{"b1"}, 20); w.Disk("b1").SetSlow(10) })
	at(700, func() { w.Clog([]string{"c2"}, []string{"b1"}, 50*time.Millisecond) })
	at(900, func() { w.Heal() })
	r := w.RunUntil(func() bool { return back[0] == 400 && back[1] == 400 }, env.Instant(time.Minute))
	if r != cluster.Satisfied || len(w.Crashes()) != 0 {
		t.Errorf("seed %d, %s: %v %v at %v\n%s%v", seed, w.PolicyName(), r, back, w.Now().Sub(0), w.Stuck(), w.Crashes())
	}
	return w
}

// Goal: the seed decides everything. Method: a world with every fault, twice, with other worlds at the same time, on
// other GOMAXPROCS; the first event that differs would be named.
func TestSameSeedSameWorld(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(30) {
		first := stormy(t, seed, trace.Options{Last: 1 << 20})
		seen[first.Hash()] = true
		old := runtime.GOMAXPROCS(1 + int(seed%3))
		beside := make(chan *cluster.World, 3)
		for i := range cap(beside) {
			go func() {
				if i == 0 {
					beside <- stormy(t, seed, trace.Options{Last: 1 << 20})
				} else {
					stormy(t, seed+uint64(i), trace.Options{})
					beside <- nil
				}
			}()
		}
		for range cap(beside) {
			w := <-beside
			if w != nil && w.Hash() != first.Hash() {
				t.Fatalf("seed %d: %s", seed, trace.FirstDiff(first.Trace().Entries(), w.Trace().Entries()))
			}
		}
		runtime.GOMAXPROCS(old)
		if t.Failed() {
			return
		}
	}
	if len(seen) != 30 {
		t.Errorf("30 seeds gave %d different worlds", len(seen))
	}
}

// Goal: planned faults fire. Method: sum the counters over the stormy worlds.
func TestFaultsFire(t *testing.T) {
	sum := map[string]int64{}
	for seed := range uint64(30) {
		for _, f := range stormy(t, seed, trace.Options{}).Fired() {
			sum[f.Kind] += f.Count
		}
	}
	for _, kind := range []string{"partition", "reset", "half-open", "host-down", "slow", "clog", "tail", "loss", "disk-slow"} {
		if sum[kind] == 0 {
			t.Errorf("%s never fired: %v", kind, sum)
		}
	}
}

// Goal: closed worlds leave neither goroutines nor memory.
func TestClosedWorldsLeaveNothing(t *testing.T) {
	measure := func(n int) (int, uint64) {
		for seed := range uint64(n) {
			stormy(t, seed, trace.Options{})
		}
		runtime.GC()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return runtime.NumGoroutine(), ms.HeapAlloc
	}
	g1, h1 := measure(10)
	g2, h2 := measure(60)
	if g2 > g1 || h2 > h1+2<<20 {
		t.Errorf("goroutines %d → %d, heap %d → %d", g1, g2, h1, h2)
	}
}

// Goal: the simulated disk behaves as a file system seen through a node's env. Method: the shared suite.
func TestDiskPassesTheFSSuite(t *testing.T) {
	for _, c := range envtest.FS() {
		t.Run(c.Name, func(t *testing.T) {
			cluster.Test(t, 1, func(e env.Env) {
				if err := e.MkdirAll("d"); err != nil {
					t.Fatal(err)
				}
				if err := c.Run(e, "d"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Goal: what was synced survives a power loss, what a crashed process wrote survives the crash.
func TestDiskOutlivesLives(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 5})
	defer w.Close()
	var found []string
	w.AddNode("b1", func(e env.Env) {
		data, err := env.ReadFile(e, "/state", 100)
		found = append(found, fmt.Sprint(string(data), err == nil))
		if err := env.ReplaceFile(e, "/state", []byte(fmt.Sprint("life", len(found)))); err != nil {
			panic(err)
		}
		f, err := e.Open("/unsynced", env.Create)
		if err != nil {
			panic(err)
		}
		if size, _ := f.Size(); size > 0 {
			found = append(found, "cached")
		}
		f.WriteAt([]byte("x"), 0)
		e.Sleep(time.Hour)
	})
	w.Start("b1")
	w.RunFor(time.Second)
	w.Crash("b1")
	w.Start("b1")
	w.RunFor(time.Second)
	if loss := w.PowerLoss("b1", disk.KeepNone); loss.Files != 1 {
		t.Errorf("lost %+v", loss)
	}
	w.Start("b1")
	w.RunFor(time.Second)
	if got := strings.Join(found, " "); got != "false life1true cached life2true" {
		t.Error(got)
	}
	if w.Life("b1") != 3 || w.Status("b1") != cluster.Running {
		t.Error(w.Life("b1"), w.Status("b1"))
	}
}

// Goal: a machine's boot has a name that outlives processes, and that no other boot or machine has. Method: processes that crash, power that
// is lost while one runs and while none does, and another machine.
func TestBootOutlivesProcesses(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	for _, name := range []string{"b1", "b2"} {
		w.AddNode(name, func(e env.Env) { e.Sleep(time.Hour) })
	}
	boot := func(name string) string {
		w.Restart(name)
		return w.Env(name).BootID()
	}
	first := boot("b1")
	if again := boot("b1"); again != first {
		t.Errorf("a process ended, and the boot %q is %q", first, again)
	}
	seen := []string{first, boot("b2")}
	w.PowerLoss("b1", disk.KeepAll)
	seen = append(seen, boot("b1"))
	w.Crash("b1")
	w.PowerLoss("b1", disk.KeepNone)
	seen = append(seen, boot("b1"))
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 4 {
		t.Errorf("boots share a name: %q", seen)
	}
}

// Goal: the world tells an exit from a panic, keeps the stack, and ends the rest of the life.
func TestExitAndPanicAreTold(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 5})
	defer w.Close()
	w.AddNode("exits", func(e env.Env) { e.Go("rest", func() { e.Sleep(time.Hour); t.Error("outlives main") }) })
	w.AddNode("panics", func(e env.Env) {
		e.Go("culprit", func() { e.Sleep(time.Second); panic("INV-X: broken") })
		e.Sleep(time.Hour)
		t.Error("outlives the panic")
	})
	w.Start("exits")
	w.Start("panics")
	if r := w.Run(env.Never); r != cluster.Finished {
		t.Error(r, w.Stuck())
	}
	c := w.Crashes()
	if w.Status("exits") != cluster.Exited || w.Status("panics") != cluster.Panicked || len(c) != 1 {
		t.Fatal(w.Status("exits"), w.Status("panics"), c)
	}
	if c[0].Task != "culprit" || c[0].Value != "INV-X: broken" || !strings.Contains(c[0].Stack, "TestExitAndPanicAreTold") {
		t.Error(c[0])
	}
}

// Goal: a hook can crash a node at the very event it emits.
func TestHookCrashesAtAnEvent(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 5})
	defer w.Close()
	after := false
	w.AddNode("b1", func(e env.Env) {
		e.Emit(env.Event{Kind: evGot})
		after = true
	})
	w.OnEmit(func(node string, ev env.Event) { w.Crash(node) })
	w.Start("b1")
	if r := w.Run(env.Never); r != cluster.Finished || after || w.Status("b1") != cluster.Off {
		t.Error(r, after, w.Status("b1"))
	}
}

// Goal: wall clocks may be wrong in every way, the monotonic clock is not.
func TestWallClocksLie(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 5})
	defer w.Close()
	var wall []time.Duration
	epoch := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	w.AddNode("b1", func(e env.Env) {
		for range 4 {
			wall = append(wall, e.Now().Sub(epoch).Round(100*time.Millisecond))
			e.Sleep(1000 * time.Second)
		}
	})
	w.Start("b1")
	w.At(env.Instant(500*time.Second), func() { w.SetWallOffset("b1", -time.Hour) })
	w.At(env.Instant(1500*time.Second), func() { w.SetWallDrift("b1", 1000) })
	w.Run(env.Instant(time.Hour))
	want := []time.Duration{0, 1000*time.Second - time.Hour, 2000*time.Second - time.Hour + 500*time.Millisecond, 3000*time.Second - time.Hour + 1500*time.Millisecond}
	if fmt.Sprint(wall) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", wall, want)
	}
}

// Goal: harness tasks have a place on the network, and faults of nodes do not touch them.
func TestHarnessTasks(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 5})
	defer w.Close()
	w.AddNode("b1", echo)
	w.Start("b1")
	var errs []error
	done := false
	w.Go("client", func(e env.Env) {
		e.Sleep(time.Second)
		c, err := e.Dial("b1:9092", time.Second)
		errs = append(errs, err)
		w.Crash("b1")
		_, err = c.Read(make([]byte, 1))
		errs = append(errs, err)
		_, err = e.Dial("b1:9092", time.Second)
		errs = append(errs, err)
		done = true
	})
	if r := w.RunUntil(func() bool { return done }, env.Instant(time.Minute)); r != cluster.Satisfied {
		t.Fatal(r, w.Stuck())
	}
	if errs[0] != nil || !(errors.Is(errs[1], io.EOF) || errors.Is(errs[1], env.ErrReset)) || !errors.Is(errs[2], env.ErrRefused) {
		t.Error(errs)
	}
}

// Goal: streams depend on node, life and name alone, and never repeat.
func TestRandomStreamsNeverRepeat(t *testing.T) {
	draw := func() string {
		w := cluster.New(cluster.Options{Seed: 5})
		defer w.Close()
		var got []string
		main := func(e env.Env) {
			for range 2 {
				got = append(got, fmt.Sprint(e.Rand("id").Uint64()))
			}
		}
		for _, n := range []string{"a", "b"} {
			w.AddNode(n, main)
			for range 2 {
				w.Start(n)
				w.RunFor(time.Second)
			}
		}
		seen := map[string]bool{}
		for _, s := range got {
			seen[s] = true
		}
		if len(seen) != 8 {
			t.Errorf("%d different numbers of 8", len(seen))
		}
		return strings.Join(got, " ")
	}
	if draw() != draw() {
		t.Error("one seed, different numbers")
	}
}

type fakeTB struct{ failed string }

func (f *fakeTB) Helper()                      {}
func (f *fakeTB) Fatalf(s string, args ...any) { f.failed += fmt.Sprintf(s, args...) }

// Goal: Test fails on panics, on deadlocks and on what never ends.
func TestTestFails(t *testing.T) {
	for want, main := range map[string]func(e env.Env){
		"b1/main panicked": func(e env.Env) { panic("x") },
		"deadlock":         func(e env.Env) { m := e.NewMutex(); m.Lock(); e.NewCond(m).Wait() },
		"deadline reached": func(e env.Env) {
			for {
				e.Sleep(time.Second)
			}
		},
	} {
		f := &fakeTB{}
		cluster.Test(f, 1, main)
		if !strings.Contains(f.failed, want) {
			t.Errorf("want %q in %q", want, f.failed)
		}
	}
}

func BenchmarkStormyWorld(b *testing.B) {
	var steps uint64
	for i := range b.N {
		steps += stormy(b, uint64(i), trace.Options{}).Steps()
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
}
