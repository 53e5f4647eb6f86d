package txn

import (
	"errors"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// markerTimeout bounds one WriteTxnMarkers request.
	markerTimeout = 30 * time.Second
	// markerRetry is the pause before markers are sent again that could not be delivered.
	markerRetry = 100 * time.Millisecond
)

var (
	evMarkersFenced = env.NewKind("txn-markers-fenced", env.Warn, "producer", "epoch", "code")
	evMarkersRetry  = env.NewKind("txn-markers-retry", env.Debug, "broker", "markers")
)

// markerJob is a decided transaction whose partitions are to get their markers.
type markerJob struct {
	shard, epoch int32 // of __transaction_state: the coordinator's epoch goes into the marker
	id           string
	Markers
}

var rareLostMarkers = env.NewRare("markers-answer-lost")

// marker is one partition's.
type marker struct {
	job *markerJob
	tp  wire.TopicPartition
}

// markerSender delivers markers to the leaders of partitions, again and again until they have them, the partition is no more, or the
// coordinator is. One task groups them by leader: a broker has one request at a time, with all that has gathered meanwhile.
//
// Source: TransactionMarkerChannelManager, TransactionMarkerRequestCompletionHandler.
type markerSender struct {
	c     *Coordinator
	queue *env.Queue[func()] // for the task, which alone touches the rest

	ready  []marker // to be sent
	later  []marker // to be sent again at again
	again  env.Instant
	flight map[int32]bool // brokers with a request under way
	tasks  *env.Group
}

func newMarkerSender(c *Coordinator) *markerSender {
	return &markerSender{c: c, queue: env.NewQueue[func()](c.e, 0), flight: map[int32]bool{}, again: env.Never, tasks: env.NewGroup(c.e)}
}

func (m *markerSender) start() { m.tasks.Go("txn-markers", m.run) }
func (m *markerSender) stop()  { m.queue.Close() }

// enqueue takes markers to be sent. It does not wait.
func (m *markerSender) enqueue(job markerJob, partitions []wire.TopicPartition) {
	m.queue.TryPut(func() {
		for _, tp := range partitions {
			m.ready = append(m.ready, marker{&job, tp})
		}
	})
}

func (m *markerSender) run() {
	for {
		act, ok := m.queue.GetUntil(m.again)
		switch {
		case ok:
			act()
			for m.queue.Len() > 0 { // gather
				if act, ok := m.queue.Get(); ok {
					act()
				}
			}
		case m.queue.Closed():
			return
		}
		if m.c.e.Mono() >= m.again {
			m.ready, m.later, m.again = append(m.ready, m.later...), nil, env.Never
		}
		m.send()
	}
}

// send sends what is ready to every leader that has no request under way.
func (m *markerSender) send() {
	if len(m.ready) == 0 {
		return
	}
	snapshot := m.c.o.Metadata.Snapshot()
	byBroker := map[int32][]marker{}
	var kept []marker
	var brokers []int32
	for _, k := range m.ready {
		if m.c.given(k.job) {
			markMarkerGivenUp.Hit()
			continue
		}
		p := snapshot.Partition(k.tp)
		switch {
		case p == nil && snapshot.Topic(Topic) == nil: // the controller has not told us what there is
			markMarkerBeforeMetadata.Hit()
			m.retry(k)
		case p == nil: // deleted
			markMarkerOfADeletedTopic.Hit()
			m.c.marked(k)
		case p.Leader == metadata.NoLeader || snapshot.Broker(p.Leader) == nil:
			markMarkerWithoutALeader.Hit()
			m.retry(k)
		case m.flight[p.Leader]:
			markMarkerWaitsForTheLastRequest.Hit()
			kept = append(kept, k)
		default:
			if byBroker[p.Leader] == nil {
				brokers = append(brokers, p.Leader)
			}
			byBroker[p.Leader] = append(byBroker[p.Leader], k)
		}
	}
	m.ready = kept
	for _, broker := range brokers {
		list := byBroker[broker]
		m.flight[broker] = true
		m.c.o.Send(broker, markerRequest(list), markerTimeout, func(resp kmsg.Response, err error) {
			if err == nil && rareLostMarkers.Strikes(m.c.e) {
				err = errors.New("the answer was lost")
			}
			m.queue.TryPut(func() {
				delete(m.flight, broker)
				m.answered(broker, list, resp, err)
			})
		})
	}
}

func (m *markerSender) retry(k marker) {
	m.later = append(m.later, k)
	if m.again == env.Never {
		m.again = m.c.e.Mono().Add(markerRetry)
	}
}

// markerRequest writes markers down, in their order: one entry for each transaction.
func markerRequest(list []marker) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 1
	at := map[*markerJob]int{}
	for _, k := range list {
		i, found := at[k.job]
		if !found {
			out := kmsg.NewWriteTxnMarkersRequestMarker()
			out.ProducerID, out.ProducerEpoch, out.Committed, out.CoordinatorEpoch = k.job.ProducerID, k.job.Epoch, k.job.Commit, k.job.epoch
			i = len(req.Markers)
			at[k.job] = i
			req.Markers = append(req.Markers, out)
		}
		topics := &req.Markers[i].Topics
		if n := len(*topics); n == 0 || (*topics)[n-1].Topic != k.tp.Topic {
			topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			topic.Topic = k.tp.Topic
			*topics = append(*topics, topic)
		}
		last := &(*topics)[len(*topics)-1]
		last.Partitions = append(last.Partitions, k.tp.Partition)
	}
	return req
}

// answered sees what has become of each marker.
func (m *markerSender) answered(broker int32, list []marker, resp kmsg.Response, err error) {
	if err != nil {
		m.c.e.Emit(env.Event{Kind: evMarkersRetry, V: [4]int64{int64(broker), int64(len(list))}, Text: err.Error()})
		markMarkersNotDelivered.Hit()
		for _, k := range list {
			m.retry(k)
		}
		return
	}
	codes := markerCodes(resp.(*kmsg.WriteTxnMarkersResponse))
	for _, k := range list {
		code, answered := codes[markerKey{k.job.ProducerID, k.tp}]
		switch kerr.TypedErrorForCode(code) {
		case nil:
			if answered {
				m.c.marked(k)
			} else {
				m.retry(k)
			}
		case kerr.UnsupportedForMessageFormat, kerr.UnsupportedVersion:
			m.c.marked(k) // of a format without producers: nothing of the transaction can be there
		case kerr.InvalidProducerEpoch, kerr.TransactionCoordinatorFenced:
			markMarkerFenced.Hit()
			// Somebody else has decided meanwhile: this coordinator is one no more, or an admin has written a marker.
			m.c.e.Emit(env.Event{Kind: evMarkersFenced, Topic: k.tp.Topic, Partition: k.tp.Partition, V: [4]int64{k.job.ProducerID, int64(k.job.Epoch), int64(code)}, Text: k.job.id})
		default:
			m.retry(k)
		}
	}
}

type markerKey struct {
	producer int64
	tp       wire.TopicPartition
}

// markerCodes reads an answer; of several for one producer and partition the worst counts.
func markerCodes(resp *kmsg.WriteTxnMarkersResponse) map[markerKey]int16 {
	codes := map[markerKey]int16{}
	for i := range resp.Markers {
		out := &resp.Markers[i]
		for j := range out.Topics {
			for _, p := range out.Topics[j].Partitions {
				key := markerKey{out.ProducerID, wire.TopicPartition{Topic: out.Topics[j].Topic, Partition: p.Partition}}
				if old, ok := codes[key]; !ok || old == 0 {
					codes[key] = p.ErrorCode
				}
			}
		}
	}
	return codes
}

// given reports whether a transaction has been given up: its coordinator is one no more.
func (c *Coordinator) given(job *markerJob) bool {
	s, err := c.r.EnterPartition(job.shard)
	if err != nil {
		return err != kerr.CoordinatorLoadInProgress || c.r.Closed()
	}
	defer s.Unlock()
	return s.Epoch != job.epoch
}

// marked tells a transaction that a partition has its marker.
func (c *Coordinator) marked(k marker) {
	s, err := c.r.EnterPartition(k.job.shard)
	if err != nil {
		return
	}
	if t := s.State[k.job.id]; t != nil && s.Epoch == k.job.epoch {
		t.Marked(c.r.Now(), k.job.ProducerID, k.job.Epoch, k.tp)
		c.flush(s, t)
	}
	s.Unlock()
}
