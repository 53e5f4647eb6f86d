package osenv

import (
	"io"

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
}

// Env is the real world. It is safe for concurrent use.
type Env struct{ env.Env }

// New makes an Env.
func New(o Options) *Env { panic("unfinished") }

// Flush waits until all log lines have been written. Call it before the process exits.
func (e *Env) Flush() {}

// Stats count how file content left this process.
type Stats struct {
	SendfileCalls int64 // sendfile(2) calls that moved bytes
	SendfileBytes int64 // bytes that never entered user space
	CopiedBytes   int64 // bytes that SendFile had to copy
}

// Stats returns the counters since New.
func (e *Env) Stats() Stats { return Stats{} }
