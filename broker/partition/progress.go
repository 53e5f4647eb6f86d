package partition

import (
	"math"
	"time"

	"barnabas/broker/env"
)

// replica is what the leader knows of one follower. It is pure: the time is given.
//
// Source: kafka.cluster.Replica, ReplicaState. DEVIATION(KIP-16): times are of the monotonic clock, where Kafka takes the wall
// clock, so that a clock that jumps does not shrink ISRs.
type replica struct {
	id             int32
	logStartOffset int64 // -1 unknown
	logEndOffset   int64 // -1 unknown; the offset it asked for last
	brokerEpoch    int64 // of the life that asked last, -1 unknown (KIP-903)
	lastFetch      env.Instant
	lastLeaderEnd  int64       // the leader's log end at that fetch, -1 unknown
	caughtUpAt     env.Instant // the last moment at which it had everything
}

// longAgo is a time at which nobody can have been caught up recently enough.
const longAgo env.Instant = math.MinInt64 / 2

const unknownOffset int64 = -1

// newReplica is a follower at the start of a leadership: nothing is known of it but whether it is in the ISR, and then it
// has the benefit of the doubt until the lag time has passed.
func newReplica(id int32, now env.Instant, inISR bool) replica {
	r := replica{id: id, logStartOffset: unknownOffset, logEndOffset: unknownOffset, brokerEpoch: -1,
		lastFetch: longAgo, lastLeaderEnd: unknownOffset, caughtUpAt: longAgo}
	if inISR {
		r.caughtUpAt = now
	}
	return r
}

// newEpoch is a follower when the same leader goes on in a new epoch. Source: Replica#resetReplicaState.
func (r replica) newEpoch(now env.Instant, leaderEnd int64, inISR bool) replica {
	r.lastLeaderEnd = leaderEnd
	r.caughtUpAt, r.lastFetch = longAgo, longAgo
	if inISR {
		r.caughtUpAt, r.lastFetch = now, now
	}
	return r
}

// fetched records a fetch from offset on at a moment when the leader's log ended at leaderEnd. It reports whether the
// follower's log end has changed.
//
// A follower is caught up when it asks for the leader's end. When it asks for what was the leader's end at its last fetch,
// then it was caught up at that time: a follower that keeps pace with a busy leader is never at the very end.
//
//	leader end 10, fetch from 10 at t=1    caught up at 1
//	leader end 25, fetch from 10 at t=2    still 1
//	leader end 40, fetch from 25 at t=3    caught up at 2: at t=2 the end was 25, and it has all below by now
//
// Source: Replica#updateFetchStateOrThrow.
func (r *replica) fetched(offset, logStart, leaderEnd int64, brokerEpoch int64, now env.Instant) (moved bool) {
	switch {
	case offset >= leaderEnd:
		r.caughtUpAt = max(r.caughtUpAt, now)
	case r.lastLeaderEnd != unknownOffset && offset >= r.lastLeaderEnd:
		r.caughtUpAt = max(r.caughtUpAt, r.lastFetch)
	}
	moved = r.logEndOffset != offset
	r.logEndOffset, r.logStartOffset = offset, logStart
	r.lastLeaderEnd = max(leaderEnd, r.lastLeaderEnd)
	r.lastFetch = now
	r.brokerEpoch = brokerEpoch
	return moved
}

// caughtUp reports whether the follower has everything, or had within the lag time. Source: ReplicaState#isCaughtUp.
func (r *replica) caughtUp(leaderEnd int64, now env.Instant, lagMax time.Duration) bool {
	return r.logEndOffset == leaderEnd || now.Sub(r.caughtUpAt) <= lagMax
}
