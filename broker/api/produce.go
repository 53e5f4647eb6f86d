package api

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/record"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce v0-v12. v1 throttle time; v2 log-append time; v0-v2 may bring messages of magic 0 and 1 (KIP-31, KIP-32); v3 record batches and transactions (KIP-98); v5 log start offset; v7 zstd (KIP-110); v8 record errors
// (KIP-467); v9 flexible; v10 current leader (KIP-951); v11 TRANSACTION_ABORTABLE; v12 adds partitions to transactions by itself (KIP-890,
// transaction.version=2).
// Ordered: that transactions are open is verified with their coordinators; then every partition's append, before the next request of the connection is looked at.
// Waits: acks=all; keys = the partitions appended to; ready when each is replicated, or has failed.
//
// Source: KafkaApis#handleProduceRequest, ReplicaManager#appendRecords, DelayedProduce.
var produceRoute = on(kmsg.Produce, (*API).produce)

var evProduceRefused = env.NewKind("produce-acks0-refused", env.Debug, "code")

func (a *API) produce(r *server.Request, req *kmsg.ProduceRequest) server.Reply {
	p := &produced{api: a, acks: req.Acks, resp: req.ResponseKind().(*kmsg.ProduceResponse)}
	p.verified = a.verifyProduced(req)
	p.unauthorized = req.TransactionID == nil && transactional(req)
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		topic, out := &req.Topics[i], &p.resp.Topics[i]
		out.Topic = topic.Topic
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(topic.Partitions))
		for j := range topic.Partitions {
			in := &topic.Partitions[j]
			p.append(req, wire.TopicPartition{Topic: topic.Topic, Partition: in.Partition}, in.Records, &out.Partitions[j])
		}
	}
	switch {
	case req.Acks == 0:
		return p.unanswered(r)
	case req.Acks == partition.AcksAll && len(p.waiting) > 0:
		return p.await(r, req.TimeoutMillis)
	default:
		return server.Now(p.response())
	}
}

// produced is a produce request on its way to its response.
type produced struct {
	api     *API
	acks    int16
	resp    *kmsg.ProduceResponse
	failed  bool // some partition has an error
	waiting []unreplicated

	verified     map[wire.TopicPartition]verified
	unauthorized bool // records of a transaction, and no transactional id
}

// unreplicated is an append of acks=all that its followers do not have yet.
type unreplicated struct {
	partition Partition
	tp        wire.TopicPartition
	required  int64 // the high watermark to reach
	epoch     int32
	out       *kmsg.ProduceResponseTopicPartition
}

// append appends one partition's records and fills in its part of the response.
func (p *produced) append(req *kmsg.ProduceRequest, tp wire.TopicPartition, records []byte, out *kmsg.ProduceResponseTopicPartition) {
	out.Default()
	out.Partition = tp.Partition
	out.BaseOffset = -1 // Default leaves 0, which is an offset
	target, result, err := p.appendRecords(req, tp, records)
	if err != nil {
		out.LogStartOffset = result.LogStartOffset
		p.fail(out, err)
		return
	}
	out.BaseOffset, out.LogAppendTime, out.LogStartOffset = result.BaseOffset, result.LogAppendTime, result.LogStartOffset
	if p.acks == partition.AcksAll {
		p.waiting = append(p.waiting, unreplicated{target, tp, result.RequiredOffset, result.LeaderEpoch, out})
	}
}

func (p *produced) appendRecords(req *kmsg.ProduceRequest, tp wire.TopicPartition, records []byte) (Partition, partition.AppendResult, error) {
	none := partition.AppendResult{LogStartOffset: -1} // what never came to the log knows nothing of it
	if req.Acks < -1 || req.Acks > 1 {
		return nil, none, fmt.Errorf("acks=%d: %w", req.Acks, kerr.InvalidRequiredAcks)
	}
	if p.unauthorized {
		return nil, none, fmt.Errorf("records of a transaction, without a transactional id: %w", kerr.TransactionalIDAuthorizationFailed)
	}
	if metadata.IsInternal(tp.Topic) {
		return nil, none, fmt.Errorf("internal topic %s: %w", tp.Topic, kerr.InvalidTopicException)
	}
	target, err := p.api.Replicas.Partition(tp)
	if err != nil {
		return nil, none, err
	}
	if err := checkProduced(records, req.Version); err != nil {
		return nil, none, err
	}
	v := p.verified[tp]
	if v.err != nil {
		return nil, none, v.err
	}
	result, err := target.AppendAsLeader(records, partition.AppendOptions{Acks: req.Acks, LeaderEpoch: -1,
		Verified: p.api.Config.Live().TransactionVerification, Guard: v.guard})
	return target, result, err
}

// transactional reports whether any batch of the request is part of a transaction (RequestUtils#hasTransactionalRecords).
func transactional(req *kmsg.ProduceRequest) bool {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			if b, _, err := record.Next(req.Topics[i].Partitions[j].Records); err == nil && b.IsTransactional() {
				return true
			}
		}
	}
	return false
}

// checkProduced checks what the request's version says about its records; the log checks everything else
// (ProduceRequest#validateRecords).
func checkProduced(records []byte, version int16) error {
	batch, rest, err := record.Next(records)
	switch {
	case version < 3 && record.IsOld(records):
		return nil // converted, and so checked, by the log
	case len(records) == 0 || err == record.ErrPartial:
		return fmt.Errorf("no whole record batch: %w", kerr.InvalidRecord)
	case errors.Is(err, kerr.UnsupportedForMessageFormat):
		return fmt.Errorf("%v: %w", err, kerr.InvalidRecord) // a client of v3 or later has no business with the old formats
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("more than one record batch: %w", kerr.InvalidRecord)
	case batch.Codec() == record.Zstd && version >= 3 && version < 7:
		return fmt.Errorf("zstd in a request of version %d: %w", version, kerr.UnsupportedCompressionType)
	}
	return nil
}

func (p *produced) fail(out *kmsg.ProduceResponseTopicPartition, err error) {
	p.failed = true
	out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
	var refused *record.RefusedRecords
	if !errors.As(err, &refused) {
		return
	}
	for _, r := range refused.Records {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = r.Index, &r.Text
		out.ErrorRecords = append(out.ErrorRecords, e)
	}
}

// unanswered ends an acks=0 request. The client waits for nothing: that something went wrong it learns by losing its
// connection, upon which it asks for metadata again.
func (p *produced) unanswered(r *server.Request) server.Reply {
	if !p.failed {
		return server.Nothing()
	}
	for i := range p.resp.Topics {
		topic := &p.resp.Topics[i]
		for j := range topic.Partitions {
			if out := &topic.Partitions[j]; out.ErrorCode != 0 {
				p.api.Env.Emit(env.Event{Kind: evProduceRefused, Topic: topic.Topic, Partition: out.Partition,
					V: [4]int64{int64(out.ErrorCode)}, Text: r.Peer + ": " + *out.ErrorMessage})
			}
		}
	}
	return server.HangUp()
}

// rareLateWait lets followers fetch, and the leader lose its place, between an append and the wait for it.
var rareLateWait = env.NewRare("produce-waited-for-late")

const rareWait = 10 * time.Millisecond

// await leaves the request in purgatory until every append is replicated or has failed.
func (p *produced) await(r *server.Request, timeoutMillis int32) server.Reply {
	if p.replicated(purgatory.All) {
		return server.Now(p.response())
	}
	keys := make([]wire.TopicPartition, len(p.waiting))
	for i := range p.waiting {
		keys[i] = p.waiting[i].tp
	}
	deadline := r.Received.Add(millis(timeoutMillis))
	if rareLateWait.Strikes(p.api.Env) {
		p.api.Env.Sleep(rareWait)
	}
	waiter := p.api.Purgatory.Watch(keys, deadline, p.replicated)
	return server.When(waiter, func(bool) server.Answer {
		for _, w := range p.waiting { // its offsets stay in the response, as in Kafka
			p.fail(w.out, fmt.Errorf("%s up to offset %d: %w", w.tp, w.required-1, kerr.RequestTimedOut))
		}
		return server.Answer{Message: p.response()}
	})
}

// replicated asks those that still wait, and keeps the ones that must wait longer.
func (p *produced) replicated(purgatory.Set) bool {
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		done, err := w.partition.Replicated(w.required, w.epoch)
		switch {
		case err != nil:
			p.fail(w.out, err)
		case !done:
			kept = append(kept, w)
		}
	}
	p.waiting = kept
	return len(kept) == 0
}

// response finishes the response: from v10 on, clients who came to the wrong broker are told the right one.
func (p *produced) response() *kmsg.ProduceResponse {
	if !p.failed || p.resp.Version < 10 {
		return p.resp
	}
	nodes := p.api.newEndpoints()
	for i := range p.resp.Topics {
		topic := &p.resp.Topics[i]
		for j := range topic.Partitions {
			out := &topic.Partitions[j]
			if out.ErrorCode != kerr.NotLeaderForPartition.Code {
				continue
			}
			id, epoch := p.api.currentLeader(wire.TopicPartition{Topic: topic.Topic, Partition: out.Partition})
			out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = id, epoch
			nodes.add(id)
		}
	}
	nodes.each(func(id int32, host string, port int32, rack *string) {
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = id, host, port, rack
		p.resp.Brokers = append(p.resp.Brokers, b)
	})
	return p.resp
}
