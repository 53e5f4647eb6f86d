package controller_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"barnabas/broker/controller"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// throttled is a config of about so many bytes.
func throttled(bytes int) kmsg.CreateTopicsRequestTopicConfig {
	value := strings.TrimSuffix(strings.Repeat("0:1,", bytes/4), ",")
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = "leader.replication.throttled.replicas", &value
	return c
}

// createAs creates one topic as change wants it, and returns its code and text.
func (w *town) createAs(what string, validateOnly bool, change func(*kmsg.CreateTopicsRequestTopic)) (code int16, text string) {
	w.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly = 7, 10_000, validateOnly
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "t", 1, 1
	change(&rt)
	req.Topics = append(req.Topics, rt)
	got := ask(w, what, func(c *controller.Controller) (kmsg.CreateTopicsResponseTopic, int16) {
		rt := c.CreateTopics(req, nil).Topics[0]
		return rt, rt.ErrorCode
	})
	if got.ErrorMessage != nil {
		text = *got.ErrorMessage
	}
	return got.ErrorCode, text
}

// Goal: what is more than ZooKeeper takes in a request is refused, by name, before memory is spent on it; the controller stays what it
// is, and works on. Method: an embedded ZooKeeper, and everything by which a client can make a topic's znodes grow.
func TestTooLargeForZooKeeper(t *testing.T) {
	w := newTown(t, 5, 3)
	first := w.active()
	epoch := first.controller.Epoch()
	assigned := func(rt *kmsg.CreateTopicsRequestTopic, replicas int32) {
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		for id := range replicas {
			a.Replicas = append(a.Replicas, id+1)
		}
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
	}
	for _, c := range []struct {
		name         string
		validateOnly bool
		change       func(*kmsg.CreateTopicsRequestTopic)
		want         *kerr.Error
	}{
		{"3,000,000 partitions, validated", true, func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions = 3_000_000 }, kerr.InvalidPartitions},
		{"120,000 partitions of 3", false, func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions, rt.ReplicationFactor = 120_000, 3 }, kerr.InvalidPartitions},
		{"all partitions, validated", true, func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions = math.MaxInt32 }, kerr.InvalidPartitions},
		{"70,000 partitions of 3", false, func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions, rt.ReplicationFactor = 70_000, 3 }, kerr.InvalidPartitions},
		{"a config of 1.2 MB", false, func(rt *kmsg.CreateTopicsRequestTopic) { rt.Configs = append(rt.Configs, throttled(1_200_000)) }, kerr.InvalidConfig},
		{"200,000 replicas", false, func(rt *kmsg.CreateTopicsRequestTopic) { assigned(rt, 200_000) }, kerr.InvalidReplicaAssignment},
		{"40,000 partitions and a config of 700 kB", false, func(rt *kmsg.CreateTopicsRequestTopic) {
			rt.NumPartitions, rt.Configs = 40_000, append(rt.Configs, throttled(700_000))
		}, kerr.InvalidPartitions},
		{"100,000 replicas", false, func(rt *kmsg.CreateTopicsRequestTopic) { assigned(rt, 100_000) }, nil},
	} {
		var want int16
		if c.want != nil {
			want = c.want.Code
		}
		if code, text := w.createAs(c.name, c.validateOnly, c.change); code != want || (code != 0) == (text == "") {
			t.Fatalf("%s: code %d, %s", c.name, code, text)
		}
	}

	for _, count := range []int32{120_000, math.MaxInt32} {
		if code := w.expand("u", count); code != kerr.UnknownTopicOrPartition.Code {
			t.Fatalf("a topic that is not there: code %d", code)
		}
	}
	if code := w.create("u", 1, 3); code != 0 {
		t.Fatalf("create u: code %d", code)
	}
	for _, count := range []int32{70_000, 120_000, math.MaxInt32} {
		if code := w.expand("u", count); code != kerr.InvalidPartitions.Code {
			t.Fatalf("%d partitions: code %d", count, code)
		}
	}
	if code := w.expand("u", 4); code != 0 {
		t.Errorf("four partitions: code %d", code)
	}

	// While it goes on, those that are to be removed would stand there twice.
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{1}}}}}
	var why string
	code := ask(w, "reassign", func(c *controller.Controller) (int16, int16) {
		resp := c.AlterPartitionReassignments(req)
		if resp.ErrorCode != 0 {
			return resp.ErrorCode, resp.ErrorCode
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorMessage != nil {
			why = *p.ErrorMessage
		}
		return p.ErrorCode, 0
	})
	if code != kerr.InvalidReplicaAssignment.Code || !strings.Contains(why, "more than ZooKeeper takes at once") {
		t.Errorf("reassignment: code %d: %.200s", code, why)
	}
	if w.active() != first || first.controller.Epoch() != epoch {
		t.Errorf("the controller is broker %d, epoch %d", w.active().id, w.active().controller.Epoch())
	}
}

func (w *town) expand(topic string, count int32) int16 {
	w.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 10_000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, count
	req.Topics = append(req.Topics, rt)
	return ask(w, "expand "+topic, func(c *controller.Controller) (int16, int16) {
		code := c.CreatePartitions(req, nil).Topics[0].ErrorCode
		return code, code
	})
}

// Goal: a request to ZooKeeper that turns out too large only when it is to be sent, here because of a chroot that nobody would have,
// fails what was asked for, and neither the process nor the time as controller.
func TestTooLargeToSend(t *testing.T) {
	w := newTownBelow(t, 6, 1, "/"+strings.Repeat("c", 4600))
	first := w.active()
	epoch := first.controller.Epoch()
	brim := func(rt *kmsg.CreateTopicsRequestTopic) {
		rt.Configs = append(rt.Configs, throttled(zookeeper.RequestBytesMax-4096-400))
	}
	if code, text := w.createAs("validate", true, brim); code != 0 {
		t.Fatalf("validate: code %d, %s", code, text)
	}
	if code, text := w.createAs("create", false, brim); code != kerr.UnknownServerError.Code || !strings.Contains(text, "cannot be written") {
		t.Errorf("create: code %d, %s", code, text)
	}
	if code := w.create("t", 2, 1); code != 0 {
		t.Errorf("create a small one: code %d", code)
	}
	if w.active() != first || first.controller.Epoch() != epoch {
		t.Errorf("the controller is broker %d, epoch %d", w.active().id, w.active().controller.Epoch())
	}
}

// narrow is a session that finds every mark of a deletion too large.
type narrow struct{ zookeeper.Session }

func (s narrow) Multi(ops ...zookeeper.Op) ([]zookeeper.OpResult, error) {
	for _, op := range ops {
		if strings.HasPrefix(op.Path, zookeeper.PathDeleteTopics+"/") {
			return nil, zookeeper.ErrTooLarge
		}
	}
	return s.Session.Multi(ops...)
}

// Goal: that holds for every request, whatever it writes.
func TestTooLargeWhereNobodyLooks(t *testing.T) {
	w := newTown(t, 7, 1)
	b := w.active()
	b.wrap = func(s zookeeper.Session) zookeeper.Session { return narrow{s} }
	w.zk.ExpireSession(b.session)
	epoch := b.controller.Epoch()
	w.until("a new session", 20*time.Second, func() bool { return w.active() != nil && b.controller.Epoch() > epoch })
	epoch = b.controller.Epoch()
	if code := w.create("t", 2, 1); code != 0 {
		t.Fatalf("create: code %d", code)
	}
	if code := w.delete("t"); code != kerr.UnknownServerError.Code {
		t.Errorf("delete: code %d", code)
	}
	if code := w.create("u", 2, 1); code != 0 || w.active() != b || b.controller.Epoch() != epoch {
		t.Errorf("create another: code %d in epoch %d after %d", code, b.controller.Epoch(), epoch)
	}
}
