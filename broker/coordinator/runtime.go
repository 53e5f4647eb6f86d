package coordinator

import (
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Now is the time as the machines are told it.
type Now struct {
	Mono env.Instant
	Wall int64 // ms since 1970
}

// Options are what a Runtime needs. S is the state of one shard.
type Options[S any] struct {
	Env   env.Env
	Name  string // of its tasks
	Topic string // the internal topic
	// Purgatory is the one that partitions notify.
	Purgatory *purgatory.Purgatory[wire.TopicPartition]
	// Partition finds a partition of the topic on this broker.
	Partition func(wire.TopicPartition) (*partition.Partition, error)
	// Partitions is how many partitions the topic has, or will have.
	Partitions func() int32
	// WriteTimeout is how long an append is waited for before Append.Late is called.
	WriteTimeout time.Duration

	// Empty makes the state of a shard that has not been read yet.
	Empty func() S
	// Replay takes a batch of the topic in, which it must not keep. Control batches come too.
	Replay func(S, record.Batch) error
	// Loaded is told that a shard has been read to its end, and Unloaded that it is given up. The shard is locked.
	Loaded   func(*Shard[S], Now)
	Unloaded func(*Shard[S], Now)
}

// Runtime keeps the shards of one coordinator. Its methods may be called by many tasks; none of them waits for anything but a
// disk.
//
// Locks: a shard's mutex, held over a change of its state and the append that follows from it, comes before the runtime's own, which
// is held for moments.
type Runtime[S any] struct {
	o Options[S]
	e env.Env

	wakeKey wire.TopicPartition // what the worker watches beside its partitions

	mu     env.Mutex
	shards map[int32]*Shard[S]
	busy   []*Shard[S] // with appends that are not replicated yet, in the order in which they became so
	timers timers
	wakeAt env.Instant // when the worker wakes by itself
	poked  bool
	closed bool
	roles  *env.Queue[func()]
	tasks  *env.Group
}

// New makes a runtime without shards.
func New[S any](o Options[S]) *Runtime[S] {
	return &Runtime[S]{o: o, e: o.Env, mu: o.Env.NewMutex(), shards: map[int32]*Shard[S]{}, wakeKey: wire.TopicPartition{Topic: o.Topic, Partition: -1},
		roles: env.NewQueue[func()](o.Env, 0), tasks: env.NewGroup(o.Env), wakeAt: env.Never}
}

// Start starts the two tasks.
func (r *Runtime[S]) Start() {
	r.tasks.Go(r.o.Name+"-roles", func() {
		for {
			change, ok := r.roles.Get()
			if !ok {
				return
			}
			change()
		}
	})
	r.tasks.Go(r.o.Name+"-worker", r.work)
}

// stopPatience bounds how long Stop waits for a load that is under way.
const stopPatience = time.Second

// Stop gives every shard up. Call it before the purgatory closes.
func (r *Runtime[S]) Stop() {
	r.mu.Lock()
	r.closed = true
	all := r.sorted()
	for _, s := range all {
		s.gone.Store(true)
	}
	r.shards = map[int32]*Shard[S]{}
	r.mu.Unlock()
	for _, s := range all {
		s.unload()
	}
	r.roles.Close()
	r.Poke()
	r.tasks.WaitUntil(r.e.Mono().Add(stopPatience))
	for _, o := range r.abandoned() {
		o.tellLocked(r.Now())
	}
}

// Now is the present time.
func (r *Runtime[S]) Now() Now { return Now{Mono: r.e.Mono(), Wall: r.e.Now().UnixMilli()} }

// PartitionFor is the partition that a key lives in.
func (r *Runtime[S]) PartitionFor(key string) int32 { return PartitionFor(key, r.o.Partitions()) }

var rareLoading = env.NewRare("coordinator-says-it-loads")

// Enter finds the shard of a key and locks it; Unlock it. Errors: COORDINATOR_NOT_AVAILABLE when the broker stops, NOT_COORDINATOR,
// COORDINATOR_LOAD_IN_PROGRESS. Source: GroupCoordinator#validateGroupStatus, TransactionStateManager#getAndMaybeAddTransactionState.
func (r *Runtime[S]) Enter(key string) (*Shard[S], *kerr.Error) {
	if rareLoading.Strikes(r.e) {
		return nil, kerr.CoordinatorLoadInProgress // whoever asks has to ask again
	}
	return r.EnterPartition(r.PartitionFor(key))
}

// EnterPartition is Enter by the partition's number.
func (r *Runtime[S]) EnterPartition(number int32) (*Shard[S], *kerr.Error) {
	r.mu.Lock()
	s, closed := r.shards[number], r.closed
	r.mu.Unlock()
	switch {
	case closed:
		return nil, kerr.CoordinatorNotAvailable
	case s == nil:
		return nil, kerr.NotCoordinator
	}
	s.mu.Lock()
	switch {
	case s.gone.Load():
		s.mu.Unlock()
		return nil, kerr.NotCoordinator
	case !s.active:
		s.mu.Unlock()
		return nil, kerr.CoordinatorLoadInProgress
	}
	return s, nil
}

// Leads reports whether this broker leads a partition of the topic, its shard loaded or not.
func (r *Runtime[S]) Leads(number int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shards[number] != nil
}

// Each calls f for every loaded shard, locked, by partition. It reports whether some are still being loaded.
func (r *Runtime[S]) Each(f func(*Shard[S], Now)) (loading bool) {
	r.mu.Lock()
	all := r.sorted()
	r.mu.Unlock()
	for _, s := range all {
		s.mu.Lock()
		switch {
		case s.gone.Load():
		case s.active:
			f(s, r.Now())
		default:
			loading = true
		}
		s.mu.Unlock()
	}
	return loading
}

// sorted lists the shards by partition. The caller holds the lock.
func (r *Runtime[S]) sorted() []*Shard[S] {
	var all []*Shard[S]
	for _, s := range r.shards { // unordered: sorted below
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Shard[S]) int { return int(a.Partition) - int(b.Partition) })
	return all
}

// Closed reports whether Stop was called.
func (r *Runtime[S]) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Do has f run by the task that loads and unloads, behind what it has to do already.
func (r *Runtime[S]) Do(f func()) { r.roles.TryPut(f) }
