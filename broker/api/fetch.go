package api

import (
	"barnabas/broker/env"
	"fmt"
	"math"
	"time"

	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/quota"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rareEarlyFetch answers a fetch before there is as much as it asks for.
var rareEarlyFetch = env.NewRare("fetch-answered-early")

// Fetch v0-v17. v1 throttle time; v0-v3 get records in the formats before the batch (fetch_old.go); v3 max bytes (KIP-74); v4 isolation (KIP-98); v5 log start offset; v7 sessions (KIP-227); v9 leader epoch (KIP-320); v11 rack
// (KIP-392); v12 last fetched epoch (KIP-595), flexible; v13 topic ids (KIP-516); v15 replica state (KIP-903); v16 current
// leader (KIP-951); v17 directory ids, of no meaning here.
// Ordered: the first read, which records what a follower has.
// Waits: keys = partitions read; ready at min_bytes, or when some partition has an error or a diverging epoch.
//
// Source: KafkaApis#handleFetchRequest, ReplicaManager#fetchMessages, DelayedFetch.
var fetchRoute = on(kmsg.Fetch, (*API).fetch)

func (a *API) fetch(r *server.Request, req *kmsg.FetchRequest) server.Reply {
	f := &fetching{api: a, client: r.Header.ClientID, version: req.Version, resp: req.ResponseKind().(*kmsg.FetchResponse)}
	if err := f.begin(req); err != nil {
		f.resp.ErrorCode = err.Code
		return server.Now(f.resp)
	}
	bytes, done := f.read(false)
	if f.version <= fetchOldMax && (done || bytes >= f.minBytes || req.MaxWaitMillis <= 0 || len(f.parts) == 0) {
		return f.answerOld()
	}
	if done || bytes >= f.minBytes || req.MaxWaitMillis <= 0 || len(f.parts) == 0 {
		return server.With(f.answer())
	}
	f.release()
	keys := make([]wire.TopicPartition, len(f.parts))
	for i := range f.parts {
		keys[i] = f.parts[i].tp
	}
	waiter := a.Purgatory.Watch(keys, r.Received.Add(millis(req.MaxWaitMillis)), f.enough)
	return server.When(waiter, func(bool) server.Answer {
		f.read(true)
		if f.version <= fetchOldMax {
			f.convert()
		}
		return f.answer()
	})
}

// fetching is a fetch request on its way to its response.
type fetching struct {
	api          *API
	client       string // client id
	version      int16
	replica      bool
	replicaID    int32
	replicaEpoch int64
	rack         string // the consumer's, "" for none
	committed    bool   // read_committed
	minBytes     int64
	maxBytes     int64
	parts        []fetchPart // in the order of the request, or of the session
	resp         *kmsg.FetchResponse
	session      *fetchSession // that the request goes on with, nil for a full one
	epoch        int32         // of the session once this request is answered
	create       bool          // a full request that would like a session
	one          onePart
}

// onePart is room for what a fetch of one partition takes, which is most fetches of a small cluster.
type onePart struct {
	parts   [1]fetchPart
	filled  [1]kmsg.FetchResponseTopicPartition
	topics  [1]kmsg.FetchResponseTopic
	records [1]wire.Slice
}

// few is room for n things: that of one, or new.
func few[T any](one *[1]T, n int) []T {
	if n <= len(one) {
		return one[:0]
	}
	return make([]T, 0, n)
}

// fetchPart is one partition of a fetch request.
type fetchPart struct {
	tp        wire.TopicPartition
	id        [16]byte // of the topic; zero in requests by name
	cached    *sessionPart
	asked     *kmsg.FetchRequestTopicPartition // in a full request
	err       error                            // known before the read, or that of the last read
	invalid   bool                             // err was known before the read
	read      partition.ReadOptions
	result    partition.ReadResult
	available int64 // bytes, when enough asked last
	held      bool  // they do not count: the throttle of replication says no, at present
	out       *kmsg.FetchResponseTopicPartition
	elsewhere int32 // the replica that the consumer should rather read from, -1 for none
	silent    bool  // the answer does not name it: its fetcher knows all there is
}

// begin finds the request's session, and sets down what is to be read: what the request names, or all of its session.
func (f *fetching) begin(req *kmsg.FetchRequest) *kerr.Error {
	f.bounds(req)
	sessions := f.api.sessions
	switch {
	case req.Version < 7 || req.SessionEpoch == sessionFinalEpoch:
		if req.Version >= 7 && req.SessionID != 0 {
			sessions.remove(req.SessionID)
		}
		f.fromRequest(req)
	case req.SessionEpoch == sessionInitialEpoch:
		if req.SessionID != 0 {
			sessions.remove(req.SessionID)
		}
		f.create = true
		f.fromRequest(req)
	default:
		s, err := sessions.sessionOf(req, f.fromSession)
		if err != nil {
			return err
		}
		f.session, f.epoch = s, nextSessionEpoch(req.SessionEpoch)
		if len(f.parts) == 0 { // the fetcher has forgotten all of it
			sessions.remove(s.id)
			f.session = nil
			break
		}
		s.touch(f.api.Env.Mono(), len(f.parts))
	}
	return nil
}

// bounds sets down how much may and must be read, and for whom.
func (f *fetching) bounds(req *kmsg.FetchRequest) {
	f.replicaID, f.replicaEpoch = req.ReplicaID, -1
	if req.Version >= 15 {
		f.replicaID, f.replicaEpoch = req.ReplicaState.ID, req.ReplicaState.Epoch
	}
	// Any id below zero is a consumer's: -1, and -2 of those who debug (FetchRequest#isValidBrokerId).
	// DEVIATION(KIP-113): Kafka takes a fetch of replica -3 for one of its own future replicas, wherever it comes from, and lets it read
	// on to the log end. Our future replicas send no requests, and nobody outside gets what may still be lost.
	f.replica = f.replicaID >= 0
	f.maxBytes = int64(f.api.Config.FetchBytesMax)
	if req.Version >= 3 {
		f.maxBytes = min(f.maxBytes, int64(req.MaxBytes))
	}
	f.minBytes = min(int64(req.MinBytes), f.maxBytes)
	if rareEarlyFetch.Strikes(f.api.Env) {
		f.minBytes = 0 // an answer with less than asked for is right at any time
	}
	if req.Version >= 11 {
		f.rack = req.Rack
	}
	f.committed = req.IsolationLevel == 1 && !f.replica
	if q := f.api.Quotas; q != nil && !f.replica && q.Any() {
		f.maxBytes = min(f.maxBytes, int64(min(q.Most(quota.Fetch, anonymous, f.client), math.MaxInt32)))
		f.minBytes = min(f.minBytes, f.maxBytes)
	}
}

// fromRequest takes the partitions that a full request names.
func (f *fetching) fromRequest(req *kmsg.FetchRequest) {
	count := 0
	for i := range req.Topics {
		count += len(req.Topics[i].Partitions)
	}
	f.parts = few(&f.one.parts, count)
	snapshot := f.api.Metadata.Snapshot()
	for i := range req.Topics {
		in := &req.Topics[i]
		name := in.Topic
		if req.Version >= 13 {
			name = ""
			if topic := snapshot.TopicByID(in.TopicID); topic != nil {
				name = topic.Name
			}
		}
		for j := range in.Partitions {
			f.addPart(name, in.TopicID, &in.Partitions[j], nil)
		}
	}
}

// fromSession takes all partitions of the session, whose lock the caller holds.
func (f *fetching) fromSession(s *fetchSession) {
	snapshot := f.api.Metadata.Snapshot()
	f.parts = s.takeRoom()
	for _, p := range s.parts {
		if p.topic == "" {
			if topic := snapshot.TopicByID(p.key.id); topic != nil {
				p.topic = topic.Name
			}
		}
		f.addPart(p.topic, p.key.id, &p.asked, p)
	}
}

// addPart sets down one partition to read. cached is its place in the session, whose later requests may change p. A topic id that nobody knows, zero among them, has no name.
func (f *fetching) addPart(name string, id [16]byte, p *kmsg.FetchRequestTopicPartition, cached *sessionPart) {
	part := fetchPart{tp: wire.TopicPartition{Topic: name, Partition: p.Partition}, id: id, cached: cached, elsewhere: -1}
	if cached == nil {
		part.asked = p
	}
	part.read = partition.ReadOptions{
		Offset: p.FetchOffset, CurrentLeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch,
		MaxBytes: p.PartitionMaxBytes, LogStartOffset: p.LogStartOffset,
		ReplicaID: f.replicaID, ReplicaEpoch: f.replicaEpoch,
		ReadCommitted: f.committed,
		// DEVIATION(KIP-392): Kafka lets a follower serve every consumer of v11 or later. We let it serve those alone that
		// say where they are: a consumer without a rack is at a follower by mistake, and must learn of it.
		AllowFollower: f.rack != "" && !f.replica,
	}
	if name == "" && f.version >= 13 {
		part.err, part.invalid = fmt.Errorf("topic id %x: %w", id, kerr.UnknownTopicID), true
	}
	f.parts = append(f.parts, part)
}

// read reads every partition, within the request's bounds: the first that has anything gives at least one batch. It
// returns the bytes found, and whether the request must be answered at once in any case. again marks a second look.
//
// Source: ReplicaManager#readFromLog.
func (f *fetching) read(again bool) (bytes int64, done bool) {
	left, minOne := f.maxBytes, true
	for i := range f.parts {
		part := &f.parts[i]
		if part.invalid {
			done = true
			continue
		}
		o := part.read
		o.Again, o.MinOne = again, minOne
		o.MaxBytes = int32(min(int64(o.MaxBytes), left))
		part.result, part.err = partition.ReadResult{}, nil
		target, err := f.partition(part)
		if err == nil {
			if part.elsewhere = f.preferred(part, target); part.elsewhere >= 0 || f.held(part, target) {
				o.MaxBytes, o.MinOne = 0, false
			}
			part.result, err = target.Read(o)
		}
		if err == nil && f.version < fetchZstdMin && !f.replica {
			err = part.checkZstd()
		}
		if part.err = err; err != nil {
			done = true
			continue
		}
		if part.result.Diverging != nil || part.elsewhere >= 0 {
			done = true
		}
		if n := int64(part.result.Slice.Len); n > 0 {
			minOne = false
			bytes += n
			left = max(0, left-n)
		}
	}
	return bytes, done
}

// partition finds the partition, and checks that it is of the topic that the client means.
func (f *fetching) partition(part *fetchPart) (Partition, error) {
	target, err := f.api.Replicas.Partition(part.tp)
	if err != nil {
		return nil, err
	}
	if part.id != ([16]byte{}) && target.TopicID() != ([16]byte{}) && target.TopicID() != part.id {
		return nil, fmt.Errorf("%s has topic id %x, not %x: %w", part.tp, target.TopicID(), part.id, kerr.InconsistentTopicID)
	}
	return target, nil
}

// enough asks again, without recording or holding anything, whether the request can be answered. Only partitions that have changed since
// it was asked last can say something else than they did then: that keeps a fetch of many partitions, of which few change at once, cheap.
// (Kafka asks all of them each time: DelayedFetch#tryComplete.)
func (f *fetching) enough(changed purgatory.Set) bool {
	var total int64
	for i := range f.parts {
		part := &f.parts[i]
		if changed.Has(i) || part.held {
			target, err := f.partition(part)
			if err != nil {
				return true
			}
			o := part.read
			o.Again, o.MinOne = true, true
			wanted := f.minBytes
			if part.result.Bound(o) > o.Offset {
				wanted = math.MaxInt64 // there was something to read already, and the read found nothing: compaction has left a gap at the end
			}
			bytes, done := target.Available(o, wanted)
			if done {
				return true
			}
			if part.held = f.held(part, target); part.held {
				bytes = 0 // for now
			}
			part.available = bytes
		}
		if total += part.available; total >= f.minBytes {
			return true
		}
	}
	return false
}

// release gives back what was read.
func (f *fetching) release() {
	for i := range f.parts {
		f.parts[i].result.Slice.Done()
		f.parts[i].result.Slice = wire.Slice{}
	}
}

// answer puts what was read last into the response: of a session that goes on, what its fetcher does not know yet.
func (f *fetching) answer() server.Answer {
	filled := few(&f.one.filled, len(f.parts))[:len(f.parts)]
	failed := false
	for i := range f.parts {
		part := &f.parts[i]
		part.out = &filled[i]
		part.fill(f.version)
		failed = failed || part.err != nil
	}
	if failed && f.version >= 16 {
		f.nameLeaders()
	}
	if wait := f.fetchThrottle(); wait > 0 {
		return f.holdBack(wait)
	}
	f.recordThrottled()
	if f.session != nil && !f.session.answered(f) {
		f.release()
		f.resp.ErrorCode = kerr.InvalidFetchSessionEpoch.Code
		return server.Answer{Message: f.resp}
	}
	if f.create {
		f.resp.SessionID = f.makeSession()
	}
	answer := server.Answer{Message: f.resp, Records: f.gather(filled)}
	if f.session != nil {
		f.session.giveRoom(f.parts)
		f.parts = nil
	}
	return answer
}

// holdBack answers with nothing but the time to wait. A session stays as it was, and its epoch goes on
// (FetchContext#getThrottledResponse).
func (f *fetching) holdBack(wait time.Duration) server.Answer {
	f.release()
	f.resp.Topics, f.resp.Brokers = []kmsg.FetchResponseTopic{}, nil
	if s := f.session; s != nil {
		s.mu.Lock()
		if f.resp.SessionID = s.id; s.epoch != f.epoch {
			f.resp.SessionID, f.resp.ErrorCode = 0, kerr.InvalidFetchSessionEpoch.Code
		}
		s.mu.Unlock()
	}
	return throttled(server.Answer{Message: f.resp}, wait)
}

// gather makes the response's topics of the parts that it names, moved together in filled, and lists their records in the same order.
func (f *fetching) gather(filled []kmsg.FetchResponseTopicPartition) (records []wire.Slice) {
	records = few(&f.one.records, len(f.parts))
	f.resp.Topics = f.one.topics[:0]
	first := 0 // of the last topic's partitions
	for i := range f.parts {
		part := &f.parts[i]
		if part.silent {
			part.result.Slice.Done()
			part.result.Slice = wire.Slice{}
			continue
		}
		if n := len(f.resp.Topics); n == 0 || f.resp.Topics[n-1].TopicID != part.id || f.resp.Topics[n-1].Topic != part.tp.Topic {
			t := kmsg.NewFetchResponseTopic()
			t.Topic, t.TopicID = part.tp.Topic, part.id
			f.resp.Topics = append(f.resp.Topics, t)
			first = len(records)
		}
		n := len(records)
		if n < i {
			filled[n] = filled[i]
		}
		f.resp.Topics[len(f.resp.Topics)-1].Partitions = filled[first : n+1 : n+1]
		records = append(records, part.result.Slice)
	}
	return records
}

// fill fills in one partition of the response. After an error all offsets are -1.
func (part *fetchPart) fill(version int16) {
	out := part.out
	out.Default()
	out.Partition = part.tp.Partition
	if part.err != nil {
		out.ErrorCode, out.HighWatermark = wire.Code(part.err), -1
		return
	}
	out.HighWatermark = part.result.HighWatermark
	out.LastStableOffset = part.result.LastStableOffset
	out.LogStartOffset = part.result.LogStartOffset
	if version >= 11 {
		out.PreferredReadReplica = part.elsewhere
	}
	if part.read.ReadCommitted {
		out.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for _, t := range part.result.Aborted {
			aborted := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			aborted.ProducerID, aborted.FirstOffset = t.ProducerID, t.FirstOffset
			out.AbortedTransactions = append(out.AbortedTransactions, aborted)
		}
	}
	if d := part.result.Diverging; d != nil && version >= 12 {
		out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset = d.Epoch, d.EndOffset
	}
}

// nameLeaders tells clients who came to the wrong broker which is the right one (v16, KIP-951).
func (f *fetching) nameLeaders() {
	nodes := f.api.newEndpoints()
	for i := range f.parts {
		part := &f.parts[i]
		switch part.out.ErrorCode {
		case kerr.NotLeaderForPartition.Code, kerr.FencedLeaderEpoch.Code:
			id, epoch := f.api.currentLeader(part.tp)
			part.out.CurrentLeader.LeaderID, part.out.CurrentLeader.LeaderEpoch = id, epoch
			nodes.add(id)
		}
	}
	nodes.each(func(id int32, host string, port int32, rack *string) {
		b := kmsg.NewFetchResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = id, host, port, rack
		f.resp.Brokers = append(f.resp.Brokers, b)
	})
}
