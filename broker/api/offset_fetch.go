package api

import (
	"barnabas/broker/group"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetFetch v0-v9. v0 reads what is in ZooKeeper; v2 all partitions by null, top-level error; v5 leader epochs (KIP-320); v6 flexible; v7 requireStable (KIP-447); v8 many
// groups (KIP-709); v9 member and epoch of KIP-848, which classic groups do not look at.
//
// Source: KafkaApis#handleOffsetFetchRequest.
var offsetFetchRoute = on(kmsg.OffsetFetch, (*API).offsetFetch)

func (a *API) offsetFetch(_ *server.Request, req *kmsg.OffsetFetchRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version == 0 {
		a.fetchFromZooKeeper(req, resp)
		return server.Now(resp)
	}
	if req.Version < 8 {
		a.fetchOffsets(req, resp)
		return server.Now(resp)
	}
	for i := range req.Groups {
		in := &req.Groups[i]
		var asked []wire.TopicPartition
		if in.Topics != nil {
			asked = []wire.TopicPartition{}
		}
		for j := range in.Topics {
			for _, p := range in.Topics[j].Partitions {
				asked = append(asked, wire.TopicPartition{Topic: in.Topics[j].Topic, Partition: p})
			}
		}
		resp.Groups = append(resp.Groups, a.fetchGroupOffsets(in.Group, asked, req.RequireStable))
	}
	return server.Now(resp)
}

// fetchGroupOffsets answers for one group, from version 8 on.
func (a *API) fetchGroupOffsets(id string, asked []wire.TopicPartition, stable bool) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = id
	list, err := a.Groups.Fetch(id, asked, stable)
	out.ErrorCode = codeOf(err)
	for i := range list {
		o := &list[i]
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != o.TP.Topic {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = o.TP.Topic
			out.Topics = append(out.Topics, t)
		}
		t := &out.Topics[len(out.Topics)-1]
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = o.TP.Partition, o.Offset, o.LeaderEpoch, &o.Metadata, codeOf(o.Err)
		t.Partitions = append(t.Partitions, p)
	}
	return out
}

// fetchOffsets answers for the one group of earlier versions. Version 1 has no error for the whole: every partition has it.
func (a *API) fetchOffsets(req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) {
	var asked []wire.TopicPartition
	if req.Topics != nil || req.Version < 2 {
		asked = []wire.TopicPartition{}
	}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			asked = append(asked, wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: p})
		}
	}
	list, err := a.Groups.Fetch(req.Group, asked, req.RequireStable)
	if err != nil {
		resp.ErrorCode = err.Code
		list = failed(asked, err, req.Version)
	}
	for i := range list {
		o := &list[i]
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != o.TP.Topic {
			t := kmsg.NewOffsetFetchResponseTopic()
			t.Topic = o.TP.Topic
			resp.Topics = append(resp.Topics, t)
		}
		t := &resp.Topics[len(resp.Topics)-1]
		p := kmsg.NewOffsetFetchResponseTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = o.TP.Partition, o.Offset, o.LeaderEpoch, &o.Metadata, codeOf(o.Err)
		t.Partitions = append(t.Partitions, p)
	}
}

func failed(asked []wire.TopicPartition, err *kerr.Error, version int16) []group.Fetched {
	if version >= 2 {
		return nil
	}
	var list []group.Fetched
	for _, tp := range asked {
		list = append(list, group.Fetched{TP: tp, Offset: -1, LeaderEpoch: -1, Err: err})
	}
	return list
}
