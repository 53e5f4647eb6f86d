package log

import (
	"fmt"
	"sync/atomic"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

var evOffline = env.NewKind("log-dir-offline", env.Error)

// health is whether a log directory can be trusted. A failed write or sync leaves nobody knowing what is on the
// device, so the directory is offline from then on, and all logs in it: INV-OFFLINE-STAYS.
//
// Source: LogDirFailureChannel, UnifiedLog#maybeHandleIOException. KAFKA-10778 is what happens without.
type health struct {
	env     env.Env
	dir     string
	failure atomic.Pointer[failure]
	told    atomic.Bool
	listen  atomic.Pointer[func(dir string, err error)]
	failing func() // called before anybody hears of a failure; nil for nothing
}

type failure struct{ err error }

func newHealth(e env.Env, dir string) *health { return &health{env: e, dir: dir} }

// fail takes the directory offline and returns what the caller shall answer. The first failure is the one remembered.
func (h *health) fail(op string, cause error) error {
	if h.failing != nil {
		h.failing()
	}
	f := &failure{fmt.Errorf("%s: %w (%v): %w", op, errOffline, cause, kerr.KafkaStorageError)}
	if h.failure.CompareAndSwap(nil, f) {
		h.env.Emit(env.Event{Kind: evOffline, Text: h.dir + ": " + op + ": " + cause.Error()})
	}
	return f.err
}

var errOffline = fmt.Errorf("log directory is offline")

// err is nil while the directory is well.
func (h *health) err() error {
	if f := h.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// tell passes a failure on, once. No lock may be held.
func (h *health) tell() {
	f := h.failure.Load()
	if f == nil {
		return
	}
	if listen := h.listen.Load(); listen != nil && h.told.CompareAndSwap(false, true) {
		(*listen)(h.dir, f.err)
	}
}
