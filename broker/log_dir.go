package broker

import (
	"barnabas/broker/env"
)

var evDirReported = env.NewKind("log-dir-failure-reported", env.Info)

// dirFailed tells the controller, through ZooKeeper, that a log directory failed, as often as it takes. The controller
// then asks for all our replicas by LeaderAndIsr, and learns from our answers which are offline.
//
// Source: ReplicaManager#handleLogDirFailure (zkClient.propagateLogDirEvent). KIP-112.
func (b *Broker) dirFailed(dir string) {
	b.e.Go("log-dir-event", func() {
		for !b.stopping() {
			b.mu.Lock()
			store := b.store
			b.mu.Unlock()
			if store != nil && store.PropagateLogDirEvent(b.cfg.BrokerID) == nil {
				b.e.Emit(env.Event{Kind: evDirReported, Text: dir})
				return
			}
			b.e.Sleep(sessionRetry)
		}
	})
}
