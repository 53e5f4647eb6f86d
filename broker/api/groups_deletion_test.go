package api_test

import (
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: offsets that are deleted stay so through a reload; the last one takes the group, if it is empty, with it.
func TestOffsetDeleteAtTheWire(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, _ *producer) {
		second := func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 1 }
		gone := func(when string, want int64) {
			t.Helper()
			if p, _ := d.offsetOf(9, "g"); p.Offset != want {
				t.Errorf("%s: offset %d, want %d", when, p.Offset, want)
			}
		}
		exists := func(when string, want bool) {
			t.Helper()
			if ids, _ := d.listed(); slices.Contains(ids, "g") != want {
				t.Errorf("%s: groups %v", when, ids)
			}
		}
		wants(t, "leave", d.leave(5, d.member(nil).MemberID), nil) // a group that had members
		wants(t, "commit", d.commit(8, 3, nil), nil)
		wants(t, "commit", d.commit(8, 4, second), nil)
		wants(t, "delete", d.deleteOffsets("t", 0, 0).Topics[0].Partitions[0].ErrorCode, nil)
		gone("deleted", -1)
		exists("another offset is left", true)
		d.reload(nil)
		gone("after a reload", -1)
		exists("after a reload", true)
		wants(t, "delete none that there is", d.deleteOffsets("nowhere", 0).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		exists("nothing was deleted", true)
		wants(t, "delete the last", d.deleteOffsets("t", 1).ErrorCode, nil)
		exists("nothing is left", false)
		wants(t, "delete from no group", d.deleteOffsets("t", 1).ErrorCode, kerr.GroupIDNotFound)
		d.reload(nil)
		exists("nothing is left, after a reload", false)

		wants(t, "commit", d.commit(8, 3, nil), nil)
		joined := d.member(nil)
		wants(t, "delete what members read", d.deleteOffsets("t", 0).Topics[0].Partitions[0].ErrorCode, kerr.GroupSubscribedToTopic)
		gone("read", 3)
		exists("a group with members", true)
		wants(t, "leave", d.leave(5, joined.MemberID), nil)
		wants(t, "delete", d.deleteOffsets("t", 0).ErrorCode, nil)

		d.member(func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
		for topic, number := range map[string]int32{"t": 0, "nowhere": 0} {
			resp := d.deleteOffsets(topic, number)
			if wants(t, "another group than consumers'", resp.ErrorCode, kerr.NonEmptyGroup); len(resp.Topics) != 0 {
				t.Errorf("%+v", resp)
			}
		}
	})
}

// keysOf counts the records of __consumer_offsets with group g's key, and its tombstones.
func (d *desk) keysOf() (states, tombstones int) {
	d.t.Helper()
	p, err := d.realPartition(wire.TopicPartition{Topic: "__consumer_offsets", Partition: coordinator.PartitionFor("g", 50)})
	if err != nil {
		d.t.Fatal(err)
	}
	slice, err := p.ReadOwn(0, 1<<20, 1<<20)
	if err != nil {
		d.t.Fatal(err)
	}
	defer slice.Release()
	rest, err := slice.Bytes()
	for err == nil && len(rest) > 0 {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			break
		}
		for it := record.NewIterator(b, 0); it.Next(); {
			var key kmsg.GroupMetadataKey
			if r := it.Record(); key.ReadFrom(r.Key) == nil && key.Version == 2 && key.Group == "g" {
				if states++; r.Value == nil {
					tombstones++
				}
			}
		}
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return states, tombstones
}

// Goal: a group that only ever kept offsets goes without a tombstone of its own, and stays gone; one that had members has one.
func TestOnlyGroupsThatHadMembersHaveTombstones(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		gone := func(when string) {
			t.Helper()
			d.reload(nil)
			if ids, _ := d.listed(); slices.Contains(ids, "g") {
				t.Errorf("%s: groups %v after a reload", when, ids)
			}
		}
		remove := func() int16 {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Version, req.Groups = 2, []string{"g"}
			return do[*kmsg.DeleteGroupsResponse](d, req).Groups[0].ErrorCode
		}
		for range 2 {
			wants(t, "commit", d.commit(8, 3, nil), nil)
			wants(t, "delete the offset", d.deleteOffsets("t", 0).ErrorCode, nil)
			gone("offset deleted")
			wants(t, "commit", d.commit(8, 3, nil), nil)
			wants(t, "delete the group", remove(), nil)
			gone("group deleted")
		}
		if states, tombstones := d.keysOf(); states != 0 || tombstones != 0 {
			t.Errorf("%d records, %d tombstones of a group without members", states, tombstones)
		}
		wants(t, "leave", d.leave(5, d.member(nil).MemberID), nil)
		wants(t, "commit", d.commit(8, 3, nil), nil)
		wants(t, "delete the group", remove(), nil)
		gone("members gone")
		if states, tombstones := d.keysOf(); states < 2 || tombstones != 1 {
			t.Errorf("%d records, %d tombstones of a group that had members", states, tombstones)
		}
	})
}

// Goal: an offset that is deleted takes with it what open transactions commit of the partition, and of no other.
func TestOffsetDeleteDropsTransactionalCommits(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		wants(t, "commit", d.commit(8, 3, nil), nil)
		wants(t, "offsets", p.addOffsets(), nil)
		req := p.offsetsRequest(4, 8)
		second := req.Topics[0].Partitions[0]
		second.Partition, second.Offset = 1, 9
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, second)
		wants(t, "commit offsets", d.commitOffsets(req), nil)
		_, code := d.offset(true)
		wants(t, "open", code, kerr.UnstableOffsetCommit)
		wants(t, "delete", d.deleteOffsets("t", 0).Topics[0].Partitions[0].ErrorCode, nil)
		at, code := d.offset(true)
		if wants(t, "deleted", code, nil); at != -1 {
			t.Errorf("offset %d is left", at)
		}
		if ids, _ := d.listed(); !slices.Contains(ids, "g") {
			t.Errorf("the group went, with an open commit of another partition: %v", ids)
		}
		wants(t, "end", p.end(4, true).ErrorCode, nil)
		both := kmsg.NewPtrOffsetFetchRequest()
		both.Version, both.Group = 7, "g"
		both.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
		var told []int64
		d.eventually("the other partition's offset", func() bool {
			told = nil
			for _, out := range do[*kmsg.OffsetFetchResponse](d, both).Topics[0].Partitions {
				told = append(told, out.Offset)
			}
			return told[1] == 9
		})
		if told[0] != -1 {
			t.Errorf("offset %d came back with the transaction", told[0])
		}
	})
}

// Goal: the last offset that is deleted does not take the group with it while a transaction is open that committed with it, though nothing of that is left
// either; once it has ended, the group is swept away.
func TestOffsetDeleteLeavesGroupOfOpenTransaction(t *testing.T) {
	soon := func(cfg *config.Broker) { cfg.OffsetsRetentionCheckInterval = time.Second }
	onTxns(t, 2, soon, func(d *desk, p *producer) {
		listed := func() bool { ids, _ := d.listed(); return slices.Contains(ids, "g") }
		for _, commit := range []bool{true, false} {
			wants(t, "commit", d.commit(8, 3, nil), nil)
			wants(t, "offsets", p.addOffsets(), nil)
			wants(t, "commit offsets", d.commitOffsets(p.offsetsRequest(4, 8)), nil)
			wants(t, "delete", d.deleteOffsets("t", 0).Topics[0].Partitions[0].ErrorCode, nil)
			d.e.Sleep(3 * time.Second)
			if at, code := d.offset(true); !listed() || at != -1 || code != 0 {
				t.Errorf("commit=%v: the group is listed: %v, offset %d, code %d", commit, listed(), at, code)
			}
			wants(t, "end", p.end(4, commit).ErrorCode, nil)
			d.eventually("the group's end", func() bool { return !listed() })
		}
	})
}

// Goal: offsets of partitions that are deleted go, and stay gone.
func TestOffsetsOfDeletedTopics(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, _ *producer) {
		wants(t, "commit", d.commit(8, 3, nil), nil)
		wants(t, "commit", d.commit(8, 4, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 1 }), nil)
		d.groups.TopicsDeleted([]wire.TopicPartition{{Topic: "t"}})
		none := func() bool { p, _ := d.offsetOf(9, "g"); return p.Offset == -1 }
		d.eventually("the offset to go", none)
		d.reload(nil)
		if !none() {
			t.Error("it came back")
		}
		if ids, _ := d.listed(); len(ids) != 1 {
			t.Errorf("groups %v: the other partition's offset is left", ids)
		}
	})
}

// Goal: a group that is named twice is deleted, and answered, once.
func TestDeleteGroupsTakesNamesOnce(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		wants(t, "commit", d.commit(8, 3, nil), nil)
		for v := int16(0); v <= 2; v++ {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Version, req.Groups = v, []string{"g", "elsewhere", "g"}
			resp := do[*kmsg.DeleteGroupsResponse](d, req)
			if len(resp.Groups) != 2 {
				t.Fatalf("%+v", resp)
			}
			want := kerr.GroupIDNotFound
			if v == 0 {
				want = nil
			}
			wants(t, "g", resp.Groups[0].ErrorCode, want)
			wants(t, "elsewhere", resp.Groups[1].ErrorCode, kerr.NotCoordinator)
		}
	})
}
