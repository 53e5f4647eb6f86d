package api

import (
	"fmt"

	"barnabas/broker/partition"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch v0-v17. v1 throttle time; v0-v3 get records in the formats before the batch (fetch_old.go); v3 max bytes (KIP-74); v4 isolation (KIP-98); v5 log start offset; v7 sessions (KIP-227); v9 leader epoch (KIP-320); v11 rack
// (KIP-392); v12 last fetched epoch (KIP-595), flexible; v13 topic ids (KIP-516); v15 replica state (KIP-903); v16 current
// leader (KIP-951); v17 directory ids, of no meaning here.
// Ordered: the first read, which records what a follower has.
// Waits: keys = partitions read; ready at min_bytes, or when some partition has an error or a diverging epoch.
//
// Source: KafkaApis#handleFetchRequest, ReplicaManager#fetchMessages, DelayedFetch.
var fetchRoute = on(kmsg.Fetch, (*API).fetch)

// Session epochs with a meaning of their own (FetchMetadata).
const (
	sessionInitialEpoch int32 = 0  // a full request that would like a session
	sessionFinalEpoch   int32 = -1 // a full request without one
)

func (a *API) fetch(r *server.Request, req *kmsg.FetchRequest) server.Reply {
	f := &fetching{api: a, version: req.Version, resp: req.ResponseKind().(*kmsg.FetchResponse)}
	if req.SessionEpoch != sessionInitialEpoch && req.SessionEpoch != sessionFinalEpoch {
		// DEVIATION(KIP-227): we make no sessions yet. Every full request is answered with session id 0, which tells the
		// client to go on with full requests, so nobody can have a session with us.
		f.resp.ErrorCode = kerr.FetchSessionIDNotFound.Code
		return server.Now(f.resp)
	}
	f.prepare(req)
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
	api      *API
	version  int16
	replica  bool
	minBytes int64
	maxBytes int64
	parts    []fetchPart // in the order of the request
	resp     *kmsg.FetchResponse
}

// fetchPart is one partition of a fetch request.
type fetchPart struct {
	tp      wire.TopicPartition
	id      [16]byte // of the topic; zero in requests by name
	err     error    // known before the read, or that of the last read
	invalid bool     // err was known before the read
	read    partition.ReadOptions
	result  partition.ReadResult
	out     *kmsg.FetchResponseTopicPartition
}

// prepare resolves topics, makes the response's frame, and sets down what is to be read.
func (f *fetching) prepare(req *kmsg.FetchRequest) {
	replicaID, replicaEpoch := req.ReplicaID, int64(-1)
	if req.Version >= 15 {
		replicaID, replicaEpoch = req.ReplicaState.ID, req.ReplicaState.Epoch
	}
	f.replica = replicaID >= 0
	f.maxBytes = int64(f.api.Config.FetchBytesMax)
	if req.Version >= 3 {
		f.maxBytes = min(f.maxBytes, int64(req.MaxBytes))
	}
	f.minBytes = min(int64(req.MinBytes), f.maxBytes)
	count := 0
	for i := range req.Topics {
		count += len(req.Topics[i].Partitions)
	}
	f.parts = make([]fetchPart, 0, count)
	f.resp.Topics = make([]kmsg.FetchResponseTopic, len(req.Topics))
	snapshot := f.api.Metadata.Snapshot()
	for i := range req.Topics {
		in, out := &req.Topics[i], &f.resp.Topics[i]
		name, known := in.Topic, true
		if req.Version >= 13 {
			topic := snapshot.TopicByID(in.TopicID)
			if known = topic != nil; known {
				name = topic.Name
			}
		}
		out.Topic, out.TopicID = name, in.TopicID
		out.Partitions = make([]kmsg.FetchResponseTopicPartition, len(in.Partitions))
		for j := range in.Partitions {
			p := &in.Partitions[j]
			part := fetchPart{tp: wire.TopicPartition{Topic: name, Partition: p.Partition}, id: in.TopicID, out: &out.Partitions[j]}
			part.read = partition.ReadOptions{
				Offset: p.FetchOffset, CurrentLeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch,
				MaxBytes: p.PartitionMaxBytes, LogStartOffset: p.LogStartOffset,
				ReplicaID: replicaID, ReplicaEpoch: replicaEpoch,
				ReadCommitted: req.IsolationLevel == 1 && !f.replica,
				// DEVIATION(KIP-392): Kafka lets a follower serve every consumer of v11 or later. We let it serve those alone that
				// say where they are: a consumer without a rack is at a follower by mistake, and must learn of it.
				AllowFollower: req.Version >= 11 && req.Rack != "" && !f.replica,
			}
			if !known {
				part.err, part.invalid = fmt.Errorf("topic id %x: %w", in.TopicID, kerr.UnknownTopicID), true
			}
			f.parts = append(f.parts, part)
		}
	}
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
			part.result, err = target.Read(o)
		}
		if err == nil && f.version < fetchZstdMin && !f.replica {
			err = part.checkZstd()
		}
		if part.err = err; err != nil {
			done = true
			continue
		}
		if part.result.Diverging != nil {
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

// enough asks again, without recording or holding anything, whether the request can be answered.
func (f *fetching) enough() bool {
	var total int64
	for i := range f.parts {
		part := &f.parts[i]
		target, err := f.partition(part)
		if err != nil {
			return true
		}
		o := part.read
		o.Again, o.MinOne = true, true
		bytes, done := target.Available(o)
		if done {
			return true
		}
		if total += bytes; total >= f.minBytes {
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

// answer puts what was read last into the response.
func (f *fetching) answer() server.Answer {
	records := make([]wire.Slice, len(f.parts))
	failed := false
	for i := range f.parts {
		part := &f.parts[i]
		part.fill(f.version)
		records[i] = part.result.Slice
		failed = failed || part.err != nil
	}
	if failed && f.version >= 16 {
		f.nameLeaders()
	}
	return server.Answer{Message: f.resp, Records: records}
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
