package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// world records what is done to it, with the time, and runs its own timers.
type world struct {
	now      env.Instant
	timers   []timer
	log      []string
	down     map[faults.Node]bool
	roles    map[faults.Node]faults.Node
	linkHurt map[link]int64
	kindHurt map[faults.Kind]int64
	diskHurt map[faults.Node]faults.DiskHurt
	noExpire bool
}

type timer struct {
	at env.Instant
	f  func()
}

func newWorld() *world {
	return &world{down: map[faults.Node]bool{}, roles: map[faults.Node]faults.Node{},
		linkHurt: map[link]int64{}, diskHurt: map[faults.Node]faults.DiskHurt{}}
}

func (w *world) Now() env.Instant           { return w.now }
func (w *world) At(t env.Instant, f func()) { w.timers = append(w.timers, timer{max(t, w.now), f}) }
func (w *world) Brokers() []faults.Node     { return []faults.Node{1, 2, 3} }
func (w *world) ExpireSession(n faults.Node) faults.Outcome {
	return w.did(!w.noExpire, "expire %s", n)
}

// run plays all timers up to t in order.
func (w *world) run(t env.Instant) {
	for {
		best := -1
		for i := range w.timers {
			if w.timers[i].at <= t && (best < 0 || w.timers[i].at < w.timers[best].at) {
				best = i
			}
		}
		if best < 0 {
			w.now = t
			return
		}
		next := w.timers[best]
		w.timers = slices.Delete(w.timers, best, best+1)
		w.now = next.at
		next.f()
	}
}

func (w *world) did(ok bool, format string, args ...any) faults.Outcome {
	if !ok {
		return faults.Outcome{Detail: "not possible"}
	}
	w.log = append(w.log, fmt.Sprintf("%g %s", time.Duration(w.now).Seconds(), fmt.Sprintf(format, args...)))
	return faults.Outcome{Applied: true}
}

func (w *world) Resolve(n faults.Node) (faults.Node, bool) { node, ok := w.roles[n]; return node, ok }

func (w *world) CrashProcess(n faults.Node) faults.Outcome {
	out := w.did(!w.down[n], "crash %s", n)
	w.down[n] = true
	return out
}

func (w *world) PowerLoss(n faults.Node, keep faults.Keep) faults.Outcome {
	w.down[n] = true
	return w.did(true, "power %s %s", n, keep)
}

func (w *world) Restart(n faults.Node) faults.Outcome {
	out := w.did(w.down[n], "restart %s", n)
	w.down[n] = false
	return out
}

func (w *world) Pause(n faults.Node) faults.Outcome  { return w.did(!w.down[n], "pause %s", n) }
func (w *world) Resume(n faults.Node) faults.Outcome { return w.did(!w.down[n], "resume %s", n) }

func (w *world) SetLink(from, to faults.Node, l faults.Link) faults.Outcome {
	switch {
	case l.Cut:
		return w.did(true, "%s>%s cut", from, to)
	case l.OneIn > 0 || l.Bytes > 0:
		return w.did(true, "%s>%s %v loss %d bytes %d", from, to, l.Delay, l.OneIn, l.Bytes)
	}
	return w.did(true, "%s>%s %v", from, to, l.Delay)
}

func (w *world) LinkHurt(from, to faults.Node) int64 { return w.linkHurt[link{from, to}] }

func (w *world) SetDisk(n faults.Node, d faults.Disk) faults.Outcome {
	return w.did(true, "disk %s slow=%d fail=%v", n, d.Slow, d.FailSync)
}

func (w *world) Clog(from, to faults.Node, d time.Duration) faults.Outcome {
	return w.did(true, "clog %s-%s %s", from, to, d)
}
func (w *world) Reset(from, to faults.Node) faults.Outcome {
	return w.did(true, "reset %s-%s", from, to)
}
func (w *world) SetRefuse(n faults.Node, on bool) faults.Outcome {
	return w.did(true, "refuse %s %t", n, on)
}
func (w *world) Hurt(k faults.Kind) int64 { return w.kindHurt[k] }
func (w *world) SetClock(n faults.Node, off time.Duration, drift int) faults.Outcome {
	return w.did(true, "clock %s off=%s drift=%d", n, off, drift)
}
func (w *world) Wipe(n faults.Node) faults.Outcome {
	w.down[n] = true
	return w.did(true, "wipe %s", n)
}
func (w *world) CrashClient(number int) faults.Outcome {
	return w.did(true, "client %d down", number)
}
func (w *world) RestartClient(number int) faults.Outcome {
	return w.did(true, "client %d up", number)
}

func (w *world) LoseEntry(n faults.Node) faults.Outcome {
	w.down[n] = true
	return w.did(true, "lose-entry %s", n)
}
func (w *world) FlipBits(n faults.Node, bits int) faults.Outcome {
	return w.did(true, "flip %s %d", n, bits)
}
func (w *world) SwapDisks(a, b faults.Node) faults.Outcome {
	w.down[a], w.down[b] = true, true
	return w.did(true, "swap %s %s", a, b)
}
func (w *world) HalfOpen(a, b faults.Node) faults.Outcome {
	return w.did(true, "half-open %s>%s", a, b)
}
func (w *world) HoldBack(a, b faults.Node, d time.Duration) faults.Outcome {
	return w.did(true, "hold-back %s>%s %s", a, b, d)
}
func (w *world) SetWatchLoss(n faults.Node, on bool) faults.Outcome {
	return w.did(true, "watch-loss %s %t", n, on)
}
func (w *world) PauseClient(number int) faults.Outcome {
	return w.did(true, "client %d pause", number)
}
func (w *world) ResumeClient(number int) faults.Outcome {
	return w.did(true, "client %d resume", number)
}
func (w *world) StartTwin(number int) faults.Outcome { return w.did(true, "twin of %d", number) }

func (w *world) DiskHurt(n faults.Node) faults.DiskHurt { return w.diskHurt[n] }

// play runs a schedule to its end at 20 seconds and a little beyond.
func play(t *testing.T, w *world, schedule string, prepare func(*Options)) *Nemesis {
	t.Helper()
	file, err := faults.Parse("test", []byte(schedule))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{World: w, Timers: w, Schedule: file.Schedule, End: env.Instant(20 * time.Second)}
	if prepare != nil {
		prepare(&o)
	}
	n := New(o)
	n.Start()
	w.run(env.Instant(30 * time.Second))
	return n
}

func expect(t *testing.T, w *world, want ...string) {
	t.Helper()
	if !slices.Equal(w.log, want) {
		t.Errorf("the world saw\n\t%s\nwant\n\t%s", strings.Join(w.log, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Goal: each fault is applied at its time and healed after its own, and what has no time of its own at the end.
func TestFaultsBeginAndHealOnTime(t *testing.T) {
	w := newWorld()
	n := play(t, w, "1s crash node=2 for=3s\n2s partition from=1 to=3 oneway\n5s disk node=1 op=all slow=7 for=1s\n"+
		"6s zookeeper restart\n7s zookeeper outage for=2s\n10s zookeeper expire node=3\n11s pause node=1", nil)
	expect(t, w, "1 crash 2", "2 1>3 cut", "4 restart 2", "5 disk 1 slow=7 fail=false", "6 disk 1 slow=0 fail=false",
		"6 crash zk", "6 restart zk", "7 crash zk", "9 restart zk", "10 expire 3", "11 pause 1", "20 1>3 0s", "20 resume 1")
	if got := n.Counts().Total(); got != (Count{Planned: 7, Fired: 5, NoEffect: 2}) {
		t.Errorf("counts %+v: nobody used the link or the disk, the other five fired", got)
	}
}

// Goal: a fault that ends leaves in place what another one still does to the same node or link.
func TestOverlappingFaultsHealSeparately(t *testing.T) {
	w := newWorld()
	play(t, w, "1s crash node=2 for=5s\n2s power node=2 keep=none for=1s\n"+
		"7s partition from=1 to=2 oneway for=3s\n8s isolate node=1 for=1s\n8.5s link from=1 to=2 delay=50ms for=3s", nil)
	expect(t, w, "1 crash 2", "2 power 2 none", "6 restart 2", "7 1>2 cut",
		"8 1>2 cut", "8 2>1 cut", "8 1>3 cut", "8 3>1 cut", "8 1>zk cut", "8 zk>1 cut", "8 1>clients cut", "8 clients>1 cut",
		"8.5 1>2 cut", "8.5 2>1 cut",
		"9 1>2 cut", "9 2>1 50ms", "9 1>3 0s", "9 3>1 0s", "9 1>zk 0s", "9 zk>1 0s", "9 1>clients 0s", "9 clients>1 0s",
		"10 1>2 50ms", "11.5 1>2 0s", "11.5 2>1 0s")
}

// Goal: a fault counts as fired only if it had an effect: the node was up, somebody used the link or the disk.
func TestOnlyFeltFaultsCountAsFired(t *testing.T) {
	w := newWorld()
	w.noExpire = true
	w.At(env.Instant(3*time.Second), func() {
		w.linkHurt[link{2, 1}]++
		w.diskHurt[1] = faults.DiskHurt{FailSync: 1}
	})
	n := play(t, w, "1s crash node=2\n2s crash node=2 for=1s\n2s pause node=2 for=1s\n2s zookeeper expire node=1\n"+
		"2s partition from=1 to=2,3 for=2s\n2s partition from=1 to=2 oneway for=2s\n"+
		"2s disk node=1 op=fsync fail for=2s\n2s disk node=1 op=all slow=5 for=2s", nil)
	want := Counts{}
	want[faults.Crash] = Count{Planned: 2, Fired: 1, NoEffect: 1}
	want[faults.Pause] = Count{Planned: 1, NoEffect: 1}
	want[faults.ZooKeeperExpire] = Count{Planned: 1, NoEffect: 1}
	want[faults.Partition] = Count{Planned: 1, Fired: 1}
	want[faults.PartitionOneWay] = Count{Planned: 1, NoEffect: 1}
	want[faults.FailSync] = Count{Planned: 1, Fired: 1}
	want[faults.SlowDisk] = Count{Planned: 1, NoEffect: 1}
	if got := n.Counts(); got != want {
		t.Errorf("counted %v\nwant %v", got, want)
	}
}

// Goal: roles are looked up when the fault begins, and a role that nobody holds is no effect.
func TestRolesAreResolvedWhenTheFaultBegins(t *testing.T) {
	w := newWorld()
	w.roles[faults.Leader] = 3
	w.At(env.Instant(1500*time.Millisecond), func() { w.roles[faults.Leader] = 1 })
	n := play(t, w, "1s crash node=leader for=100ms\n2s partition from=leader to=others oneway for=1s\n"+
		"4s pause node=controller for=1s\n5s partition from=others to=leader oneway for=1s", nil)
	expect(t, w, "1 crash 3", "1.1 restart 3", "2 1>2 cut", "2 1>3 cut", "3 1>2 0s", "3 1>3 0s",
		"5 2>1 cut", "5 3>1 cut", "6 2>1 0s", "6 3>1 0s")
	if e := n.Timeline()[2]; e.Status != NoEffect || e.Note != "nobody is controller" {
		t.Errorf("entry %v", e)
	}
}

// Goal: what Admit refuses does not happen and is counted with its reason, and the timeline tells it all, twice for
// what lasts.
func TestWithheldFaultsAndTheTimeline(t *testing.T) {
	w := newWorld()
	w.roles[faults.Leader] = 2
	var observed []string
	n := play(t, w, "1s power node=leader keep=random for=2s\n2s crash node=3 for=2s\n25s crash node=1 for=1s", func(o *Options) {
		o.Admit = func(f faults.Fault) (bool, string) { return f.Kind != faults.Power, "no other copy than on 2" }
		o.Observe = func(e Entry) { observed = append(observed, e.String()) }
	})
	expect(t, w, "2 crash 3", "4 restart 3")
	want := []string{
		"25.000s..25.000s no-effect crash node=1 for=1s: planned for after the end of the faults",
		"1.000s..1.000s withheld power node=2 keep=random for=2s: no other copy than on 2",
		"2.000s..end applied fired crash node=3 for=2s",
		"2.000s..4.000s applied fired crash node=3 for=2s",
	}
	if !slices.Equal(observed, want) {
		t.Errorf("observed\n\t%s", strings.Join(observed, "\n\t"))
	}
	if got := n.Counts().String(); got != "crash 1/2 fired, 1 without effect; power 0/1 fired, 1 withheld" {
		t.Errorf("counts read %q", got)
	}
}

// Goal: for=forever outlives the end, and nothing begins after HealAll.
func TestForeverOutlivesTheEnd(t *testing.T) {
	w := newWorld()
	file, err := faults.Parse("test", []byte("1s crash node=1 for=forever\n2s power node=1 keep=all for=1s\n5s crash node=2"))
	if err != nil {
		t.Fatal(err)
	}
	n := New(Options{World: w, Timers: w, Schedule: file.Schedule, End: env.Instant(20 * time.Second)})
	n.Start()
	w.At(env.Instant(4*time.Second), n.HealAll)
	w.run(env.Instant(30 * time.Second))
	expect(t, w, "1 crash 1", "2 power 1 all")
	if e := n.Timeline()[0]; e.End != env.Never || !e.Fired {
		t.Errorf("entry %v", e)
	}
}

// Goal: a broker whose log directory is mended while it is paused is started anew when it runs again.
func TestMendedDirectoryOfAPausedBroker(t *testing.T) {
	w := newWorld()
	play(t, w, "1s disk node=2 log-dir=1 broken for=2s\n2s pause node=2 for=4s", nil)
	expect(t, w, "1 disk 2 slow=0 fail=false", "2 pause 2", "3 disk 2 slow=0 fail=false", "6 resume 2", "6 crash 2", "6 restart 2")
}
