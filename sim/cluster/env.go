package cluster

import (
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/network"
	"barnabas/sim/rng"
	"barnabas/sim/sched"
	"barnabas/sim/trace"
)

// life is one life of a node: its env.Env. After its end its calls are inert; see package sched.
type life struct {
	*network.Stack
	env.FS
	w      *World
	n      *node
	number int
	group  *sched.Group
	src    rng.Source
	opened map[string]int // how often each stream was opened
}

var _ env.Env = (*life)(nil)

// Now is the node's wall clock.
func (l *life) Now() time.Time {
	l.w.s.Tick()
	return l.n.wall()
}

// Mono is the world's time.
func (l *life) Mono() env.Instant {
	l.w.s.Tick()
	return l.w.s.Now()
}

// Sleep waits; d ≤ 0 lets others go first.
func (l *life) Sleep(d time.Duration) { l.w.s.Sleep(d) }

// Go starts a task of this life.
func (l *life) Go(name string, f func()) {
	if l.w.s.Dead() {
		return
	}
	l.w.s.Go(l.group, name, f)
	l.w.s.Point()
}

// NewMutex makes a mutex.
func (l *life) NewMutex() env.Mutex { return l.w.s.NewMutex() }

// NewCond makes a condition variable on a mutex of NewMutex.
func (l *life) NewCond(m env.Mutex) env.Cond { return m.(*sched.Mutex).NewCond() }

// Rand opens a stream of this life. A name opened again gets other numbers, so that two tasks with one name for their
// streams, or two lives of one node, never make the same ids.
func (l *life) Rand(stream string) *rand.Rand {
	if l.opened == nil {
		l.opened = map[string]int{}
	}
	again := l.opened[stream]
	l.opened[stream]++
	if again > 0 {
		stream = fmt.Sprintf("%s#%d", stream, again)
	}
	return l.src.Stream(stream)
}

// Emit puts the event into the hash and tells the hooks, one of which may end this life.
func (l *life) Emit(ev env.Event) {
	w := l.w
	task := ""
	if t := w.s.Current(); t != nil {
		if t.Group().Dead() {
			return
		}
		task = t.Name()
	}
	ev.Kind.Hit()
	w.log.Add(w.s.Now(), trace.Emit, l.n.name, task, ev)
	if len(w.onEmit) == 0 {
		return
	}
	for _, f := range w.onEmit {
		f(l.n.name, ev)
	}
	if w.s.Current() != nil {
		w.s.CheckAlive()
	}
}

func (n *node) wall() time.Time {
	now := n.w.s.Now()
	d := now.Sub(0) + n.offset
	if n.drift != 0 {
		d += time.Duration(float64(now-n.driftSince) * n.drift / 1e6)
	}
	return n.w.opts.Epoch.Add(d)
}

// BootID counts the machine's boots. A disk that is put into another machine finds another name.
func (l *life) BootID() string { return fmt.Sprintf("%s/%d", l.n.name, l.n.boots) }

// diskHost is how a disk waits in a life.
type diskHost struct{ l *life }

func (h diskHost) Yield()                { h.l.w.s.Point() }
func (h diskHost) Sleep(d time.Duration) { h.l.w.s.Sleep(d) }
func (h diskHost) Now() env.Instant      { return h.l.w.s.Now() }
func (h diskHost) WallTime() time.Time   { return h.l.n.wall() }

var evDisk = env.NewKind("disk", env.Debug, "kind", "a", "b")

func (h diskHost) Event(kind uint64, a, b int64) {
	h.l.w.log.Add(h.l.w.s.Now(), trace.Disk, h.l.n.name, "", env.Event{Kind: evDisk, V: [4]int64{int64(kind & 0xffff), a, b}})
}
