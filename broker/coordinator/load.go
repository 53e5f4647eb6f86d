package coordinator

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evLoaded     = env.NewKind("shard-loaded", env.Info, "epoch", "records", "ms")
	evLoadFailed = env.NewKind("shard-load-failed", env.Warn, "epoch")
	evUnloaded   = env.NewKind("shard-unloaded", env.Info, "epoch")
)

const (
	// loadBytes is how much is read at a time.
	loadBytes = 1 << 20
	// loadRetry is the pause after a load that failed, while the partition is still led.
	loadRetry = time.Second
)

// rareSlowLoad lets clients wait for what a new coordinator has to load.
var rareSlowLoad = env.NewRare("coordinator-load-slowly")

// Elected says that this broker leads a partition of the topic from epoch on. It does not wait: until the shard is loaded clients are
// told COORDINATOR_LOAD_IN_PROGRESS. A broker that led the partition all along, in an earlier epoch, keeps its shard: every change of the
// ISR by the controller is a new epoch, and must disturb nobody who waits.
//
// Source: GroupCoordinator#onElection, TransactionCoordinator#onElection, of which Kafka too hears only if another broker led before
// (Partition#makeLeader).
func (r *Runtime[S]) Elected(number, epoch int32) {
	r.mu.Lock()
	old := r.shards[number]
	switch {
	case r.closed:
		r.mu.Unlock()
		return
	case old != nil: // what ends a leadership takes the shard out: Resigned
		markElectedAgainInPlace.Hit()
		old.leaderEpoch.Store(max(old.leaderEpoch.Load(), epoch))
		r.mu.Unlock()
		return
	}
	s := &Shard[S]{r: r, Partition: number, Epoch: epoch, mu: r.e.NewMutex(), State: r.o.Empty()}
	s.leaderEpoch.Store(epoch)
	r.shards[number] = s
	r.mu.Unlock()
	r.roles.TryPut(s.load)
}

// Resigned says that this broker does not lead the partition any more. It does not wait.
//
// Source: GroupCoordinator#onResignation, TransactionCoordinator#onResignation.
func (r *Runtime[S]) Resigned(number int32) {
	r.mu.Lock()
	s := r.shards[number]
	if s != nil {
		s.gone.Store(true)
		delete(r.shards, number)
	}
	r.mu.Unlock()
	if s != nil {
		r.roles.TryPut(func() {
			s.unload()
			r.e.Emit(env.Event{Kind: evUnloaded, Topic: r.o.Topic, Partition: number, V: [4]int64{int64(s.Epoch)}})
		})
	}
}

// load reads the partition. It tries again for as long as the partition is led.
func (s *Shard[S]) load() {
	r := s.r
	began := r.e.Mono()
	if rareSlowLoad.Strikes(r.e) {
		r.e.Sleep(loadRetry)
	}
	for !s.gone.Load() {
		state, records, err := s.read()
		if err == nil {
			s.publish(state)
			r.e.Emit(env.Event{Kind: evLoaded, Topic: r.o.Topic, Partition: s.Partition, V: [4]int64{int64(s.Epoch), int64(records), r.e.Mono().Sub(began).Milliseconds()}})
			return
		}
		r.e.Emit(env.Event{Kind: evLoadFailed, Topic: r.o.Topic, Partition: s.Partition, V: [4]int64{int64(s.Epoch)}, Text: err.Error()})
		r.e.Sleep(loadRetry)
	}
}

// publish makes what was loaded known.
func (s *Shard[S]) publish(state S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return
	}
	s.State, s.active = state, true
	if s.r.o.Loaded != nil {
		s.r.o.Loaded(s, s.r.Now())
	}
}

// read reads the partition from its start to its end. All of it counts: what a leader has in its log when it is elected it keeps.
func (s *Shard[S]) read() (state S, records int, err error) {
	key := wire.TopicPartition{Topic: s.r.o.Topic, Partition: s.Partition}
	state = s.r.o.Empty()
	p, err := s.r.o.Partition(key)
	if err != nil {
		return state, 0, err
	}
	s.p = p
	log := p.Log()
	at, end := log.StartOffset(), log.EndOffset()
	for at < end && !s.gone.Load() {
		slice, err := p.ReadOwn(at, loadBytes, end)
		if err != nil {
			return state, 0, err
		}
		data, err := slice.Bytes()
		slice.Release()
		if err != nil {
			return state, 0, err
		}
		if len(data) == 0 {
			return state, 0, fmt.Errorf("%s: nothing to read at %d, the log ends at %d: %w", key, at, end, kerr.CorruptMessage)
		}
		n := 0
		if at, n, err = s.replay(state, data, at); err != nil {
			return state, 0, fmt.Errorf("%s: %w", key, err)
		}
		records += n
	}
	return state, records, nil
}

// replay takes batches in and returns the offset behind them.
func (s *Shard[S]) replay(state S, data []byte, at int64) (next int64, records int, err error) {
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if errors.Is(err, record.ErrPartial) {
			return at, records, nil
		}
		if err == nil {
			err = b.Check()
		}
		if err == nil {
			err = s.r.o.Replay(state, b)
		}
		if err != nil {
			return at, records, fmt.Errorf("at %d: %w", at, err)
		}
		records += int(b.Count())
		at, data = b.NextOffset(), rest
	}
	return at, records, nil
}
