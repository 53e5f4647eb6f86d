package log

import (
	"time"

	"barnabas/broker/env"
)

// background is the manager's own work: syncing segments that were rolled, and making directories for new logs, at once; checkpoints, expiry of producers
// and flush.ms from time to time.
type background struct {
	rolled   *env.Queue[*Log]
	homeless *env.Queue[*Log] // new logs without a directory
	reaper   *reaper
	group    *env.Group
}

// producerCheck is how often silent producers are forgotten (producer.id.expiration.check.interval.ms).
const producerCheck = 10 * time.Minute

// Start begins the background work. Shutdown ends it.
//
// Source: LogManager#startup (kafka-log-flusher, kafka-recovery-point-checkpoint, kafka-log-start-offset-checkpoint, kafka-log-retention,
// kafka-delete-logs).
func (m *Manager) Start() {
	b := &background{rolled: env.NewQueue[*Log](m.env, 0), homeless: env.NewQueue[*Log](m.env, 0), reaper: newReaper(m.env), group: env.NewGroup(m.env)}
	m.mu.Lock()
	m.background = b
	m.mu.Unlock()
	b.group.Go("log-background", func() { m.work(b) })
	b.group.Go("log-directories", func() {
		for l, ok := b.homeless.Get(); ok && !b.homeless.Closed(); l, ok = b.homeless.Get() {
			l.makeDir()
		}
	})
	b.group.Go("log-retention", func() { m.retain(b.reaper) })
	m.startCleaner()
}

func (m *Manager) stopBackground() {
	m.mu.Lock()
	b := m.background
	m.background = nil
	m.mu.Unlock()
	if b != nil {
		b.rolled.Close()
		b.homeless.Close()
		b.reaper.close()
		b.group.Wait()
	}
}

// rolled is told by a log, whose lock is held, that it sealed a segment.
func (m *Manager) rolled(l *Log) {
	m.mu.Lock()
	b := m.background
	m.mu.Unlock()
	if b != nil {
		b.rolled.TryPut(l)
	}
}

func (m *Manager) work(b *background) {
	interval := m.cfg.LogFlushOffsetCheckpoint
	if interval <= 0 {
		interval = time.Minute
	}
	checkpoint, expire, flush := m.env.Mono().Add(interval), m.env.Mono().Add(producerCheck), m.nextFlush()
	for {
		l, ok := b.rolled.GetUntil(min(checkpoint, expire, flush))
		if ok {
			_ = l.FlushSealed() // a failure takes the directory offline, and whoever listens is told
		} else if b.rolled.Closed() {
			return
		}
		now := m.env.Mono()
		if now >= flush {
			m.flushOld(now)
			flush = m.nextFlush()
		}
		if now >= checkpoint {
			_ = m.CheckpointRecoveryPoints()
			checkpoint = now.Add(interval)
		}
		if now >= expire {
			for _, l := range m.all() {
				l.ExpireProducers()
			}
			expire = now.Add(producerCheck)
		}
	}
}

// nextFlush is when flush.ms must be looked at again: never, unless log.flush.scheduler.interval.ms says so.
func (m *Manager) nextFlush() env.Instant {
	if m.cfg.LogFlushSchedulerInterval <= 0 {
		return env.Never
	}
	return m.env.Mono().Add(m.cfg.LogFlushSchedulerInterval)
}

// flushOld syncs the logs whose last sync is longer ago than flush.ms.
func (m *Manager) flushOld(now env.Instant) {
	for _, l := range m.all() {
		if every := l.Config().Flush; every > 0 && l.RecoveryPoint() < l.EndOffset() && now.Sub(env.Instant(l.flushed.Load())) >= every {
			_ = l.Flush()
		}
	}
}

// all lists the logs, sorted by partition.
func (m *Manager) all() []*Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	logs := make([]*Log, 0, len(m.logs))
	for _, tp := range m.list(nil) {
		logs = append(logs, m.logs[tp].log)
	}
	return logs
}
