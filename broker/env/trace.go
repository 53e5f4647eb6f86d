package env

import (
	"strconv"
	"strings"
)

// Trace takes the events a node tells about itself: the log of a real broker, the trace of a simulated one.
type Trace interface {
	// Emit records an event. It never waits and costs next to nothing when the level is off; every event of a
	// simulated node goes into the world's rolling hash, whether it is kept or not.
	Emit(Event)
}

// Level orders events by how much an operator wants to see them.
type Level uint8

const (
	Debug Level = iota
	Info
	Warn
	Error
)

func (l Level) String() string { return [...]string{"debug", "info", "warn", "error"}[l&3] }

// Kind is a kind of event, made once as a package variable with NewKind.
type Kind struct {
	Name   string
	Level  Level
	Labels []string // the names of Event.V, in order; at most four
	mark   *Mark    // nil for kinds of the harness
}

// Hit counts an event of the kind, if marks are on.
func (k *Kind) Hit() {
	if k.mark != nil {
		k.mark.Hit()
	}
}

// NewKind makes a kind: hyphenated name, level, and the labels of its numbers.
//
//	var evBecomeLeader = env.NewKind("become-leader", env.Info, "epoch", "leo", "hw")
func NewKind(name string, level Level, labels ...string) *Kind {
	if len(labels) > 4 {
		panic("env: kind " + name + " has more than four labels")
	}
	k := &Kind{Name: name, Level: level, Labels: labels}
	if in := callerPackage(); in != "" && in != "osenv" {
		k.mark = &Mark{name: in + "/event " + name}
		marks = append(marks, k.mark)
	}
	return k
}

// Event is one thing that happened. It is passed by value and allocates nothing.
type Event struct {
	Kind      *Kind
	Topic     string // with Partition, what it happened to; "" when to the node
	Partition int32
	V         [4]int64 // numbers, named by Kind.Labels
	Text      string   // free words: a peer, a path, an error
}

// String is the event's one-line form: "become-leader t-0 epoch=3 leo=17 hw=12: text".
func (ev Event) String() string {
	var b strings.Builder
	b.WriteString(ev.Kind.Name)
	if ev.Topic != "" {
		b.WriteByte(' ')
		b.WriteString(ev.Topic)
		b.WriteByte('-')
		b.WriteString(strconv.Itoa(int(ev.Partition)))
	}
	for i, label := range ev.Kind.Labels {
		b.WriteByte(' ')
		b.WriteString(label)
		b.WriteByte('=')
		b.WriteString(strconv.FormatInt(ev.V[i], 10))
	}
	if ev.Text != "" {
		b.WriteString(": ")
		b.WriteString(ev.Text)
	}
	return b.String()
}
