package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock is nanoseconds since it was made, on the monotonic clock, which producers and consumers of one process share.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// spin is the last stretch before a deadline, in which a thread does not sleep: waking takes about 50 µs.
const spin = 60 * time.Microsecond

// lockThread gives the caller a thread of its own whose sleeps end when they should: Linux rounds them up by 50 µs else.
func lockThread() (unlock func()) {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return func() {
		unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default again
		runtime.UnlockOSThread()
	}
}

// waitUntil returns at the deadline: it sleeps most of the way in the kernel and spins the rest. A bare time.Sleep comes
// back 0.5 ms late here. The caller has locked its thread.
func (c clock) waitUntil(deadline int64) {
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
