package replica

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var evRefused = env.NewKind("leader-and-isr-refused", env.Warn, "epoch", "controller-epoch", "code")

// order is what LeaderAndIsr says of one partition.
type order struct {
	tp      wire.TopicPartition
	topicID [16]byte
	state   *kmsg.LeaderAndISRRequestTopicPartition
}

// BecomeLeaderOrFollower obeys a LeaderAndIsr request, v0 to v7. The response is by topic id from v5 on. Both types, FULL and
// INCREMENTAL, are obeyed alike: in ZooKeeper mode a replica that a FULL request does not name is left alone, and goes by
// topic deletion.
//
// Errors, for the whole: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition: STALE_CONTROLLER_EPOCH for an older leader epoch,
// INCONSISTENT_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION if this broker is no replica, KAFKA_STORAGE_ERROR.
// Source: ReplicaManager#becomeLeaderOrFollower.
func (m *Manager) BecomeLeaderOrFollower(req *kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRResponse {
	orders := ordersOf(req)
	codes := make([]int16, len(orders))
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.fence(req.ControllerEpoch, req.BrokerEpoch, &req.UnknownTags); err != nil {
		for i := range codes {
			codes[i] = err.Code
		}
		return leaderAndISRResponse(req, err.Code, orders, codes)
	}
	partitions, errs := m.hostAll(orders)
	m.obeyAll(partitions, orders, errs)
	for i, err := range errs {
		if err != nil {
			m.o.Env.Emit(env.Event{Kind: evRefused, Topic: orders[i].tp.Topic, Partition: orders[i].tp.Partition, Text: err.Error(),
				V: [4]int64{int64(orders[i].state.LeaderEpoch), int64(req.ControllerEpoch), int64(wire.Code(err))}})
		}
		codes[i] = wire.Code(err)
	}
	m.closeIdleFetchers()
	return leaderAndISRResponse(req, 0, orders, codes)
}

// ordersOf lists what a request says, sorted by partition, in whichever form its version has.
func ordersOf(req *kmsg.LeaderAndISRRequest) []order {
	var orders []order
	for i := range req.PartitionStates {
		s := &req.PartitionStates[i]
		orders = append(orders, order{tp: wire.TopicPartition{Topic: s.Topic, Partition: s.Partition}, state: s})
	}
	for i := range req.TopicStates {
		t := &req.TopicStates[i]
		for j := range t.PartitionStates {
			s := &t.PartitionStates[j]
			orders = append(orders, order{tp: wire.TopicPartition{Topic: t.Topic, Partition: s.Partition}, topicID: t.TopicID, state: s})
		}
	}
	slices.SortStableFunc(orders, func(a, b order) int { return a.tp.Compare(b.tp) })
	return orders
}

// leaderAndISRResponse makes the response. orders are sorted, so those of one topic stand together.
func leaderAndISRResponse(req *kmsg.LeaderAndISRRequest, code int16, orders []order, codes []int16) *kmsg.LeaderAndISRResponse {
	resp := req.ResponseKind().(*kmsg.LeaderAndISRResponse)
	resp.ErrorCode = code
	last := ""
	for i, o := range orders {
		rp := kmsg.NewLeaderAndISRResponseTopicPartition()
		rp.Topic, rp.Partition, rp.ErrorCode = o.tp.Topic, o.tp.Partition, codes[i]
		if req.Version < 5 {
			resp.Partitions = append(resp.Partitions, rp)
			continue
		}
		if len(resp.Topics) == 0 || o.tp.Topic != last {
			rt := kmsg.NewLeaderAndISRResponseTopic()
			rt.TopicID = o.topicID
			resp.Topics = append(resp.Topics, rt)
			last = o.tp.Topic
		}
		rt := &resp.Topics[len(resp.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	return resp
}

// hostAll finds the partitions of the orders, and makes those that this broker does not have yet. The caller holds changes.
func (m *Manager) hostAll(orders []order) ([]*partition.Partition, []error) {
	partitions, errs := make([]*partition.Partition, len(orders)), make([]error, len(orders))
	made := map[wire.TopicPartition]*hosted{}
	known := *m.hosted.Load()
	configs := map[string]config.Topic{} // each topic's is read once
	for i := range orders {
		o := &orders[i]
		h := known[o.tp]
		if h == nil {
			h = made[o.tp]
		}
		if h == nil || h.p == nil { // a directory may have come back to life with a new start only, but trying is cheap
			if !slices.Contains(o.state.Replicas, m.o.Config.BrokerID) {
				errs[i] = fmt.Errorf("broker %d is not one of %v: %w", m.o.Config.BrokerID, o.state.Replicas, kerr.UnknownTopicOrPartition)
				continue
			}
			var err error
			c, read := configs[o.tp.Topic]
			if !read {
				c = m.topicConfig(o.tp.Topic)
				m.setThrottles(o.tp.Topic, c)
				configs[o.tp.Topic] = c
			}
			if h, err = m.host(o, c); err != nil {
				errs[i] = err
			}
			if h != nil {
				made[o.tp] = h
			}
			if err != nil {
				continue
			}
		}
		partitions[i] = h.p
	}
	if len(made) > 0 {
		m.edit(func(all map[wire.TopicPartition]*hosted) { maps.Copy(all, made) })
	}
	return partitions, errs
}

// host opens a partition's log and makes the partition. With KAFKA_STORAGE_ERROR the partition is hosted all the same, without a log.
func (m *Manager) host(o *order, c config.Topic) (*hosted, error) {
	l, err := m.o.Logs.Host(o.tp, o.topicID, c, o.state.IsNew)
	if err != nil {
		if wire.Code(err) == kerr.KafkaStorageError.Code {
			return &hosted{}, err
		}
		return nil, err
	}
	p := partition.New(partition.Options{
		Env: m.o.Env, TP: o.tp, Log: l, Bugs: m.o.Config.Bugs,
		BrokerID:          m.o.Config.BrokerID,
		BrokerEpoch:       m.o.BrokerEpoch,
		Alive:             func(broker int32) bool { return m.o.Metadata.Snapshot().Alive(broker) },
		HighWatermark:     m.hws[o.tp],
		ReplicaLagTimeMax: m.o.Config.ReplicaLagTimeMax,
		MinInsyncReplicas: c.MinInsyncReplicas,
		Notify:            m.o.Purgatory.Notify,
		RequestAlter:      m.alter.request,
	})
	m.resumeMove(p, c)
	return &hosted{p: p}, nil
}

// atOnce is how many partitions sync their new leader epochs to disk at the same time.
const atOnce = 8

// obeyAll changes the partitions' roles and adds to errs. Each new leader syncs its epoch to disk before it serves, so they do
// that side by side: one after the other, the last would wait for all. The caller holds changes.
func (m *Manager) obeyAll(partitions []*partition.Partition, orders []order, errs []error) {
	var elected []int
	for i := range orders {
		switch o := &orders[i]; {
		case errs[i] != nil:
		case o.state.Leader == m.o.Config.BrokerID && o.state.LeaderEpoch > partitions[i].LeaderEpoch():
			elected = append(elected, i)
		default:
			errs[i] = m.obey(partitions[i], o)
		}
	}
	m.sideBySide("become-leader", len(elected), func(at int) {
		i := elected[at]
		errs[i] = m.obey(partitions[i], &orders[i])
	})
}

// sideBySide calls f for 0 to n-1, some at a time, from tasks of that name, and returns when all have returned.
func (m *Manager) sideBySide(name string, n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var next atomic.Int64
	tasks := env.NewGroup(m.o.Env)
	for range min(atOnce, n) {
		tasks.Go(name, func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	tasks.Wait()
}

// obey changes one partition's role. The caller holds changes.
func (m *Manager) obey(p *partition.Partition, o *order) error {
	if err := p.Log().Err(); err != nil {
		return err
	}
	if !slices.Contains(o.state.Replicas, m.o.Config.BrokerID) {
		markObeyUnknownTopicOrPartition.Hit()
		return fmt.Errorf("broker %d is not one of %v: %w", m.o.Config.BrokerID, o.state.Replicas, kerr.UnknownTopicOrPartition)
	}
	none := [16]byte{}
	had := p.TopicID()
	if o.topicID != none && had != none && had != o.topicID {
		markObeyInconsistentTopicId.Hit()
		return fmt.Errorf("topic id %x, not %x: %w", had, o.topicID, kerr.InconsistentTopicID)
	}
	if o.topicID != none && had == none && o.state.LeaderEpoch >= p.LeaderEpoch() {
		if err := p.AssignTopicID(o.topicID); err != nil {
			return err
		}
	}
	a := partition.Assignment{Leader: o.state.Leader, LeaderEpoch: o.state.LeaderEpoch, PartitionEpoch: o.state.ZKVersion,
		ControllerEpoch: o.state.ControllerEpoch, ISR: o.state.ISR, Replicas: o.state.Replicas, ISRMin: wire.ISRMin(&o.state.UnknownTags)}
	if a.Leader == m.o.Config.BrokerID {
		if a.LeaderEpoch > p.LeaderEpoch() {
			m.unfollow(o.tp)
		}
		if err := p.BecomeLeader(a); err != nil {
			return err
		}
		m.tellRole(o.tp, true, a.LeaderEpoch)
		return nil
	}
	newEpoch, err := p.BecomeFollower(a)
	if err != nil {
		return err
	}
	if !newEpoch {
		if had != o.topicID { // the controller knows ids since, or no longer
			m.fetchAs(o.tp, o.topicID)
		}
		return nil
	}
	m.tellRole(o.tp, false, a.LeaderEpoch)
	m.unfollow(o.tp)
	// DEVIATION(KIP-320): where there is no leader, or one that is not known to be alive, Kafka leaves the partition in its old
	// epoch and role. Ours takes the epoch, so that a deposed leader stops at once; its fetcher looks for the leader.
	if a.Leader < 0 {
		return nil
	}
	if err := p.BeginFollowing(a.LeaderEpoch); err != nil {
		return err
	}
	m.follow(p, o.topicID, a)
	return nil
}

func (m *Manager) tellRole(tp wire.TopicPartition, leader bool, epoch int32) {
	if m.o.OnRole != nil {
		m.o.OnRole(tp, leader, epoch)
	}
}

// StopReplicas obeys a StopReplica request, v1 to v4: fetching stops, and what is to be deleted goes, log and all. A partition that
// is not here is no error, and its log, left behind by an earlier life, is deleted too.
//
// Errors, for the whole: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition: FENCED_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
// Source: ReplicaManager#stopReplicas.
func (m *Manager) StopReplicas(req *kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse {
	resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.fence(req.ControllerEpoch, req.BrokerEpoch, &req.UnknownTags); err != nil {
		resp.ErrorCode = err.Code
		return resp
	}
	for _, s := range stopsOf(req) {
		rp := kmsg.NewStopReplicaResponsePartition()
		rp.Topic, rp.Partition = s.tp.Topic, s.tp.Partition
		rp.ErrorCode = wire.Code(m.stopReplica(s))
		resp.Partitions = append(resp.Partitions, rp)
	}
	m.closeIdleFetchers()
	return resp
}

// stop is what StopReplica says of one partition.
type stop struct {
	tp          wire.TopicPartition
	leaderEpoch int32 // or one of the two below
	delete      bool
}

// Leader epochs of StopReplica that are none (LeaderAndIsr.NO_EPOCH, EPOCH_DURING_DELETE).
const (
	noEpoch           int32 = -1
	epochDuringDelete int32 = -2
)

func stopsOf(req *kmsg.StopReplicaRequest) []stop {
	var stops []stop
	for i := range req.Topics {
		t := &req.Topics[i]
		if req.Version == 0 {
			stops = append(stops, stop{wire.TopicPartition{Topic: t.Topic, Partition: t.Partition}, noEpoch, req.DeletePartitions})
		}
		for _, number := range t.Partitions {
			stops = append(stops, stop{wire.TopicPartition{Topic: t.Topic, Partition: number}, noEpoch, req.DeletePartitions})
		}
		for _, s := range t.PartitionStates {
			stops = append(stops, stop{wire.TopicPartition{Topic: t.Topic, Partition: s.Partition}, s.LeaderEpoch, s.Delete})
		}
	}
	slices.SortStableFunc(stops, func(a, b stop) int { return a.tp.Compare(b.tp) })
	return stops
}

var evStopReplica = env.NewKind("stop-replica", env.Info, "epoch", "delete")

// stopReplica stops one replica. The caller holds changes.
func (m *Manager) stopReplica(s stop) error {
	h := (*m.hosted.Load())[s.tp]
	if h != nil && (h.p == nil || h.p.Log().Err() != nil) {
		markStopReplicaKafkaStorageError.Hit()
		return fmt.Errorf("stop replica %s: %w", s.tp, kerr.KafkaStorageError)
	}
	if h != nil && s.leaderEpoch >= 0 && s.leaderEpoch < h.p.LeaderEpoch() && !m.o.Config.Bugs.Has(bug.NoBrokerEpoch) { // KIP-570 came later
		markStopReplicaFencedLeaderEpoch.Hit()
		return fmt.Errorf("stop replica %s: leader epoch %d is older than %d: %w", s.tp, s.leaderEpoch, h.p.LeaderEpoch(), kerr.FencedLeaderEpoch)
	}
	m.unfollow(s.tp)
	m.tellRole(s.tp, false, s.leaderEpoch)
	ev := env.Event{Kind: evStopReplica, Topic: s.tp.Topic, Partition: s.tp.Partition, V: [4]int64{int64(s.leaderEpoch)}}
	if s.delete {
		ev.V[1] = 1
	}
	m.o.Env.Emit(ev)
	if !s.delete {
		return nil
	}
	if h != nil {
		m.edit(func(all map[wire.TopicPartition]*hosted) { delete(all, s.tp) })
		h.p.Close()
		h.p.DropFuture()
	}
	return m.o.Logs.Delete(s.tp)
}

// logDirFailed marks the partitions of the failed directory. It waits for nobody: the call comes from inside of the
// operation that failed.
func (m *Manager) logDirFailed(dir string, err error) {
	for _, p := range m.partitions() {
		if p.Log().Err() != nil {
			m.unfollow(p.TP())
			p.MarkOffline()
		}
		if p.LoseFuture() {
			markMoveLostItsDirectory.Hit()
		}
	}
	m.o.Logs.LoseFutures()
	if m.o.OnDirFailed != nil {
		m.o.OnDirFailed(dir)
	}
	all := len(m.o.Logs.OfflineDirs()) == len(m.o.Config.LogDirs)
	m.mu.Lock()
	tell := all && !m.offline && m.o.OnOffline != nil
	m.offline = m.offline || all
	m.mu.Unlock()
	if tell {
		m.o.OnOffline(errors.Join(fmt.Errorf("the last log directory, %s, has failed", dir), err))
	}
}
