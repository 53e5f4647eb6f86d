package log

import (
	"fmt"
	"math"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// cleaner compacts the logs whose topics want it: log.cleaner.threads tasks, each taking the log with the largest part
// of dirty bytes, one log after the other.
//
// Source: LogCleaner, LogCleanerManager#grabFilthiestCompactedLog.
type cleaner struct {
	m        *Manager
	stopped  *env.Queue[struct{}] // nothing is ever put into it; it closes
	group    *env.Group
	throttle *throttle // nil: none

	mu   env.Mutex
	busy map[wire.TopicPartition]bool // being cleaned
}

func (m *Manager) startCleaner() {
	cfg := m.cfg.Live()
	if !cfg.LogCleanerEnable {
		return
	}
	c := &cleaner{m: m, stopped: env.NewQueue[struct{}](m.env, 0), group: env.NewGroup(m.env), mu: m.env.NewMutex(), busy: map[wire.TopicPartition]bool{}}
	if rate := cfg.LogCleanerIOBytesPerSecondMax; rate > 0 && rate < math.MaxInt64 {
		c.throttle = &throttle{env: m.env, rate: rate}
	}
	m.mu.Lock()
	m.cleaner = c
	m.mu.Unlock()
	for i := range max(cfg.LogCleanerThreads, 1) {
		c.group.Go(fmt.Sprintf("log-cleaner-%d", i), c.work)
	}
}

func (m *Manager) stopCleaner() {
	m.mu.Lock()
	c := m.cleaner
	m.cleaner = nil
	m.mu.Unlock()
	if c != nil {
		c.stopped.Close()
		c.group.Wait()
	}
}

// Reconfigure takes over what has changed of the configuration since was: log.cleaner.* and producer.id.expiration.ms. A cleaning under way
// begins anew with the new settings.
//
// Source: LogCleaner#reconfigure, DynamicProducerStateManagerConfig#reconfigure.
func (m *Manager) Reconfigure(was *config.Broker) {
	now := m.cfg.Live()
	if now.ProducerIDExpiration != was.ProducerIDExpiration {
		for _, d := range m.dirs {
			for _, l := range m.inside(d) {
				l.mu.Lock()
				l.producerExpiration = now.ProducerIDExpiration
				l.unlock()
			}
		}
	}
	if now.LogCleanerThreads == was.LogCleanerThreads && now.LogCleanerIOBytesPerSecondMax == was.LogCleanerIOBytesPerSecondMax &&
		now.LogCleanerDedupeBufferBytes == was.LogCleanerDedupeBufferBytes && now.LogCleanerIOBufferBytes == was.LogCleanerIOBufferBytes &&
		now.LogCleanerLoadFactor == was.LogCleanerLoadFactor && now.LogCleanerBackoff == was.LogCleanerBackoff {
		return
	}
	m.reconfiguring.Lock() // and Shutdown waits
	defer m.reconfiguring.Unlock()
	m.mu.Lock()
	working := m.background != nil
	m.mu.Unlock()
	if working {
		markCleanerReconfigured.Hit()
		m.stopCleaner()
		m.startCleaner()
	}
}

func (c *cleaner) work() {
	backoff := c.m.cfg.Live().LogCleanerBackoff
	if backoff <= 0 {
		backoff = 15 * time.Second
	}
	for !c.stopped.Closed() {
		l := c.grab()
		if l == nil {
			c.stopped.GetUntil(c.m.env.Mono().Add(backoff))
			continue
		}
		_, _ = l.Clean(c.options()) // a failed disk is told to whoever listens, a damaged log is marked
		c.mu.Lock()
		delete(c.busy, l.tp)
		c.mu.Unlock()
	}
}

func (c *cleaner) options() CleanOptions {
	cfg := c.m.cfg.Live()
	o := CleanOptions{
		MapBytes: cfg.LogCleanerDedupeBufferBytes / int64(max(cfg.LogCleanerThreads, 1)), MapLoad: cfg.LogCleanerLoadFactor,
		BufferBytes: int64(cfg.LogCleanerIOBufferBytes), Stop: c.stopped.Closed,
	}
	if c.throttle != nil {
		o.Throttle = func(bytes int64) {
			c.mu.Lock()
			wait := c.throttle.take(bytes)
			c.mu.Unlock()
			if wait > 0 {
				c.stopped.GetUntil(c.m.env.Mono().Add(wait)) // or until it is stopped
			}
		}
	}
	return o
}

// grab takes the filthiest log: of those that are overdue, or whose dirty ratio is above min.cleanable.dirty.ratio, the
// one with the highest. nil if there is none.
func (c *cleaner) grab() *Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *Log
	most := -1.0
	for _, l := range c.m.all() {
		cfg := l.config.Load()
		if !cfg.CleanupPolicyCompact || c.busy[l.tp] || c.m.Future(l.tp) != nil { // what moves is copied as it is
			continue
		}
		s, err := l.cleanable()
		if err != nil || s.uncleanable || s.from >= s.to || s.dirty == 0 {
			continue
		}
		if ratio := s.ratio(); (s.overdue || ratio > cfg.MinCleanableDirtyRatio) && ratio > most {
			best, most = l, ratio
		}
	}
	if best != nil {
		c.busy[best.tp] = true
	}
	return best
}
