package controller_test

import (
	"slices"
	"testing"

	"barnabas/broker/controller"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: what a request creates and deletes is charged by the partition, once it is known to be valid and before it is done; what the bound refuses
// is not done, and the rest of the request is; what is only validated, or refused for another reason, costs nothing (KIP-599).
// Method: requests of which each part goes another way, with a bound that writes down what it is asked.
func TestBound(t *testing.T) {
	w := newTown(t, 1, 3)
	var asked []int
	bound := func(most int) controller.Bound {
		asked = nil
		return func(partitions int) bool {
			asked = append(asked, partitions)
			return partitions <= most
		}
	}
	want := func(what string, codes, wantCodes []int16, wantAsked ...int) {
		t.Helper()
		if !slices.Equal(codes, wantCodes) || !slices.Equal(asked, wantAsked) {
			t.Errorf("%s: codes %v, want %v; charged %v, want %v", what, codes, wantCodes, asked, wantAsked)
		}
	}
	throttled := kerr.ThrottlingQuotaExceeded.Code
	create := func(validateOnly bool, most int, topics map[string]int32) []int16 {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis, req.ValidateOnly = 7, 10_000, validateOnly
		for _, name := range []string{"a", "b", "c"} {
			if n, ok := topics[name]; ok {
				rt := kmsg.NewCreateTopicsRequestTopic()
				rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, n, 1
				req.Topics = append(req.Topics, rt)
			}
		}
		within := bound(most)
		return ask(w, "create", func(c *controller.Controller) (codes []int16, _ int16) {
			for _, rt := range c.CreateTopics(req, within).Topics {
				codes = append(codes, rt.ErrorCode)
			}
			return codes, 0
		})
	}
	want("validated", create(true, 0, map[string]int32{"a": 3}), []int16{0})
	want("created", create(false, 5, map[string]int32{"a": 4, "b": 6, "c": 2}), []int16{0, throttled, 0}, 4, 6, 2)
	want("there already", create(false, 5, map[string]int32{"a": 4, "b": 1}), []int16{kerr.TopicAlreadyExists.Code, 0}, 1)

	expand := func(validateOnly bool, most int, count int32) []int16 {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.TimeoutMillis, req.ValidateOnly = 3, 10_000, validateOnly
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = "a", count
		req.Topics = append(req.Topics, rt)
		within := bound(most)
		return ask(w, "expand", func(c *controller.Controller) (codes []int16, _ int16) {
			return []int16{c.CreatePartitions(req, within).Topics[0].ErrorCode}, 0
		})
	}
	want("expansion validated", expand(true, 0, 7), []int16{0})
	want("expansion refused", expand(false, 2, 7), []int16{throttled}, 3)
	want("expanded", expand(false, 3, 7), []int16{0}, 3)

	remove := func(most int, names ...string) []int16 {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TimeoutMillis = 6, 10_000
		for _, name := range names {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic = &name
			req.Topics = append(req.Topics, rt)
		}
		within := bound(most)
		return ask(w, "delete", func(c *controller.Controller) (codes []int16, _ int16) {
			for _, rt := range c.DeleteTopics(req, within).Topics {
				codes = append(codes, rt.ErrorCode)
			}
			return codes, 0
		})
	}
	want("deletion", remove(5, "a", "nobody", "b"), []int16{throttled, kerr.UnknownTopicOrPartition.Code, 0}, 7, 1)
	want("what was refused is there", remove(7, "a"), []int16{0}, 7)
}
