package group

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evLoaded     = env.NewKind("groups-loaded", env.Info, "epoch", "groups", "records", "ms")
	evLoadFailed = env.NewKind("groups-load-failed", env.Warn, "epoch")
	evUnloaded   = env.NewKind("groups-unloaded", env.Info, "epoch")
)

const (
	// loadBytes is how much is read at a time.
	loadBytes = 1 << 20
	// loadRetry is the pause after a load that failed, while the partition is still led.
	loadRetry = time.Second
)

// heirPatience is for how long after its load a coordinator takes strangers for members of its predecessor's last generation.
const heirPatience = 30 * time.Second

// rareSlowLoad lets clients wait for the groups of a new coordinator.
var rareSlowLoad = env.NewRare("groups-load-slowly")

// Elected says that this broker leads a partition of __consumer_offsets from epoch on. It does not wait: until the groups
// are loaded clients are told COORDINATOR_LOAD_IN_PROGRESS. A broker that led the partition all along, in an earlier epoch, keeps its groups: every
// change of the ISR by the controller is a new epoch, and must not disturb members who wait.
//
// Source: GroupCoordinator#onElection.
func (c *Coordinator) Elected(number, epoch int32) {
	c.mu.Lock()
	old := c.shards[number]
	switch {
	case c.closed:
		c.mu.Unlock()
		return
	case old != nil: // what ends a leadership takes the shard out: Resigned
		old.epoch.Store(max(old.epoch.Load(), epoch))
		c.mu.Unlock()
		return
	}
	s := &shard{c: c, partition: number, mu: c.e.NewMutex(), groups: map[string]*Group{}}
	s.epoch.Store(epoch)
	c.shards[number] = s
	c.mu.Unlock()
	c.roles.TryPut(s.load)
}

// Resigned says that this broker does not lead the partition any more. It does not wait. Source: GroupCoordinator#onResignation.
func (c *Coordinator) Resigned(number int32) {
	c.mu.Lock()
	s := c.shards[number]
	if s != nil {
		s.gone.Store(true)
		delete(c.shards, number)
	}
	c.mu.Unlock()
	if s != nil {
		c.roles.TryPut(func() {
			s.unload()
			c.e.Emit(env.Event{Kind: evUnloaded, Topic: Topic, Partition: number, V: [4]int64{int64(s.epoch.Load())}})
		})
	}
}

// load reads the partition and makes its groups. It tries again for as long as the partition is led.
func (s *shard) load() {
	key := wire.TopicPartition{Topic: Topic, Partition: s.partition}
	began := s.c.e.Mono()
	if rareSlowLoad.Strikes(s.c.e) {
		s.c.e.Sleep(loadRetry)
	}
	for !s.gone.Load() {
		l, err := s.read(key)
		if err == nil {
			s.publish(l)
			s.c.e.Emit(env.Event{Kind: evLoaded, Topic: Topic, Partition: s.partition, V: [4]int64{int64(s.epoch.Load()), int64(len(l.groups)),
				int64(l.records), s.c.e.Mono().Sub(began).Milliseconds()}})
			return
		}
		s.c.e.Emit(env.Event{Kind: evLoadFailed, Topic: Topic, Partition: s.partition, V: [4]int64{int64(s.epoch.Load())}, Text: err.Error()})
		s.c.e.Sleep(loadRetry)
	}
}

// publish makes what was loaded known.
func (s *shard) publish(l *loading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return
	}
	now := s.c.now()
	s.groups, s.active = l.groups, true
	if s.epoch.Load() > 0 { // somebody led before us
		s.heir = now.Mono.Add(heirPatience)
	}
	for _, id := range s.names() {
		g := s.groups[id]
		g.loaded(now)
		for producer := range g.offsets.txn { // unordered: they go into a set
			s.openTxn(producer, id)
		}
		s.flush(g)
		s.arm(g)
	}
}

// read reads the partition from its start to its end. All of it counts: what a leader has in its log when it is elected it keeps.
func (s *shard) read(key wire.TopicPartition) (*loading, error) {
	p, err := s.c.o.Partition(key)
	if err != nil {
		return nil, err
	}
	s.p = p
	log := p.Log()
	l := &loading{expired: s.c.o.Config.Bugs.Has(bug.OffsetEarlyExpire), limits: s.c.limits, now: s.c.now(), groups: map[string]*Group{}, open: map[int64][]Offset{}}
	at, end := log.StartOffset(), log.EndOffset()
	for at < end && !s.gone.Load() {
		slice, err := log.Read(at, loadBytes, end, true)
		if err != nil {
			return nil, err
		}
		data, err := slice.Bytes()
		slice.Release()
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			return nil, fmt.Errorf("%s: nothing to read at %d, the log ends at %d: %w", key, at, end, kerr.CorruptMessage)
		}
		if at, err = l.batches(data, at); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	l.keepOpen()
	return l, nil
}

// loading is a shard that is being read. Source: GroupMetadataManager#doLoadGroupsAndOffsets.
type loading struct {
	limits  Limits
	now     Now
	groups  map[string]*Group
	open    map[int64][]Offset // of transactions that have not ended, by producer id
	txnIDs  map[int64][]string // the groups of those offsets
	records int
	expired bool // plant the bug offset-early-expire
}

// batches reads batches and returns the offset behind them.
func (l *loading) batches(data []byte, at int64) (int64, error) {
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if errors.Is(err, record.ErrPartial) {
			return at, nil
		}
		if err == nil {
			err = b.Check()
		}
		if err == nil {
			err = l.batch(b)
		}
		if err != nil {
			return at, fmt.Errorf("at %d: %w", at, err)
		}
		at, data = b.NextOffset(), rest
	}
	return at, nil
}

func (l *loading) batch(b record.Batch) error {
	if b.IsControl() {
		marker, ok, err := b.EndTxn()
		if err != nil || !ok {
			return err
		}
		l.endTxn(b.ProducerID(), marker.Type == record.ControlCommit)
		return nil
	}
	txn := int64(-1)
	if b.IsTransactional() {
		txn = b.ProducerID()
	}
	it := record.NewIterator(b, 0)
	for it.Next() {
		l.records++
		if err := l.record(it.Record(), txn); err != nil {
			return err
		}
	}
	return it.Err()
}

func (l *loading) record(r record.Record, txn int64) error {
	e, known, err := parseEntry(r.Key, r.Value)
	if err != nil || !known {
		return err
	}
	if e.isGroup {
		return l.group(e)
	}
	if e.value == nil {
		if g := l.groups[e.group]; g != nil {
			g.dropOffset(*e.offset)
		}
		return nil
	}
	o, err := parseOffset(*e.offset, e.value, r.Offset)
	if err != nil {
		return err
	}
	if l.expired { // bug.OffsetEarlyExpire
		o.Expires = max(o.Committed, 0)
	}
	if txn >= 0 {
		l.open[txn] = append(l.open[txn], o)
		if l.txnIDs == nil {
			l.txnIDs = map[int64][]string{}
		}
		l.txnIDs[txn] = append(l.txnIDs[txn], e.group)
		return nil
	}
	l.get(e.group).SetOffset(o)
	return nil
}

func (l *loading) get(id string) *Group {
	g := l.groups[id]
	if g == nil {
		g = New(id, l.limits, l.now)
		g.stateSince = -1
		l.groups[id] = g
	}
	return g
}

// group takes a group's record: the last one stands. Its offsets have records of their own.
func (l *loading) group(e entry) error {
	old := l.groups[e.group]
	if e.value == nil {
		if old != nil && len(old.offsets.committed) == 0 {
			delete(l.groups, e.group)
			return nil
		}
		if old != nil { // offsets without a group
			g := New(e.group, l.limits, l.now)
			g.stateSince, g.offsets = -1, old.offsets
			l.groups[e.group] = g
		}
		return nil
	}
	g, err := load(e.group, slices.Clone(e.value), l.limits, l.now)
	if err != nil {
		return err
	}
	if old != nil {
		g.offsets = old.offsets
	}
	l.groups[e.group] = g
	return nil
}

// keepOpen leaves the offsets of transactions that are still open to their groups: their markers come yet.
func (l *loading) keepOpen() {
	for producer, list := range l.open { // unordered: each goes to its own place
		for i, o := range list {
			l.get(l.txnIDs[producer][i]).addTxnOffset(producer, o)
		}
	}
}

// endTxn applies or drops the offsets of a transaction.
func (l *loading) endTxn(producer int64, commit bool) {
	if commit {
		for i, o := range l.open[producer] {
			l.get(l.txnIDs[producer][i]).SetOffset(o)
		}
	}
	delete(l.open, producer)
	delete(l.txnIDs, producer)
}
