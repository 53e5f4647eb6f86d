package replica

import (
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterSender sends the ISR changes of all partitions to the controller: what has gathered goes in one request, and there is one
// request at a time. It keeps no change itself, only names of partitions: each is asked for its change when the request
// is made, so one that a LeaderAndIsr request has overtaken is never sent.
//
// Source: DefaultAlterPartitionManager.
type alterSender struct {
	m      *Manager
	mu     env.Mutex
	wake   env.Cond
	wanted map[wire.TopicPartition]bool
	closed bool
}

// alterBackoff is the pause after a failed attempt (DefaultAlterPartitionManager: 50 ms).
const alterBackoff = 50 * time.Millisecond

var evAlterFailed = env.NewKind("alter-partition-failed", env.Warn, "partitions")

func newAlterSender(m *Manager) *alterSender {
	mu := m.o.Env.NewMutex()
	return &alterSender{m: m, mu: mu, wake: m.o.Env.NewCond(mu), wanted: map[wire.TopicPartition]bool{}}
}

// request has the partition's change sent. It does not wait.
func (s *alterSender) request(tp wire.TopicPartition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted[tp] = true
	s.wake.Signal()
}

func (s *alterSender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake.Broadcast()
}

// run is the sender's task.
func (s *alterSender) run() {
	for {
		changes, ok := s.take()
		if !ok {
			return
		}
		if len(changes) == 0 {
			continue
		}
		again := s.send(changes)
		if len(again) == 0 {
			continue
		}
		for _, c := range again {
			s.request(c.TP)
		}
		if !s.m.sleep(alterBackoff) {
			return
		}
	}
}

// take waits until something is wanted, and collects the changes, sorted by topic and partition.
func (s *alterSender) take() ([]*partition.Change, bool) {
	s.mu.Lock()
	for len(s.wanted) == 0 && !s.closed {
		s.wake.Wait()
	}
	if s.closed {
		s.mu.Unlock()
		return nil, false
	}
	wanted := make([]wire.TopicPartition, 0, len(s.wanted))
	for tp := range s.wanted {
		wanted = append(wanted, tp)
	}
	clear(s.wanted)
	s.mu.Unlock()

	slices.SortFunc(wanted, wire.TopicPartition.Compare)
	var changes []*partition.Change
	for _, tp := range wanted {
		if p, err := s.m.Partition(tp); err == nil {
			if c := p.PendingChange(); c != nil {
				changes = append(changes, c)
			}
		}
	}
	return changes, true
}

// send asks the controller, and returns what must be asked again.
func (s *alterSender) send(changes []*partition.Change) (again []*partition.Change) {
	req := alterRequest(changes, s.m.o.Config.BrokerID, s.m.o.BrokerEpoch())
	resp, err := s.m.o.AlterPartition(req)
	if err == nil && resp.ErrorCode != 0 {
		err = kerr.ErrorForCode(resp.ErrorCode) // STALE_BROKER_EPOCH, NOT_CONTROLLER, …: a later attempt fares better
	}
	if err != nil {
		s.m.o.Env.Emit(env.Event{Kind: evAlterFailed, V: [4]int64{int64(len(changes))}, Text: err.Error()})
		return changes
	}
	for _, c := range changes {
		result, ok := alterResult(resp, c)
		if !ok {
			again = append(again, c) // not answered: as if it had not been sent
			continue
		}
		if p, err := s.m.Partition(c.TP); err == nil && p.CompleteChange(c, result) {
			again = append(again, c)
		}
	}
	return again
}

// alterRequest makes the request: v3, by topic id and with broker epochs (KIP-903), or v1 where a topic has no id.
func alterRequest(changes []*partition.Change, broker int32, epoch int64) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version, req.BrokerID, req.BrokerEpoch = 3, broker, epoch
	if slices.ContainsFunc(changes, func(c *partition.Change) bool { return c.TopicID == [16]byte{} }) {
		req.Version = 1
	}
	last := ""
	for _, c := range changes {
		if len(req.Topics) == 0 || c.TP.Topic != last {
			t := kmsg.NewAlterPartitionRequestTopic()
			t.Topic, t.TopicID = c.TP.Topic, c.TopicID
			req.Topics = append(req.Topics, t)
			last = c.TP.Topic
		}
		p := kmsg.NewAlterPartitionRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.PartitionEpoch = c.TP.Partition, c.LeaderEpoch, c.PartitionEpoch
		for _, member := range c.ISR {
			p.NewISR = append(p.NewISR, member.Broker)
			p.NewEpochISR = append(p.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: member.Broker, BrokerEpoch: member.Epoch})
		}
		if c.EmptyELR {
			wire.SetEmptyELR(&p.UnknownTags)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return req
}

// alterResult finds the answer to a change.
func alterResult(resp *kmsg.AlterPartitionResponse, c *partition.Change) (partition.AlterResult, bool) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic != c.TP.Topic && (t.TopidID != c.TopicID || c.TopicID == [16]byte{}) {
			continue
		}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; p.Partition == c.TP.Partition {
				return partition.AlterResult{Code: p.ErrorCode, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: p.ISR,
					ISRMin: wire.ISRMin(&p.UnknownTags)}, true
			}
		}
	}
	return partition.AlterResult{}, false
}
