package replica

import (
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

var evCheckpointFailed = env.NewKind("hw-checkpoint-failed", env.Error)

// rareCheckpoint leaves one checkpoint out.
var rareCheckpoint = env.NewRare("hw-checkpoint-left-out")

// every is a task that does f each interval until Shutdown.
func (m *Manager) every(interval time.Duration, f func()) func() {
	return func() {
		for m.sleep(interval) {
			f()
		}
	}
}

// sleep waits for d, and reports false if Shutdown came.
func (m *Manager) sleep(d time.Duration) bool {
	deadline := m.o.Env.Mono().Add(d)
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.stopped {
		if !m.stop.WaitUntil(deadline) {
			return !m.stopped
		}
	}
	return false
}

// shrinkISRs looks for followers that lag (ReplicaManager#maybeShrinkIsr).
func (m *Manager) shrinkISRs() {
	for _, p := range m.partitions() {
		p.ShrinkISR()
	}
}

// checkpoint writes the high watermarks. A failure takes the log directory offline, which is told elsewhere.
func (m *Manager) checkpoint() {
	partitions := m.partitions()
	if len(partitions) == 0 || rareCheckpoint.Strikes(m.o.Env) {
		return
	}
	hws := make(map[wire.TopicPartition]int64, len(partitions))
	for _, p := range partitions {
		hws[p.TP()] = p.HighWatermark()
	}
	if err := m.o.Logs.CheckpointHighWatermarks(hws); err != nil {
		m.o.Env.Emit(env.Event{Kind: evCheckpointFailed, Text: err.Error()})
	}
}
