package osenv

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"barnabas/broker/env"
)

// logPendingMax bounds the log lines that wait for a slow writer; more are dropped and counted.
const logPendingMax = 1 << 20

// logger writes events as lines. Emitting never waits for the writer: a goroutine, which lives while there is
// something to write, takes the lines from a buffer.
//
//	2026-11-21T10:00:00.123Z info become-leader t-0 epoch=3 leo=17 hw=12
type logger struct {
	w     io.Writer
	level env.Level
	name  string

	mu      sync.Mutex
	idle    sync.Cond
	pending []byte
	spare   []byte
	dropped int
	writing bool
}

func newLogger(w io.Writer, level env.Level, name string) *logger {
	l := &logger{w: w, level: level, name: name}
	l.idle.L = &l.mu
	return l
}

func (l *logger) emit(now time.Time, ev env.Event) {
	ev.Text = printable(ev.Text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > logPendingMax {
		l.dropped++
		return
	}
	l.head(now, ev.Kind.Level)
	l.pending = append(l.pending, ev.String()...)
	l.pending = append(l.pending, '\n')
	if !l.writing {
		l.writing = true
		go l.write()
	}
}

// head starts a line.
func (l *logger) head(now time.Time, level env.Level) {
	l.pending = now.UTC().AppendFormat(l.pending, "2006-01-02T15:04:05.000Z")
	l.pending = append(l.pending, ' ')
	l.pending = append(l.pending, level.String()...)
	l.pending = append(l.pending, ' ')
	if l.name != "" {
		l.pending = append(l.pending, l.name...)
		l.pending = append(l.pending, ' ')
	}
}

func (l *logger) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending) > 0 {
		lines := l.pending
		l.pending = l.spare[:0]
		if l.dropped > 0 {
			l.head(time.Now(), env.Warn)
			l.pending = append(l.pending, "log-lines-dropped n="+strconv.Itoa(l.dropped)+"\n"...)
			l.dropped = 0
		}
		l.mu.Unlock()
		l.w.Write(lines) // a log that cannot be written has nowhere to say so
		l.mu.Lock()
		l.spare = lines[:0]
	}
	l.writing = false
	l.idle.Broadcast()
}

func (l *logger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.idle.Wait()
	}
}

// printable quotes a text that would break the line or the terminal: it may come from a peer.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}
