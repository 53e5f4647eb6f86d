package txn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options are what a Coordinator needs.
type Options struct {
	Env    env.Env
	Config *config.Broker
	// Purgatory is the one that partitions notify.
	Purgatory *purgatory.Purgatory[wire.TopicPartition]
	Metadata  *metadata.Cache
	// Partition finds a partition of __transaction_state on this broker.
	Partition func(wire.TopicPartition) (*partition.Partition, error)
	// BrokerEpoch is this broker's epoch, -1 before registration.
	BrokerEpoch func() int64
	// AllocateProducerIDs asks the controller, wherever it is, for a block of producer ids.
	AllocateProducerIDs func(*kmsg.AllocateProducerIDsRequest, time.Duration) (*kmsg.AllocateProducerIDsResponse, error)
	// Send sends a request to a broker, by its id, and returns at once. done is called once, by some task, with no lock held, and
	// must not wait.
	Send func(broker int32, req kmsg.Request, timeout time.Duration, done func(kmsg.Response, error))
}

// Coordinator coordinates the transactions of the transactional ids that live in the partitions of __transaction_state that this
// broker leads. Its methods may be called by many tasks; none of them waits for anything but a disk, and for producer ids for a
// moment.
type Coordinator struct {
	o       Options
	e       env.Env
	r       *coordinator.Runtime[shardState]
	ids     *producerIDs
	markers *markerSender
}

// shardState is the transactional ids of one partition.
type shardState map[string]*Txn

type shard = coordinator.Shard[shardState]

// writeTimeout is how long a write may take before clients are told.
//
// DEVIATION(KIP-98): Kafka's TransactionConfig has request.timeout.ms, 30 s. What is late is not given up (see Txn), so that who is told sooner
// need but ask again.
const writeTimeout = 5 * time.Second

// NewCoordinator makes a coordinator that coordinates nothing yet.
func NewCoordinator(o Options) *Coordinator {
	c := &Coordinator{o: o, e: o.Env, ids: newProducerIDs(o)}
	c.r = coordinator.New(coordinator.Options[shardState]{Env: o.Env, Name: "txn", Topic: Topic, Purgatory: o.Purgatory, Partition: o.Partition,
		Partitions: c.Partitions, WriteTimeout: writeTimeout, Empty: func() shardState { return shardState{} }, Replay: c.replay, Loaded: c.loaded, Unloaded: c.unloaded})
	c.markers = newMarkerSender(c)
	return c
}

// Start starts the coordinator's tasks.
func (c *Coordinator) Start() {
	c.r.Start()
	c.markers.start()
	c.r.At(c.e.Mono().Add(c.o.Config.TransactionalIDExpirationCheck), c.sweep)
}

// Stop gives every transaction up. Call it before the purgatory closes.
func (c *Coordinator) Stop() {
	c.markers.stop()
	c.r.Stop()
}

// Elected and Resigned say which partitions of __transaction_state this broker leads. They do not wait.
func (c *Coordinator) Elected(number, epoch int32) { c.r.Elected(number, epoch) }
func (c *Coordinator) Resigned(number int32)       { c.r.Resigned(number) }

// Partitions is how many partitions __transaction_state has, or will have when it is created.
func (c *Coordinator) Partitions() int32 {
	if t := c.o.Metadata.Snapshot().Topic(Topic); t != nil {
		return int32(len(t.Partitions))
	}
	return c.o.Config.TransactionTopicPartitions
}

// PartitionFor is the partition of __transaction_state that a transactional id lives in.
func (c *Coordinator) PartitionFor(id string) int32 { return c.r.PartitionFor(id) }

// ProducerID is a producer id that nobody has. It may wait a second for one, and then fails with COORDINATOR_LOAD_IN_PROGRESS.
func (c *Coordinator) ProducerID() (int64, error) { return c.ids.next() }

// Init gives a transactional id's producer its id and epoch.
//
// Errors: INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, those of Txn.Init, and of a coordinator that is not, or not yet, one. Source:
// TransactionCoordinator#handleInitProducerId.
func (c *Coordinator) Init(id string, r InitRequest) *coordinator.Promise[InitResult] {
	p := coordinator.NewPromise[InitResult](c.e)
	switch {
	case id == "":
		p.Set(refuseInit(kerr.InvalidRequest))
		return p
	case r.TimeoutMs <= 0 || time.Duration(r.TimeoutMs)*time.Millisecond > c.o.Config.TransactionTimeoutMax:
		p.Set(refuseInit(kerr.InvalidTransactionTimeout))
		return p
	}
	r.NewID = record.NoProducerID
	for {
		s, err := c.r.Enter(id)
		if err != nil {
			p.Set(refuseInit(err))
			return p
		}
		t := s.State[id]
		if (t == nil || t.NeedsID(r)) && r.NewID == record.NoProducerID {
			s.Unlock() // it may take a while
			newID, err := c.ids.next()
			if err != nil {
				p.Set(refuseInit(codeOf(err)))
				return p
			}
			r.NewID = newID
			continue
		}
		now := c.r.Now()
		if t == nil {
			t = New(id, r.NewID, r.TimeoutMs, c.o.Config.Bugs, now)
			s.State[id] = t
		}
		t.Init(now, r, p.Set)
		c.leave(s, t)
		return p
	}
}

// AddPartitions makes partitions part of a transaction.
//
// Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING for an id that nobody knows, and those of Txn.AddPartitions.
func (c *Coordinator) AddPartitions(id string, producerID int64, epoch int16, partitions []wire.TopicPartition) *coordinator.Promise[*kerr.Error] {
	p := coordinator.NewPromise[*kerr.Error](c.e)
	if s, t, err := c.enter(id); err != nil {
		p.Set(err)
	} else {
		t.AddPartitions(c.r.Now(), producerID, epoch, partitions, p.Set)
		c.leave(s, t)
	}
	return p
}

// Verify says of each partition if it is part of the producer's open transaction. Errors: those of AddPartitions, TRANSACTION_ABORTABLE.
func (c *Coordinator) Verify(id string, producerID int64, epoch int16, partitions []wire.TopicPartition) []*kerr.Error {
	s, t, err := c.enter(id)
	if err != nil {
		answers := make([]*kerr.Error, len(partitions))
		for i := range answers {
			answers[i] = err
		}
		return answers
	}
	defer s.Unlock()
	return t.Verify(producerID, epoch, partitions)
}

// End ends a transaction. Errors: those of AddPartitions, and of Txn.End.
func (c *Coordinator) End(id string, r EndRequest) *coordinator.Promise[EndResult] {
	p := coordinator.NewPromise[EndResult](c.e)
	r.NewID = record.NoProducerID
	for {
		s, t, err := c.enter(id)
		if err != nil {
			p.Set(refuseEnd(err))
			return p
		}
		if t.NeedsEndID(r) && r.NewID == record.NoProducerID {
			s.Unlock()
			newID, err := c.ids.next()
			if err != nil {
				p.Set(refuseEnd(codeOf(err)))
				return p
			}
			r.NewID = newID
			continue
		}
		t.End(c.r.Now(), r, p.Set)
		c.leave(s, t)
		return p
	}
}

// enter finds a transactional id that must exist, and locks its shard.
func (c *Coordinator) enter(id string) (*shard, *Txn, *kerr.Error) {
	if id == "" {
		return nil, nil, kerr.InvalidRequest
	}
	s, err := c.r.Enter(id)
	if err != nil {
		return nil, nil, err
	}
	t := s.State[id]
	if t == nil {
		s.Unlock()
		markRequestOfAnUnknownId.Hit()
		return nil, nil, kerr.InvalidProducerIDMapping
	}
	return s, t, nil
}

// leave does what the machine left behind, and unlocks the shard.
func (c *Coordinator) leave(s *shard, t *Txn) {
	c.flush(s, t)
	s.Unlock()
}

// flush appends the machine's writes, hands its markers on and sees to its timer. A write that fails tells the machine at once,
// which may want another. The shard is locked.
func (c *Coordinator) flush(s *shard, t *Txn) {
	for {
		writes := t.TakeWrites()
		if len(writes) == 0 {
			break
		}
		for _, w := range writes {
			c.write(s, t, w)
		}
	}
	for _, m := range t.TakeMarkers() {
		c.markers.enqueue(markerJob{shard: s.Partition, epoch: s.Epoch, id: t.ID, Markers: m}, m.Partitions)
	}
	if at := t.Deadline(); at < t.armed {
		t.armed = at
		s.At(at, func(now Now) {
			if t.armed == at && s.State[t.ID] == t {
				t.armed = env.Never
				t.Tick(now)
				c.flush(s, t)
			}
		})
	}
}

func (c *Coordinator) write(s *shard, t *Txn, w Write) {
	var b coordinator.Records
	var value []byte
	if w.Value != nil {
		value = encodeValue(w.Value, c.o.Config.TransactionVersion)
	}
	now := c.r.Now()
	b.Add(encodeKey(t.ID), value, now)
	_, err := s.Write(&b, coordinator.Append{
		Late: func(Now) {
			if w.Late != nil {
				w.Late(kerr.CoordinatorNotAvailable)
			}
		},
		Done: func(now Now, err error) {
			w.Done(now, err == nil || errors.Is(err, kerr.NotEnoughReplicasAfterAppend), storeError(err))
			c.flush(s, t)
		},
	})
	if err != nil {
		w.Done(now, false, storeError(err))
	}
}

// storeError is what clients are told of a state that could not be written (TransactionStateManager#appendTransactionToLog).
func storeError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	switch code := codeOf(err); code {
	case kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut:
		markWriteNotReplicated.Hit()
		return kerr.CoordinatorNotAvailable
	case kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch:
		markWriteNotLeaderAnyMore.Hit()
		return kerr.NotCoordinator
	default:
		return kerr.UnknownServerError
	}
}

func codeOf(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	return kerr.TypedErrorForCode(wire.Code(err))
}

// replay takes a batch of __transaction_state in: the last record of an id stands.
func (c *Coordinator) replay(state shardState, b record.Batch) error {
	if b.IsControl() {
		return nil
	}
	it := record.NewIterator(b, 0)
	for it.Next() {
		r := it.Record()
		id, known, err := decodeKey(r.Key)
		switch {
		case err != nil:
			return err
		case !known:
		case r.Value == nil:
			delete(state, id)
		default:
			m, err := decodeValue(id, r.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", Topic, err)
			}
			state[id] = load(id, m, c.o.Config.Bugs)
		}
	}
	return it.Err()
}

func (c *Coordinator) loaded(s *shard, now Now) {
	for _, id := range slices.Sorted(maps.Keys(s.State)) {
		t := s.State[id]
		t.loaded(now)
		c.flush(s, t)
	}
}

func (c *Coordinator) unloaded(s *shard, _ Now) {
	for _, id := range slices.Sorted(maps.Keys(s.State)) {
		s.State[id].Unload()
	}
}

var evExpired = env.NewKind("transactional-id-expired", env.Info, "producer", "epoch")

// sweep forgets transactional ids whose time is over, and comes again.
func (c *Coordinator) sweep() {
	retention := c.o.Config.TransactionalIDExpiration.Milliseconds()
	c.r.Each(func(s *shard, now Now) {
		for _, id := range slices.Sorted(maps.Keys(s.State)) {
			t := s.State[id]
			if t.Expire(now, retention, func() {
				delete(s.State, id)
				c.e.Emit(env.Event{Kind: evExpired, V: [4]int64{t.at.ProducerID, int64(t.at.Epoch)}, Text: id})
			}) {
				c.flush(s, t)
			}
		}
	})
	c.r.At(c.e.Mono().Add(c.o.Config.TransactionalIDExpirationCheck), c.sweep)
}
