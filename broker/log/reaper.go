package log

import (
	"slices"
	"time"

	"barnabas/broker/env"
)

// reaper removes files some time after they lost their names (file.delete.delay.ms). Whoever has such a file open reads
// on; the delay is for an operator who wants one back, and it spreads the work. What is left when the broker stops, the
// next start removes.
//
// Source: LocalLog.deleteSegmentFiles, LogManager#deleteLogs.
type reaper struct {
	mu     env.Mutex
	wake   env.Cond
	due    []doomed
	closed bool
}

// doomed is what goes at one time: files, or one directory with what is in it.
type doomed struct {
	at    env.Instant
	dir   *logDir
	files []string
}

func newReaper(e env.Env) *reaper {
	mu := e.NewMutex()
	return &reaper{mu: mu, wake: e.NewCond(mu)}
}

// put has files removed at their time. false after close.
func (r *reaper) put(d doomed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.due = append(r.due, d)
	r.wake.Signal()
	return true
}

func (r *reaper) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake.Broadcast()
}

// take waits until something is due, or until the deadline: then what it returns is empty. ok is false after close.
func (r *reaper) take(e env.Env, deadline env.Instant) (now []doomed, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		time, next := e.Mono(), deadline
		r.due = slices.DeleteFunc(r.due, func(d doomed) bool {
			if d.at <= time {
				now = append(now, d)
				return true
			}
			next = min(next, d.at)
			return false
		})
		if len(now) > 0 || time >= deadline {
			return now, true
		}
		r.wake.WaitUntil(next)
	}
	return nil, false
}

// retentionFirst is when retention is looked at after the start, if log.retention.check.interval.ms is not less
// (log.initial.task.delay.ms).
const retentionFirst = 30 * time.Second

// retain is the task that keeps to retention and removes what went.
//
// Source: LogManager#cleanupLogs, #deleteLogs.
func (m *Manager) retain(r *reaper) {
	interval := m.cfg.LogRetentionCheck
	if interval <= 0 {
		interval = 5 * time.Minute
	}
	next := m.env.Mono().Add(min(interval, retentionFirst))
	for {
		due, ok := r.take(m.env, next)
		if !ok {
			return
		}
		for _, d := range due {
			m.reap(d)
			d.dir.health.tell()
		}
		if m.env.Mono() < next {
			continue
		}
		for _, l := range m.all() {
			_, _ = l.DeleteOldSegments() // a failure takes the directory offline, and whoever listens is told
		}
		next = m.env.Mono().Add(interval)
	}
}

// reap removes files for good. It stops at a directory that failed: there nothing can be done.
func (m *Manager) reap(d doomed) {
	for _, name := range d.files {
		if d.dir.health.err() != nil {
			return
		}
		if err := env.RemoveAll(m.env, name); err != nil {
			_ = d.dir.health.fail("remove "+name, err)
			return
		}
	}
}

// doom has files of a directory removed after a delay, or now if nobody works in the background. No failure of it
// matters to who asks. It may be called with the log's lock held.
func (m *Manager) doom(d *logDir, delay time.Duration, files []string) {
	m.mu.Lock()
	b := m.background
	m.mu.Unlock()
	what := doomed{m.env.Mono().Add(delay), d, files}
	if b == nil || delay <= 0 || !b.reaper.put(what) {
		m.reap(what)
	}
}
