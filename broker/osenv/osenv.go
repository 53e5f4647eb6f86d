package osenv

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
)

// Options configure New. The zero value is silent and seeds itself.
type Options struct {
	// Name is put into every log line when it is not empty ("broker-1").
	Name string
	// LogWriter takes the events as lines; nil drops them.
	LogWriter io.Writer
	// LogLevel is the lowest level written.
	LogLevel env.Level
	// Seed fixes the random streams; 0 seeds them from the system's entropy.
	Seed uint64
	// Bind is the address that dials come from, without a port; "" leaves it to the system.
	Bind string
	// Hook, if not nil, may break links, files and the wall clock.
	Hook *Hook
	// Descriptors is how many descriptors of files are kept; 0 for half of what the process may have, over all environments that say 0.
	Descriptors int
}

// Env is the real world. It is safe for concurrent use.
type Env struct {
	base  time.Time // where Mono counts from
	seed  [8]byte
	log   *logger // nil: silent
	bind  string
	hook  *Hook // nil: nothing is broken on purpose
	stats counters
	files *files

	mu     sync.Mutex
	opened map[string]int // how often each random stream was
}

var _ env.Env = (*Env)(nil)

// New makes an Env.
func New(o Options) *Env {
	e := &Env{base: time.Now(), opened: map[string]int{}, bind: o.Bind, hook: o.Hook, files: shared()}
	if o.Descriptors > 0 {
		e.files = newFiles(o.Descriptors)
	}
	binary.LittleEndian.PutUint64(e.seed[:], o.Seed)
	if o.Seed == 0 {
		crand.Read(e.seed[:])
	}
	if o.LogWriter != nil {
		e.log = newLogger(o.LogWriter, o.LogLevel, o.Name)
	}
	return e
}

// Rand opens the named random stream. A name opened again gets other numbers, so that two tasks with one name for their
// streams never make the same ids; with a fixed seed the n-th opening of a name is always the same.
func (e *Env) Rand(stream string) *rand.Rand {
	e.mu.Lock()
	again := e.opened[stream]
	e.opened[stream]++
	e.mu.Unlock()
	h := sha256.Sum256(fmt.Appendf(nil, "%x/%d/%s", e.seed, again, stream))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(h[0:]), binary.LittleEndian.Uint64(h[8:])))
}

// Emit writes the event to the log. See env.Trace.
func (e *Env) Emit(ev env.Event) {
	if e.log != nil && ev.Kind.Level >= e.log.level {
		e.log.emit(time.Now(), ev)
	}
}

// Flush waits until all log lines have been written. Call it before the process exits.
func (e *Env) Flush() {
	if e.log != nil {
		e.log.flush()
	}
}

// Stats count how file content left this process.
type Stats struct {
	SendfileCalls int64 // sendfile(2) calls that moved bytes
	SendfileBytes int64 // bytes that never entered user space
	CopiedBytes   int64 // bytes that SendFile had to copy
}

type counters struct{ sendfileCalls, sendfileBytes, copiedBytes atomic.Int64 }

// Stats returns the counters since New.
func (e *Env) Stats() Stats {
	return Stats{e.stats.sendfileCalls.Load(), e.stats.sendfileBytes.Load(), e.stats.copiedBytes.Load()}
}
