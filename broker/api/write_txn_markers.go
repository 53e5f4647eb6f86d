package api

import (
	"time"

	"barnabas/broker/group"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/record"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// WriteTxnMarkers v0-v1 (KIP-98). v1 flexible.
// Coordinators send it to the leaders of the partitions of a decided transaction, and administrators to end one that hangs (KIP-664).
// Ordered: every append. Waits: keys = the partitions appended to; ready when each is replicated, or has failed.
//
// Source: KafkaApis#handleWriteTxnMarkersRequest.
var writeTxnMarkersRoute = on(kmsg.WriteTxnMarkers, (*API).writeTxnMarkers)

// markersTimeout bounds the wait for the replication of markers (request.timeout.ms).
const markersTimeout = 30 * time.Second

// writing is a WriteTxnMarkers on its way to its response.
type writing struct {
	api     *API
	waiting []markerWait
}

// markerWait is a marker that its followers do not have yet.
type markerWait struct {
	partition Partition
	tp        wire.TopicPartition
	offset    int64 // of the marker
	epoch     int32
	producer  int64
	commit    bool
	out       *kmsg.WriteTxnMarkersResponseMarkerTopicPartition
}

func (a *API) writeTxnMarkers(r *server.Request, req *kmsg.WriteTxnMarkersRequest) server.Reply {
	w := &writing{api: a}
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	resp.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))
	now := a.Env.Now().UnixMilli()
	for i := range req.Markers {
		in, out := &req.Markers[i], &resp.Markers[i]
		out.ProducerID = in.ProducerID
		out.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(in.Topics))
		for j := range in.Topics {
			topic := &out.Topics[j]
			topic.Topic = in.Topics[j].Topic
			topic.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(in.Topics[j].Partitions))
			for k, number := range in.Topics[j].Partitions {
				topic.Partitions[k].Partition = number
				w.append(in, wire.TopicPartition{Topic: topic.Topic, Partition: number}, now, &topic.Partitions[k])
			}
		}
	}
	if len(w.waiting) == 0 {
		return server.Now(resp)
	}
	keys := make([]wire.TopicPartition, len(w.waiting))
	for i := range w.waiting {
		keys[i] = w.waiting[i].tp
	}
	waiter := a.Purgatory.Watch(keys, r.Received.Add(markersTimeout), w.replicated)
	return server.When(waiter, func(bool) server.Answer {
		for _, m := range w.waiting {
			m.out.ErrorCode = kerr.RequestTimedOut.Code
		}
		return server.Answer{Message: resp}
	})
}

func (w *writing) append(in *kmsg.WriteTxnMarkersRequestMarker, tp wire.TopicPartition, now int64, out *kmsg.WriteTxnMarkersResponseMarkerTopicPartition) {
	target, err := w.api.Replicas.Partition(tp)
	if err != nil {
		out.ErrorCode = kerr.UnknownTopicOrPartition.Code // whatever keeps it from being here
		return
	}
	marker := record.EndTxnMarker{Type: record.ControlAbort, CoordinatorEpoch: in.CoordinatorEpoch}
	if in.Committed {
		marker.Type = record.ControlCommit
	}
	batch := record.AppendEndTxn(nil, now, in.ProducerID, in.ProducerEpoch, marker)
	result, err := target.AppendAsLeader(batch, partition.AppendOptions{Acks: partition.AcksAll, LeaderEpoch: -1, Coordinator: true})
	if err != nil {
		out.ErrorCode = wire.Code(err)
		return
	}
	w.waiting = append(w.waiting, markerWait{target, tp, result.LastOffset, result.LeaderEpoch, in.ProducerID, in.Committed, out})
}

// replicated asks those that still wait, keeps the ones that must wait longer, and has offsets count whose transaction is over.
func (w *writing) replicated(purgatory.Set) bool {
	kept := w.waiting[:0]
	for _, m := range w.waiting {
		done, err := m.partition.Replicated(m.offset+1, m.epoch)
		if !done {
			kept = append(kept, m)
			continue
		}
		m.out.ErrorCode = wire.Code(err)
		if m.tp.Topic == group.Topic && (err == nil || m.out.ErrorCode == kerr.NotEnoughReplicasAfterAppend.Code) {
			w.api.Groups.EndTxn(m.tp.Partition, m.producer, m.commit, m.offset)
		}
	}
	w.waiting = kept
	return len(kept) == 0
}
