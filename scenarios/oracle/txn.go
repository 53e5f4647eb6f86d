package oracle

import (
	"slices"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/txn"
	"barnabas/broker/wire"
)

// lookStable holds a leader's last stable offset to its high watermark, and to what it was in the same epoch: a transaction that
// begins does so at the log's end, so that the last stable offset never has a reason to go back.
func (o *Oracle) lookStable(at env.Instant, r *Replica, was *seen) {
	s := &r.State
	if s.LastStable > s.HighWatermark {
		o.violated(at, "INV-LSO-HW", s.TP, r.Broker, "broker %d has last stable offset %d above high watermark %d", r.Broker, s.LastStable, s.HighWatermark)
	}
	if was.role == partition.Leader && was.epoch == s.LeaderEpoch && s.LastStable < was.lso {
		o.violated(at, "INV-LSO-MONOTONIC", s.TP, r.Broker, "leader %d took its last stable offset back from %d to %d in epoch %d", r.Broker, was.lso, s.LastStable, s.LeaderEpoch)
	}
	was.lso = s.LastStable
}

// LookSettled is called once every transactional producer has ended and the transactions' time-outs are over. What its coordinator
// has completed, or does not know, must be open in no partition. It returns what is still under way at a coordinator, or "".
func (o *Oracle) LookSettled(v View, coordinated []txn.Seen) (underWay string) {
	var open []string
	for i := range coordinated {
		if t := &coordinated[i]; t.State == txn.Ongoing || t.State == txn.PrepareCommit || t.State == txn.PrepareAbort {
			open = append(open, t.ID+" "+t.State.String())
		}
	}
	if len(open) > 0 {
		slices.Sort(open)
		return strings.Join(open, ", ")
	}
	for i := range v.Replicas {
		if s := &v.Replicas[i].State; s.Role == partition.Leader && !s.Offline && s.LastStable < s.HighWatermark {
			o.violated(v.At, "INV-TXN-NONE-HANGS", s.TP, v.Replicas[i].Broker, "no coordinator knows of an open transaction, and leader %d has one from offset %d on; its high watermark is %d",
				v.Replicas[i].Broker, s.LastStable, s.HighWatermark)
		}
	}
	return ""
}

// Unstable names a leader's partition whose last stable offset is below its high watermark; ok is false if there is none.
func Unstable(v View) (tp wire.TopicPartition, ok bool) {
	for i := range v.Replicas {
		if s := &v.Replicas[i].State; s.Role == partition.Leader && !s.Offline && s.LastStable < s.HighWatermark {
			return s.TP, true
		}
	}
	return tp, false
}
