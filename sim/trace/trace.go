package trace

import (
	"fmt"
	"strings"

	"barnabas/broker/env"
)

// What says where an event comes from.
type What uint8

const (
	Choice What = iota + 1 // the scheduler lets a task run
	Net                    // the network delivered, broke or refused something
	Disk                   // a disk operation ended
	Emit                   // a node's own env.Trace event
	World                  // the world started, stopped or harmed something
)

func (w What) String() string {
	return [...]string{"?", "run", "net", "disk", "emit", "world"}[min(w, World)]
}

// Entry is one recorded event.
type Entry struct {
	Seq   uint64      // its number, from 0
	At    env.Instant // virtual time
	What  What
	Node  string
	Task  string // the task it happened in; "" for the loop
	Event env.Event
}

// String is the readable form on one line: "3.200000417s b1/fetcher-2 emit become-leader t-0 epoch=3".
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d.%09ds %s", int64(e.At)/1e9, int64(e.At)%1e9, e.Node)
	if e.Task != "" {
		b.WriteByte('/')
		b.WriteString(e.Task)
	}
	b.WriteByte(' ')
	b.WriteString(e.What.String())
	if e.Event.Kind != nil {
		b.WriteByte(' ')
		b.WriteString(e.Event.String())
	}
	return b.String()
}

// Options say what is recorded besides the hash. The zero value records nothing.
type Options struct {
	// Last keeps the newest events, at most this many.
	Last int
	// From and Count keep Count events from number From on instead. Count wins over Last.
	From  uint64
	Count int
	// NoChoices leaves the scheduler's choices out of the record (never out of the hash): they are most of it.
	NoChoices bool
}

// MarkEvery is how many events lie between two marks.
const MarkEvery = 1 << 16

// Log is the trace of one world. It is not safe for concurrent use: a world is one thread.
type Log struct {
	hash  uint64
	n     uint64
	marks []uint64
	opts  Options
	ring  []Entry // Last mode: a ring once it is full; Count mode: plain
	head  int     // oldest entry of the full ring
}

// New makes an empty log.
func New(o Options) *Log { return &Log{hash: seedHash, opts: o} }

// Hash is the rolling hash over all events so far.
func (l *Log) Hash() uint64 { return fold(l.hash, l.n) }

// Count is the number of events so far.
func (l *Log) Count() uint64 { return l.n }

// Marks are the hashes after every MarkEvery events. The caller must not change them.
func (l *Log) Marks() []uint64 { return l.marks }

// Choice adds a choice of the scheduler: the task, its number, and the time say all of it. It is the hot path.
func (l *Log) Choice(at env.Instant, node, task string, id uint64) {
	l.hash = fold(fold(l.hash, uint64(at)), id<<3|uint64(Choice))
	if l.recording() && !l.opts.NoChoices {
		l.record(Entry{l.n, at, Choice, node, task, env.Event{Kind: kindRun, V: [4]int64{int64(id)}}})
	}
	l.count()
}

// Add adds any other event.
func (l *Log) Add(at env.Instant, what What, node, task string, ev env.Event) {
	h := fold(fold(l.hash, uint64(at)), uint64(len(ev.Text))<<3|uint64(what))
	h = foldString(foldString(h, node), task)
	if ev.Kind != nil {
		h = foldString(h, ev.Kind.Name)
		for i := range ev.Kind.Labels {
			h = fold(h, uint64(ev.V[i]))
		}
	}
	if ev.Topic != "" {
		h = fold(foldString(h, ev.Topic), uint64(ev.Partition))
	}
	if ev.Text != "" {
		h = foldString(h, ev.Text)
	}
	l.hash = h
	if l.recording() {
		l.record(Entry{l.n, at, what, node, task, ev})
	}
	l.count()
}

// Entries are the recorded events, oldest first.
func (l *Log) Entries() []Entry {
	out := make([]Entry, 0, len(l.ring))
	out = append(out, l.ring[l.head:]...)
	return append(out, l.ring[:l.head]...)
}

var kindRun = env.NewKind("run", env.Debug, "task")

func (l *Log) recording() bool {
	if l.opts.Count > 0 {
		return l.n >= l.opts.From && l.n-l.opts.From < uint64(l.opts.Count)
	}
	return l.opts.Last > 0
}

func (l *Log) record(e Entry) {
	if l.opts.Count > 0 || len(l.ring) < l.opts.Last {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.head] = e
	if l.head++; l.head == len(l.ring) {
		l.head = 0
	}
}

func (l *Log) count() {
	l.n++
	if l.n%MarkEvery == 0 {
		l.marks = append(l.marks, l.Hash())
	}
}
