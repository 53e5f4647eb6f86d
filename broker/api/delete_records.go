package api

import (
	"fmt"

	"barnabas/broker/metadata"
	"barnabas/broker/purgatory"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords v0-v2 (KIP-107). v2 flexible. The leader raises its log start at once, durably.
// Waits: keys = partitions; ready when every replica on a live broker has raised its own.
//
// Source: KafkaApis#handleDeleteRecordsRequest, ReplicaManager#deleteRecords, DelayedDeleteRecords.
var deleteRecordsRoute = on(kmsg.DeleteRecords, (*API).deleteRecords)

func (a *API) deleteRecords(r *server.Request, req *kmsg.DeleteRecordsRequest) server.Reply {
	d := &deletion{resp: req.ResponseKind().(*kmsg.DeleteRecordsResponse)}
	d.resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		in, out := &req.Topics[i], &d.resp.Topics[i]
		out.Topic = in.Topic
		out.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(in.Partitions))
		for j := range in.Partitions {
			p := &out.Partitions[j]
			p.Default()
			p.Partition, p.LowWatermark = in.Partitions[j].Partition, -1
			a.deleteFrom(wire.TopicPartition{Topic: in.Topic, Partition: p.Partition}, in.Partitions[j].Offset, p, d)
		}
	}
	if len(d.waiting) == 0 {
		return server.Now(d.resp)
	}
	keys := make([]wire.TopicPartition, len(d.waiting))
	for i := range d.waiting {
		keys[i] = d.waiting[i].tp
	}
	waiter := a.Purgatory.Watch(keys, r.Received.Add(millis(req.TimeoutMillis)), d.deleted)
	return server.When(waiter, func(bool) server.Answer {
		for _, w := range d.waiting {
			w.out.ErrorCode = kerr.RequestTimedOut.Code
		}
		return server.Answer{Message: d.resp}
	})
}

// deletion is a request on its way to its response.
type deletion struct {
	resp    *kmsg.DeleteRecordsResponse
	waiting []undeleted
}

// undeleted is a partition of which some replica still has the records.
type undeleted struct {
	partition Partition
	tp        wire.TopicPartition
	offset    int64 // that the low watermark must reach
	out       *kmsg.DeleteRecordsResponseTopicPartition
}

func (a *API) deleteFrom(tp wire.TopicPartition, offset int64, out *kmsg.DeleteRecordsResponseTopicPartition, d *deletion) {
	target, err := a.Replicas.Partition(tp)
	if metadata.IsInternal(tp.Topic) {
		err = fmt.Errorf("internal topic %s: %w", tp.Topic, kerr.InvalidTopicException)
	}
	if err == nil {
		offset, err = target.DeleteRecords(offset)
	}
	if err != nil {
		out.ErrorCode = wire.Code(err)
		return
	}
	d.waiting = append(d.waiting, undeleted{target, tp, offset, out})
}

// deleted asks those that still wait, and keeps the ones that must wait longer.
func (d *deletion) deleted(purgatory.Set) bool {
	kept := d.waiting[:0]
	for _, w := range d.waiting {
		low, err := w.partition.LowWatermark()
		switch {
		case err != nil:
			w.out.ErrorCode = wire.Code(err)
		case low < w.offset:
			kept = append(kept, w)
		default:
			w.out.LowWatermark = low
		}
	}
	d.waiting = kept
	return len(kept) == 0
}
