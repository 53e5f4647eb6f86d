package oracle

import "barnabas/broker/partition"

// looked is a replica as the last look saw it. Most have not changed since, and there is nothing to check again: not the replica
// itself, nor that it has what is committed, as long as neither that nor ZooKeeper's state have changed either.
type looked struct {
	broker    int32
	life      int
	state     partition.State
	seen      *seen      // nil: to be looked at, whatever it is
	committed *canonical // of its partition, nil for none
	end       int64      // of committed
	registers int
}

// remember takes down what was just looked at.
func (l *looked) remember(o *Oracle, r *Replica) {
	l.broker, l.life, l.state, l.registers = r.Broker, r.Life, r.State, o.registers
	l.committed, l.end = o.latest[r.State.TP], 0
	if l.committed != nil {
		l.end = l.committed.end()
	}
}

// same reports whether the replica is as it was, everything below its high watermark was compared, and what it is held to has not changed.
func (l *looked) same(o *Oracle, r *Replica) bool {
	return l.seen != nil && l.registers == o.registers && l.broker == r.Broker && l.life == r.Life && equal(&l.state, &r.State) &&
		l.seen.cursor.offset >= min(r.State.HighWatermark, r.State.LogEndOffset) && (l.committed == nil || l.committed.end() == l.end)
}

// equal compares two states of one replica. Its slices are replaced when they change, never written to.
func equal(a, b *partition.State) bool {
	return a.HighWatermark == b.HighWatermark && a.LogEndOffset == b.LogEndOffset && a.LastStable == b.LastStable && a.Acked == b.Acked && a.Log == b.Log && a.TP == b.TP && a.TopicID == b.TopicID &&
		a.Role == b.Role && a.Offline == b.Offline && a.Closed == b.Closed && a.Changing == b.Changing && a.LeaderID == b.LeaderID && a.LeaderEpoch == b.LeaderEpoch &&
		a.PartitionEpoch == b.PartitionEpoch && a.ControllerEpoch == b.ControllerEpoch && a.MinISR == b.MinISR && a.EpochStart == b.EpochStart && a.LogStartOffset == b.LogStartOffset &&
		a.LogFirstOffset == b.LogFirstOffset && a.CutBelow == b.CutBelow && a.LatestEpoch == b.LatestEpoch &&
		one(a.Replicas, b.Replicas) && one(a.ISR, b.ISR) && one(a.ISRMaximal, b.ISRMaximal) && one(a.ISRProposed, b.ISRProposed) && one(a.Epochs, b.Epochs)
}

// one reports whether two slices are the same piece of memory.
func one[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
