package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// round is what a consumer asks of one broker at one time: first, one by one, the partitions whose position has to be
// found or validated, then one fetch for all the others.
type round struct {
	k        *Consumer
	broker   int32
	metadata *Metadata
	asks     []ask
}

// ask is a partition of a round, as it stood when the round began.
type ask struct {
	p        *position
	version  int64
	offset   int64
	epoch    int32
	leader   Leader
	validate bool
}

func (r *round) add(p *position) {
	p.busy = true
	r.asks = append(r.asks, ask{p: p, version: p.version, offset: p.offset, epoch: p.epoch, leader: p.leader, validate: p.validate})
}

// run is the round's task.
func (r *round) run() {
	conn, err := r.k.c.Conn(r.broker)
	if err == nil {
		err = r.talk(conn)
	}
	k := r.k
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range r.asks {
		if err != nil {
			k.retry(a, r.metadata)
		}
		a.p.busy = false
	}
	delete(k.busy, r.broker)
	k.ready.Broadcast()
}

// talk returns an error if the broker could not be talked to.
func (r *round) talk(conn *Conn) error {
	var reads []ask
	for _, a := range r.asks {
		var err error
		switch {
		case a.offset < 0:
			err = r.find(conn, a, a.offset)
		case a.validate:
			err = r.validate(conn, a)
		default:
			reads = append(reads, a)
		}
		if err != nil {
			return err
		}
	}
	if len(reads) == 0 {
		return nil
	}
	return r.fetch(conn, reads)
}

// fetch asks for the records of reads.
func (r *round) fetch(conn *Conn, reads []ask) error {
	k := r.k
	called := k.e.Mono()
	session := k.session(r.broker)
	resp, err := conn.Do(k.fetchRequest(reads, session), k.o.RequestTimeout+k.o.WaitMax)
	if err != nil {
		session.Failed()
		return err
	}
	answer := resp.(*kmsg.FetchResponse)
	incremental := session.Incremental()
	if !session.Answered(answer) {
		return nil // the broker does not know the session: the next request says all
	}
	returned := k.e.Mono()
	for _, a := range reads {
		f := a.fetched(called, returned)
		part := findFetched(answer, a)
		switch {
		case answer.ErrorCode != 0:
			f.Err = kerr.ErrorForCode(answer.ErrorCode)
		case part == nil && (incremental || answer.ThrottleMillis > 0):
			k.take(a, f, -1, r.metadata) // nothing new
			continue
		case part == nil:
			f.Err = kerr.UnknownServerError
		case part.ErrorCode == 0 && part.PreferredReadReplica >= 0:
			k.readFrom(a, part.PreferredReadReplica)
			continue
		default:
			f.Err = kerr.ErrorForCode(part.ErrorCode)
		}
		var epoch int32 = -1
		if f.Err == nil {
			f.HighWatermark, f.LastStableOffset, f.LogStartOffset = part.HighWatermark, part.LastStableOffset, part.LogStartOffset
			f.Records, f.Next, epoch, f.Err = k.decode(part, a.offset)
		}
		k.take(a, f, epoch, r.metadata)
	}
	return nil
}

// session is the fetch session with a broker: of its round alone, as there is one at a time.
func (k *Consumer) session(broker int32) *FetchSession {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sessions[broker]
	if s == nil {
		s = &FetchSession{}
		k.sessions[broker] = s
	}
	return s
}

// nearestMax is how long a consumer reads from the replica that it was sent to before it asks the leader again (metadata.max.age.ms).
const nearestMax = 5 * time.Minute

// readFrom makes the partition be read from a replica that the leader has named.
func (k *Consumer) readFrom(a ask, replica int32) {
	until := k.e.Mono().Add(nearestMax)
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.p.version == a.version {
		markReadFromNearest.Hit()
		a.p.nearest, a.p.nearestUntil = replica, until
	}
}

func (k *Consumer) fetchRequest(reads []ask, session *FetchSession) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(12)
	req.ReplicaID = -1
	req.MaxWaitMillis = int32(k.o.WaitMax / time.Millisecond)
	req.MinBytes, req.MaxBytes = k.o.BytesMin, k.o.BytesMax
	req.Rack = k.o.Rack
	if k.o.ReadCommitted {
		req.IsolationLevel = 1
	}
	parts := make([]FetchPart, 0, len(reads))
	for _, a := range reads { // sorted, as positions are
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.CurrentLeaderEpoch = a.p.tp.Partition, a.offset, a.leader.Epoch
		part.LastFetchedEpoch, part.LogStartOffset, part.PartitionMaxBytes = -1, -1, k.o.PartitionBytesMax
		parts = append(parts, FetchPart{TP: a.p.tp, Ask: part})
	}
	session.Fill(req, parts)
	return req
}

func findFetched(resp *kmsg.FetchResponse, a ask) *kmsg.FetchResponseTopicPartition {
	for i := range resp.Topics {
		if resp.Topics[i].Topic != a.p.tp.Topic {
			continue
		}
		for j := range resp.Topics[i].Partitions {
			if resp.Topics[i].Partitions[j].Partition == a.p.tp.Partition {
				return &resp.Topics[i].Partitions[j]
			}
		}
	}
	return nil
}

// take brings the answer to where Poll finds it, and moves the position.
func (k *Consumer) take(a ask, f Fetched, epoch int32, m *Metadata) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := a.p
	if p.version != a.version {
		return // the caller has gone elsewhere meanwhile
	}
	switch {
	case f.Err == nil:
		p.failures, p.retryAt = 0, 0
	case mendsItself(f.Err):
		k.retry(a, m)
		return
	case errors.Is(f.Err, kerr.OffsetOutOfRange) && p.nearestUntil > 0:
		p.nearestUntil = 0 // the leader knows better
		return
	case errors.Is(f.Err, kerr.OffsetOutOfRange) && k.o.Reset != ResetNone:
		p.offset, p.epoch = Earliest, -1
		if k.o.Reset == ResetLatest {
			p.offset = Latest
		}
		return
	default:
		k.retry(a, nil)
	}
	if f.Next > p.offset {
		p.offset = f.Next
		if epoch >= 0 {
			p.epoch = epoch
		}
	}
	k.fetched = append(k.fetched, f)
}

// mendsItself says that an error will pass once the metadata, or the broker, has caught up.
func mendsItself(err error) bool {
	for _, e := range []error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch,
		kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.ReplicaNotAvailable, kerr.KafkaStorageError,
		kerr.OffsetNotAvailable, kerr.RequestTimedOut, kerr.UnknownTopicID, kerr.ThrottlingQuotaExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// retry makes the partition wait, and, given the metadata that was used, for newer metadata too. k.mu is held.
func (k *Consumer) retry(a ask, used *Metadata) {
	p := a.p
	if p.version != a.version {
		return
	}
	k.c.mu.Lock()
	p.retryAt = k.e.Mono().Add(k.c.backoff(p.failures))
	k.c.mu.Unlock()
	p.failures++
	p.nearestUntil = 0 // whoever we were sent to does not answer well
	if used != nil {
		p.stale = used
		k.c.RequestUpdate(p.tp.Topic)
	}
}

func (a ask) fetched(called, returned env.Instant) Fetched {
	return Fetched{TP: a.p.tp, From: a.offset, Next: a.offset, HighWatermark: -1, LastStableOffset: -1,
		LogStartOffset: -1, Leader: a.leader, Called: called, Returned: returned}
}

// decode reads the batches of a partition from offset on: its records, the offset behind the last whole batch, and that
// batch's leader epoch. Control records are passed over, and with read_committed the records of aborted transactions.
func (k *Consumer) decode(part *kmsg.FetchResponseTopicPartition, offset int64) (out []Consumed, next int64, epoch int32, err error) {
	next, epoch = offset, -1
	aborted := newAborted(part.AbortedTransactions)
	for rest := part.RecordBatches; len(rest) > 0; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			if errors.Is(err, record.ErrPartial) {
				return out, next, epoch, nil // the fetch ended inside of a batch
			}
			return out, next, epoch, fmt.Errorf("fetched batch: %w", err)
		}
		if err = b.Check(); err != nil {
			return out, next, epoch, fmt.Errorf("fetched batch at %d: %w", b.BaseOffset(), err)
		}
		if !aborted.hides(b, k.o.ReadCommitted) {
			if out, err = appendRecords(out, b, offset); err != nil {
				return out, next, epoch, fmt.Errorf("fetched batch at %d: %w", b.BaseOffset(), err)
			}
		}
		if b.NextOffset() > next {
			next, epoch = b.NextOffset(), b.LeaderEpoch()
		}
	}
	return out, next, epoch, nil
}

// growMax is the most records that room is made for at once: a batch's count may be anything.
const growMax = 1024

func appendRecords(out []Consumed, b record.Batch, from int64) ([]Consumed, error) {
	it := record.NewIterator(b, unpackedBytesMax)
	out = slices.Grow(out, int(min(max(b.Count(), 0), growMax)))
	for it.Next() {
		r := it.Record()
		if r.Offset < from {
			continue // a fetch begins at the start of the batch that holds the position
		}
		out = append(out, Consumed{Offset: r.Offset, LeaderEpoch: b.LeaderEpoch(), Timestamp: r.Timestamp,
			Key: r.Key, Value: r.Value, Headers: slices.Clone(r.Headers), ProducerID: b.ProducerID()})
	}
	return out, it.Err()
}

// aborted follows which producers' records belong to an aborted transaction (CompletedFetch#isBatchAborted).
type aborted struct {
	coming []kmsg.FetchResponseTopicPartitionAbortedTransaction // by first offset
	open   map[int64]bool
}

func newAborted(list []kmsg.FetchResponseTopicPartitionAbortedTransaction) *aborted {
	if len(list) == 0 {
		return &aborted{}
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return int(min(1, max(-1, x.FirstOffset-y.FirstOffset)))
	})
	return &aborted{coming: list, open: make(map[int64]bool)}
}

// hides reports whether the consumer does not see the batch. Batches come in the order of the log.
func (a *aborted) hides(b record.Batch, committed bool) bool {
	for len(a.coming) > 0 && a.coming[0].FirstOffset <= b.LastOffset() {
		a.open[a.coming[0].ProducerID] = true
		a.coming = a.coming[1:]
	}
	if b.IsControl() {
		if m, ok, err := b.EndTxn(); err == nil && ok && m.Type == record.ControlAbort {
			delete(a.open, b.ProducerID())
		}
		return true
	}
	return committed && b.IsTransactional() && a.open[b.ProducerID()]
}
