package coordinator

import (
	"fmt"
	"sync/atomic"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Shard is the state that lives in one partition of the topic, for as long as this broker leads it.
type Shard[S any] struct {
	Partition int32
	Epoch     int32 // in which the leadership began: the coordinator's epoch
	State     S     // under the shard's lock

	r           *Runtime[S]
	leaderEpoch atomic.Int32 // of the leadership: it may grow while the broker goes on leading
	gone        atomic.Bool  // leadership is lost: nothing may be done or written any more

	mu     env.Mutex
	active bool // loaded
	p      *partition.Partition

	waiting []Append // appended and not replicated; by required. Under the runtime's mutex
}

// Append says what is to happen once an append is replicated. The functions are called with the shard locked; they may be nil.
type Append struct {
	Late func(Now)        // the write time-out came first; Done comes later
	Done func(Now, error) // it is replicated, or never will be

	required int64 // the high watermark to reach
	epoch    int32 // that it was appended in
	deadline env.Instant
	told     bool // Late was called
}

// Records gathers records for one append.
type Records struct{ record.Builder }

// Add adds a record; a nil value is a tombstone.
func (b *Records) Add(key, value []byte, now Now) { b.Append(now.Wall, key, value) }

// Lock and Unlock guard the state. Enter has locked it already.
func (s *Shard[S]) Lock()   { s.mu.Lock() }
func (s *Shard[S]) Unlock() { s.mu.Unlock() }

// Gone reports whether leadership is lost.
func (s *Shard[S]) Gone() bool { return s.gone.Load() }

// Active reports whether the shard may be used: it is loaded, and still led. It must be locked.
func (s *Shard[S]) Active() bool { return s.active && !s.gone.Load() }

// Write appends records as leader, and has a called when they are replicated. The
// shard is locked, so that records stand in the order in which the state changed. It returns the first record's offset.
func (s *Shard[S]) Write(b *Records, a Append) (int64, error) {
	return s.WriteAs(b, record.NewBatchOptions(), partition.AppendOptions{}, a)
}

// WriteAs is Write in the name of a producer, with what its transaction needs.
func (s *Shard[S]) WriteAs(b *Records, bo record.BatchOptions, o partition.AppendOptions, a Append) (int64, error) {
	if s.gone.Load() {
		return -1, fmt.Errorf("%s-%d: leadership is lost: %w", s.r.o.Topic, s.Partition, kerr.NotLeaderForPartition)
	}
	data, err := b.Build(nil, bo)
	if err != nil {
		return -1, err
	}
	o.Acks, o.LeaderEpoch, o.Coordinator = partition.AcksAll, s.leaderEpoch.Load(), true
	result, err := s.p.AppendAsLeader(data, o)
	if err != nil {
		return -1, err
	}
	if a.Done == nil {
		return result.BaseOffset, nil
	}
	r := s.r
	a.required, a.epoch, a.deadline = result.RequiredOffset, result.LeaderEpoch, r.e.Mono().Add(r.o.WriteTimeout)
	r.mu.Lock()
	assert.That(len(s.waiting) == 0 || s.waiting[len(s.waiting)-1].required <= a.required, "INV-COORDINATOR-APPEND: appends of %s-%d are in order", r.o.Topic, s.Partition)
	if len(s.waiting) == 0 {
		r.busy = append(r.busy, s)
	}
	s.waiting = append(s.waiting, a)
	r.mu.Unlock()
	r.Poke()
	return result.BaseOffset, nil
}

// At has f called at a time, with the shard locked, unless it is given up before. There is no taking it back: f asks whether it is
// still wanted.
func (s *Shard[S]) At(at env.Instant, f func(Now)) {
	if at == env.Never {
		return
	}
	r := s.r
	r.mu.Lock()
	r.timers.push(timer{at: at, fire: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.Active() {
			f(r.Now())
		}
	}})
	sooner := at < r.wakeAt
	r.mu.Unlock()
	if sooner {
		r.Poke()
	}
}

// unload ends the shard.
func (s *Shard[S]) unload() {
	assert.That(s.gone.Load(), "INV-COORDINATOR-SHARD: %s-%d is unloaded once it is gone", s.r.o.Topic, s.Partition)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.o.Unloaded != nil {
		s.r.o.Unloaded(s, s.r.Now())
	}
	s.State = s.r.o.Empty()
}
