package replica

import (
	"errors"
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch versions: topic ids came with v13, and v17 is the last that Kafka 3.9 knows.
const (
	fetchByID   int16 = 17
	fetchByName int16 = 12
)

// buildRequest makes the round's request, in the memory of the last one.
func (f *fetcher) buildRequest() {
	c, req := f.m.o.Config, &f.req
	topics := req.Topics
	*req = kmsg.NewFetchRequest()
	req.Topics = topics
	req.Version = fetchByID
	for _, n := range f.round {
		if n.topicID == ([16]byte{}) {
			req.Version = fetchByName
		}
	}
	req.ReplicaID = c.BrokerID
	req.ReplicaState.ID, req.ReplicaState.Epoch = c.BrokerID, f.m.o.BrokerEpoch()
	req.MaxWaitMillis, req.MinBytes = int32(c.ReplicaFetchWaitMax.Milliseconds()), c.ReplicaFetchBytesMin
	req.MaxBytes = c.ReplicaFetchResponseBytesMax
	f.wanted = f.wanted[:0]
	for _, n := range f.round {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.FetchOffset = n.tp.Partition, n.leaderEpoch, n.asked.Offset
		rp.LastFetchedEpoch, rp.LogStartOffset, rp.PartitionMaxBytes = n.asked.LastEpoch, n.asked.LogStartOffset, c.ReplicaFetchBytesMax
		if c.Bugs.Has(bug.NoFetchEpoch) { // before KIP-320 and KIP-595: once, when the following begins, the logs are compared
			rp.CurrentLeaderEpoch = -1
			if n.compared {
				rp.LastFetchedEpoch = -1
			}
		}
		part := client.FetchPart{TP: n.tp, Ask: rp}
		if req.Version >= fetchByID {
			part.TopicID = n.topicID
		}
		f.wanted = append(f.wanted, part)
	}
	f.session.Fill(req, f.wanted)
}

// processAll works the answer off. What a full one does not answer, backs off; of a session's, nothing is new there.
//
// A partition syncs a new leader epoch to disk before it appends the first batch of it. When a leader has taken many over that is many
// of them in one answer, so they do that side by side: one after the other, the last, and who waits for it with acks=all, would wait for all.
func (f *fetcher) processAll(conn *client.Conn, resp *kmsg.FetchResponse, incremental bool) {
	var begun []epochBegun
	answered := 0
	for _, n := range f.round {
		n.compared = true // unless the answer says something else below
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			n := f.inRound(t, rp.Partition, answered)
			if n == nil {
				continue // nobody asked
			}
			answered++
			if beginsEpoch(n, rp) {
				begun = append(begun, epochBegun{n, rp})
				continue
			}
			f.process(conn, n, rp)
		}
	}
	if len(begun) > 0 {
		f.m.sideBySide("begin-epoch", len(begun), func(i int) { f.process(conn, begun[i].n, begun[i].rp) })
	}
	if answered < len(f.round) && !incremental {
		f.delay(f.unanswered(resp)...)
	}
}

// epochBegun is an answer that brings a partition's first batch of a leader epoch.
type epochBegun struct {
	n  *following
	rp *kmsg.FetchResponseTopicPartition
}

func beginsEpoch(n *following, rp *kmsg.FetchResponseTopicPartition) bool {
	if rp.ErrorCode != 0 || len(rp.RecordBatches) == 0 {
		return false
	}
	b, _, err := record.Next(rp.RecordBatches)
	return err == nil && b.LeaderEpoch() > n.p.Log().LatestEpoch()
}

// inRound finds who asked. Answers come in the order of the questions nearly always, so hint is tried first.
func (f *fetcher) inRound(t *kmsg.FetchResponseTopic, number int32, hint int) *following {
	for i := range f.round {
		n := f.round[(hint+i)%len(f.round)]
		if n.tp.Partition == number && (n.tp.Topic == t.Topic || (t.TopicID != [16]byte{} && n.topicID == t.TopicID)) {
			return n
		}
	}
	return nil
}

func (f *fetcher) unanswered(resp *kmsg.FetchResponse) []*following {
	answered := map[*following]bool{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			answered[f.inRound(&resp.Topics[i], resp.Topics[i].Partitions[j].Partition, 0)] = true
		}
	}
	var rest []*following
	for _, n := range f.round {
		if !answered[n] {
			rest = append(rest, n)
		}
	}
	return rest
}

// process works off the answer about one partition.
func (f *fetcher) process(conn *client.Conn, n *following, rp *kmsg.FetchResponseTopicPartition) {
	var err error
	switch {
	case rp.ErrorCode == kerr.OffsetOutOfRange.Code:
		err = f.outOfRange(conn, n)
	case rp.ErrorCode != 0:
		err = kerr.ErrorForCode(rp.ErrorCode)
	case rp.DivergingEpoch.Epoch >= 0 || rp.DivergingEpoch.EndOffset >= 0:
		if f.m.o.Config.Bugs.Has(bug.HWBeforeTruncate) {
			if _, err = n.p.AppendAsFollower(partition.Fetched{LeaderEpoch: n.leaderEpoch, Offset: n.asked.Offset,
				HighWatermark: rp.HighWatermark, LogStartOffset: rp.LogStartOffset}); err != nil {
				break
			}
		}
		n.compared = false
		err = f.diverged(n, rp)
	default:
		var bytes int
		bytes, err = n.p.AppendAsFollower(partition.Fetched{LeaderEpoch: n.leaderEpoch, Offset: n.asked.Offset,
			Batches: rp.RecordBatches, HighWatermark: rp.HighWatermark, LogStartOffset: rp.LogStartOffset})
		if err == nil {
			f.took(n, rp, bytes)
		}
	}
	if err == nil {
		n.early = 0
		return
	}
	n.compared = false
	f.failed(n, rp.ErrorCode, err)
}

// failed decides what becomes of a partition after an error. FENCED_LEADER_EPOCH means that a later epoch exists, and that a
// LeaderAndIsr request will tell us: until then it rests. A failed disk rests for good. All else is tried again later.
func (f *fetcher) failed(n *following, code int16, err error) {
	ev := env.Event{Kind: evFetchFailed, Topic: n.tp.Topic, Partition: n.tp.Partition, Text: err.Error(),
		V: [4]int64{int64(f.key.leader), int64(n.leaderEpoch), n.asked.Offset}}
	if code != 0 {
		ev.Kind, ev.V[2] = evFetchRefused, int64(code)
	}
	f.m.o.Env.Emit(ev)
	switch {
	case errors.Is(err, kerr.FencedLeaderEpoch), n.p.Log().Err() != nil:
		f.drop(n)
	case errors.Is(err, partition.ErrMoved): // another fetcher has it by now, or had: its end is asked for anew
		f.tooEarly(n)
	case errors.Is(err, kerr.UnknownLeaderEpoch), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.NotLeaderForPartition):
		f.tooEarly(n)
	default:
		f.delay(n)
	}
}

// diverged cuts the log where the leader says that it parts from its own. The answer's high watermark is not taken: it
// speaks of the leader's log, not yet of ours (KAFKA-14704).
func (f *fetcher) diverged(n *following, rp *kmsg.FetchResponseTopicPartition) error {
	leader := partition.EpochEnd{Epoch: rp.DivergingEpoch.Epoch, EndOffset: rp.DivergingEpoch.EndOffset}
	progress, err := n.p.TruncateToEpochEnd(n.leaderEpoch, n.asked.Offset, leader)
	if err == nil && !progress {
		err = fmt.Errorf("diverges at epoch %d, offset %d, but there is nothing to cut", leader.Epoch, leader.EndOffset)
	}
	return err
}

// outOfRange asks the leader for its log's start and end, and brings ours in between.
// Source: AbstractFetcherThread#handleOutOfRangeError, fetchOffsetAndTruncate.
func (f *fetcher) outOfRange(conn *client.Conn, n *following) error {
	if f.m.o.Config.Bugs.Has(bug.EpochNotPersisted) {
		// The leader does not know our last epoch, or any after it. Before KIP-595 a follower then cut at its high watermark.
		progress, err := n.p.TruncateToEpochEnd(n.leaderEpoch, n.asked.Offset, partition.EpochEnd{Epoch: -1, EndOffset: -1})
		if err != nil || progress {
			return err
		}
	}
	end, err := f.listOffset(conn, n, partition.TimestampLatest)
	if err != nil {
		return err
	}
	start, err := f.listOffset(conn, n, partition.TimestampEarliest)
	if err != nil {
		return err
	}
	progress, err := n.p.ResetTo(n.leaderEpoch, start, end)
	if err == nil && !progress {
		err = fmt.Errorf("offset %d, last epoch %d are out of range, but inside of the leader's [%d, %d]: %w",
			n.asked.Offset, n.asked.LastEpoch, start, end, kerr.OffsetOutOfRange)
	}
	return err
}

// listOffset asks the leader for one offset, as a replica: latest is the log end offset.
func (f *fetcher) listOffset(conn *client.Conn, n *following, timestamp int64) (int64, error) {
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = n.tp.Partition, n.leaderEpoch, timestamp
	if f.m.o.Config.Bugs.Has(bug.NoFetchEpoch) {
		rp.CurrentLeaderEpoch = -1
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 9, f.m.o.Config.BrokerID
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: n.tp.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	r, err := conn.Do(req, f.m.o.Config.ReplicaSocketTimeout)
	if err != nil {
		f.disconnect(conn)
		return 0, err
	}
	resp, ok := r.(*kmsg.ListOffsetsResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("list offsets: not one answer to one question")
	}
	a := &resp.Topics[0].Partitions[0]
	return a.Offset, kerr.ErrorForCode(a.ErrorCode)
}
