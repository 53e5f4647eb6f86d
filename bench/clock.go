package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock is nanoseconds since it was made. Producers and consumers of one process share it.
type clock interface {
	now() int64
	waitUntil(deadline int64)  // by a goroutine that has locked its thread
	nap(deadline, least int64) // the same without spinning: until the deadline, at least so long
}

// monotonic is the machine's clock; tests have one of their own.
type monotonic struct{ start time.Time }

func newClock() clock { return monotonic{time.Now()} }

func (c monotonic) now() int64 { return int64(time.Since(c.start)) }

// spin is the last stretch before a deadline, in which a thread does not sleep: waking takes about 50 µs.
const spin = 60 * time.Microsecond

// coarseGap is the time between records below which the generator does not spin for each: it would spin all the time, and on a
// machine of few cores take one from brokers and clients. It then sleeps for coarseStep and sends what is due, late by as much at most;
// the latency counts that.
const (
	coarseGap   = 60 * time.Microsecond
	coarseStep  = 40 * time.Microsecond
	coarseCores = 4 // on a machine of so many, one may spin
)

// paceNice is the niceness of the pacing thread: what it does is little, and must be on time.
const paceNice = -20

// lockThread gives the caller a thread of its own whose sleeps end when they should: Linux rounds them up by 50 µs else.
func lockThread() (unlock func()) {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	thread := unix.Gettid()
	unix.Setpriority(unix.PRIO_PROCESS, thread, paceNice) // where it may; the slip tells whether it was enough
	attr, err := unix.SchedGetAttr(thread, 0)
	if realTime := err == nil && (attr.Policy == unix.SCHED_FIFO || attr.Policy == unix.SCHED_RR); realTime { // the whole bench runs so: one above
		first := *attr
		first.Priority++
		unix.SchedSetAttr(thread, &first, 0)
	} else {
		attr = nil
	}
	return func() {
		if attr != nil {
			unix.SchedSetAttr(thread, attr, 0)
		}
		unix.Setpriority(unix.PRIO_PROCESS, thread, 0)
		unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default again
		runtime.UnlockOSThread()
	}
}

// waitUntil returns at the deadline: it sleeps most of the way in the kernel and spins the rest. A bare time.Sleep comes
// back 0.5 ms late here.
func (c monotonic) waitUntil(deadline int64) {
	for {
		left := deadline - c.now()
		if left <= 0 {
			return
		}
		if left > int64(spin) {
			ts := unix.NsecToTimespec(min(left-int64(spin), int64(100*time.Millisecond)))
			unix.Nanosleep(&ts, nil)
		}
	}
}

// nap sleeps in the kernel until the deadline, and for at least so many ns.
func (c monotonic) nap(deadline, least int64) {
	ts := unix.NsecToTimespec(min(max(deadline-c.now(), least), int64(100*time.Millisecond)))
	unix.Nanosleep(&ts, nil)
}
