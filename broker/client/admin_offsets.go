package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/wire"
)

// CommittedOffsets tells what a group has committed for partitions, -1 for nothing, in their order. It waits until no transaction
// holds an offset back (KIP-447, requireStable).
func (a *Admin) CommittedOffsets(group string, partitions []wire.TopicPartition, timeout time.Duration) ([]int64, error) {
	deadline := a.c.e.Mono().Add(timeout)
	k := newCoordinator(a.c, coordinatorOfGroup, group)
	defer k.close()
	for attempt := 0; ; attempt++ {
		resp, err := k.ask(offsetFetchRequest(group, partitions), max(time.Millisecond, min(a.c.o.RequestTimeout, deadline.Sub(a.c.e.Mono()))))
		var offsets []int64
		if err == nil {
			if offsets, err = fetchedOffsets(resp.(*kmsg.OffsetFetchResponse), partitions); err == nil {
				return offsets, nil
			}
			if errors.Is(err, kerr.NotCoordinator) || errors.Is(err, kerr.CoordinatorNotAvailable) {
				k.moved(nil)
			}
		}
		if !a.pause(attempt, deadline) {
			return nil, fmt.Errorf("offsets of group %s: %w", group, err)
		}
	}
}

func offsetFetchRequest(group string, partitions []wire.TopicPartition) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = 7, group, true
	for _, tp := range partitions {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: tp.Topic})
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	return req
}

func fetchedOffsets(r *kmsg.OffsetFetchResponse, partitions []wire.TopicPartition) ([]int64, error) {
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, err)
			}
			if n := len(offsets); n >= len(partitions) || partitions[n] != (wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}) {
				return nil, fmt.Errorf("not those asked for: %w", kerr.UnknownServerError)
			}
			offsets = append(offsets, p.Offset)
		}
	}
	if len(offsets) != len(partitions) {
		return nil, fmt.Errorf("%d of %d: %w", len(offsets), len(partitions), kerr.UnknownServerError)
	}
	return offsets, nil
}
