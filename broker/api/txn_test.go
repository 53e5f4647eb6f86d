package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/coordinator"
	"barnabas/broker/group"
	"barnabas/broker/partition"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Transactions at the wire: real coordinators on real partitions of one replica behind a real server, and what a producer hears in every
// case.

// A transaction commits, the next aborts: a reader of committed records sees the first, once its marker is there, and not the second.
func TestTransactionAtTheWire(t *testing.T) {
	onTxns(t, 5, nil, func(d *desk, p *producer) {
		for version := int16(0); version <= 3; version++ {
			wants(t, "add", p.add(version, "t", 0)[0], nil)
		}
		wants(t, "produce", p.produce(9, 0, "one"), nil)
		wants(t, "produce", p.produce(11, 0, "two"), nil)
		if values, stable := d.committed(0); len(values) != 0 || stable != 0 {
			t.Errorf("before the commit: %v up to %d", values, stable)
		}
		wants(t, "commit", p.end(3, true).ErrorCode, nil)
		p.complete("CompleteCommit")
		d.eventually("the commit to be read", func() bool {
			values, stable := d.committed(0)
			return slices.Equal(values, []string{"one", "two"}) && stable == 3
		})
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "three"), nil)
		wants(t, "abort", p.end(3, false).ErrorCode, nil)
		p.complete("CompleteAbort")
		d.eventually("the abort to be known", func() bool {
			values, stable := d.committed(0)
			return slices.Equal(values, []string{"one", "two"}) && stable == 5
		})
		list := listOffsets(9, "t", -1)
		list.IsolationLevel = 1
		if at := do[*kmsg.ListOffsetsResponse](d, list).Topics[0].Partitions[0].Offset; at != 5 {
			t.Errorf("latest with read_committed is %d", at)
		}
	})
}

// Wrong ids, stale epochs and wrong states: Kafka's own code for each, by version.
func TestTransactionRefusals(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		bad := func(change func(q *producer)) *producer {
			q := *p
			change(&q)
			return &q
		}
		unknown := bad(func(q *producer) { q.txn = sameHome("x") })
		elsewhere := bad(func(q *producer) { q.txn = "somebody else's" })
		stale, other, nobody := bad(func(q *producer) { q.epoch-- }), bad(func(q *producer) { q.id++ }), bad(func(q *producer) { q.txn = "" })
		for _, c := range []struct {
			what     string
			who      *producer
			old, new *kerr.Error // before and from version 2 on
		}{
			{"unknown", unknown, kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping},
			{"elsewhere", elsewhere, kerr.NotCoordinator, kerr.NotCoordinator},
			{"stale epoch", stale, kerr.InvalidProducerEpoch, kerr.ProducerFenced},
			{"other id", other, kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping},
			{"no id", nobody, kerr.InvalidRequest, kerr.InvalidRequest},
		} {
			wants(t, c.what+" add v0", c.who.add(0, "t", 0)[0], c.old)
			wants(t, c.what+" add v3", c.who.add(3, "t", 0)[0], c.new)
			wants(t, c.what+" end v0", c.who.end(0, true).ErrorCode, c.old)
			wants(t, c.what+" end v4", c.who.end(4, true).ErrorCode, c.new)
			offsets := kmsg.NewPtrAddOffsetsToTxnRequest()
			offsets.TransactionalID, offsets.ProducerID, offsets.ProducerEpoch, offsets.Group = c.who.txn, c.who.id, c.who.epoch, "g"
			for _, offsets.Version = range []int16{0, 4} {
				want := c.old
				if offsets.Version >= 2 {
					want = c.new
				}
				wants(t, fmt.Sprintf("%s offsets v%d", c.what, offsets.Version), do[*kmsg.AddOffsetsToTxnResponse](d, offsets).ErrorCode, want)
			}
		}
		wants(t, "end of nothing", p.end(4, true).ErrorCode, kerr.InvalidTxnState)
		if codes := p.add(3, "t", 0, 7); !slices.Equal(codes, []int16{kerr.OperationNotAttempted.Code, kerr.UnknownTopicOrPartition.Code}) {
			t.Errorf("a partition that does not exist: %v", codes)
		}
		for v := int16(0); v <= 3; v++ { // clients do not write there
			for _, topic := range []string{group.Topic, txn.Topic} {
				if codes := p.addTopics(v, "t", topic, "nowhere"); !slices.Equal(codes, []int16{kerr.OperationNotAttempted.Code, kerr.TopicAuthorizationFailed.Code, kerr.UnknownTopicOrPartition.Code}) {
					t.Errorf("v%d: %s: %v", v, topic, codes)
				}
			}
		}
		for v := int16(4); v <= 5; v++ { // and brokers ask for their clients
			wants(t, "a broker's word", p.verify(v, true, group.Topic, coordinator.PartitionFor("g", 50)), map[int16]*kerr.Error{4: kerr.InvalidTxnState, 5: kerr.TransactionAbortable}[v])
		}
		wants(t, "begin", p.add(3, "t", 0)[0], nil)
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		p.complete("CompleteCommit")
		wants(t, "abort of what is committed", p.end(4, false).ErrorCode, kerr.InvalidTxnState)
		wants(t, "commit again", p.end(4, true).ErrorCode, nil)
	})
}

// InitProducerId refuses what is out of bounds, and fences.
func TestInitProducerIDAtTheWire(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		ask := func(change func(*kmsg.InitProducerIDRequest)) int16 {
			req := p.initRequest(5)
			change(req)
			return do[*kmsg.InitProducerIDResponse](d, req).ErrorCode
		}
		wants(t, "no time", ask(func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 }), kerr.InvalidTransactionTimeout)
		wants(t, "too long", ask(func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 900001 }), kerr.InvalidTransactionTimeout)
		wants(t, "empty", ask(func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = kmsg.StringPtr("") }), kerr.InvalidRequest)
		wants(t, "id alone", ask(func(r *kmsg.InitProducerIDRequest) { r.ProducerID = p.id }), kerr.InvalidRequest)
		wants(t, "epoch alone", ask(func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 0 }), kerr.InvalidRequest)
		wants(t, "foreign id", ask(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = p.id+1, p.epoch }), kerr.ProducerFenced)
		wants(t, "elsewhere", ask(func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = kmsg.StringPtr("somebody else's") }), kerr.NotCoordinator)
		zombie := *p
		wants(t, "the next life", p.init(), nil)
		if p.epoch != zombie.epoch+1 || p.id != zombie.id {
			t.Errorf("%d %d after %d %d", p.id, p.epoch, zombie.id, zombie.epoch)
		}
		wants(t, "zombie adds", zombie.add(3, "t", 0)[0], kerr.ProducerFenced)
		wants(t, "zombie recovers", ask(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = zombie.id, zombie.epoch }), kerr.ProducerFenced)
		req := zombie.initRequest(3)
		req.ProducerID, req.ProducerEpoch = zombie.id, zombie.epoch
		wants(t, "zombie recovers v3", do[*kmsg.InitProducerIDResponse](d, req).ErrorCode, kerr.InvalidProducerEpoch)
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "lost"), nil)
		old := *p
		wants(t, "inside a transaction", p.init(), kerr.ConcurrentTransactions)
		d.eventually("the abort", func() bool { return p.init() == 0 })
		if p.epoch != old.epoch+2 {
			t.Errorf("epoch %d after %d", p.epoch, old.epoch)
		}
		wants(t, "zombie produces", old.produce(11, 0, "late"), kerr.InvalidProducerEpoch)
		if values, _ := d.committed(0); len(values) != 0 {
			t.Errorf("read: %v", values)
		}
	})
}

// KIP-890: leaders take the first record of a transaction only if its coordinator knows the partition to be part of it.
func TestProduceIsVerified(t *testing.T) {
	onTxns(t, 3, nil, func(d *desk, p *producer) {
		wants(t, "outside of a transaction", p.produce(10, 0, "v"), kerr.InvalidTxnState)
		wants(t, "outside, v11", p.produce(11, 0, "v"), kerr.TransactionAbortable)
		wants(t, "add", p.add(3, "t", 1)[0], nil)
		wants(t, "another partition", p.produce(11, 0, "v"), kerr.TransactionAbortable)
		wants(t, "verify only v4", p.verify(4, true, "t", 0), kerr.InvalidTxnState)
		wants(t, "verify only v5", p.verify(5, true, "t", 0), kerr.TransactionAbortable)
		wants(t, "verify only", p.verify(5, true, "t", 1), nil)
		wants(t, "added", p.produce(11, 1, "v"), nil)
		late := *p
		wants(t, "abort", p.end(4, false).ErrorCode, nil)
		p.complete("CompleteAbort")
		wants(t, "late", late.produce(11, 1, "late"), kerr.TransactionAbortable)
		if _, stable := d.committed(1); stable != 2 {
			t.Errorf("the last stable offset hangs at %d", stable)
		}
		d.lost = true
		wants(t, "mapping", func() int16 { q := *p; q.id += 9; return q.produce(11, 0, "v") }(), kerr.InvalidProducerIDMapping)
		bare := produce(9, -1, "t", 0, p.records("v"))
		wants(t, "without an id", only(do[*kmsg.ProduceResponse](d, bare)).ErrorCode, kerr.TransactionalIDAuthorizationFailed)
		d.lost = false
		if err := d.cfg.SetDynamic(map[string]string{"transaction.partition.verification.enable": "false"}, nil); err != nil {
			t.Fatal(err)
		}
		wants(t, "outside, when nobody verifies any more", p.produce(11, 0, "v"), nil)
	})
}

// A broker that begins to lead a partition while a request for it is under way refuses it in a way that producers try again: it has not
// been verified.
func TestLeaderTakesOverDuringVerification(t *testing.T) {
	onTxns(t, 3, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		d.takenOver = wire.TopicPartition{Topic: "t", Partition: 0}
		wants(t, "in between", p.produce(11, 0, "v"), kerr.NotLeaderForPartition)
		wants(t, "again", p.produce(11, 0, "v"), nil)
		wants(t, "add offsets", p.addOffsets(), nil)
		d.takenOver = wire.TopicPartition{Topic: group.Topic, Partition: d.groups.PartitionFor("g")}
		wants(t, "offsets in between", d.commitOffsets(p.offsetsRequest(3, 1)), kerr.NotCoordinator)
		wants(t, "offsets again", d.commitOffsets(p.offsetsRequest(3, 1)), nil)
	})
}

// A coordinator that goes on leading in a new epoch, as it does whenever a follower leaves the ISR, keeps what it knows: nobody is told that it
// loads, and a transaction that is decided is carried through.
func TestCoordinatorGoesOnInNewEpoch(t *testing.T) {
	onTxns(t, 5, nil, func(d *desk, p *producer) {
		next := func(tp wire.TopicPartition, elected func(number, epoch int32)) {
			at := d.real[tp]
			_, epoch := at.Leader()
			if err := at.BecomeLeader(partition.Assignment{Leader: 1, LeaderEpoch: epoch + 1, ControllerEpoch: 1, PartitionEpoch: epoch, Replicas: []int32{1}, ISR: []int32{1}}); err != nil {
				t.Fatal(err)
			}
			elected(tp.Partition, epoch+1)
		}
		txns := wire.TopicPartition{Topic: txn.Topic, Partition: coordinator.PartitionFor("x", 50)}
		groups := wire.TopicPartition{Topic: group.Topic, Partition: coordinator.PartitionFor("g", 50)}
		// What a coordinator knows beside its log: who has asked for the present epoch, and who was given a member id.
		recover := p.initRequest(4)
		recover.ProducerID, recover.ProducerEpoch = p.id, p.epoch
		bumped := do[*kmsg.InitProducerIDResponse](d, recover)
		wants(t, "recover", bumped.ErrorCode, nil)
		next(txns, d.txns.Elected)
		wants(t, "recover again", do[*kmsg.InitProducerIDResponse](d, recover).ErrorCode, nil)
		p.epoch = bumped.ProducerEpoch
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 5, "g", 10000, 10000, "consumer"
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		given := do[*kmsg.JoinGroupResponse](d, join)
		wants(t, "join", given.ErrorCode, kerr.MemberIDRequired)
		next(groups, d.groups.Elected)
		join.MemberID = given.MemberID
		member := do[*kmsg.JoinGroupResponse](d, join)
		wants(t, "join with the id", member.ErrorCode, nil)

		wants(t, "add", p.add(3, "t", 0)[0], nil)
		next(txns, d.txns.Elected)
		wants(t, "add in the new epoch", p.add(3, "t", 1)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		wants(t, "add offsets", p.addOffsets(), nil)
		next(groups, d.groups.Elected)
		wants(t, "offsets in the new epoch", d.commitOffsets(p.offsetsRequest(3, 1)), nil)
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		next(txns, d.txns.Elected)
		p.complete("CompleteCommit")
		d.eventually("the offset", func() bool { offset, code := d.offset(true); return offset == 1 && code == 0 })
	})
}

// The zoo: without the verification the late record gets in, and the last stable offset hangs.
func TestLateProduceHangs(t *testing.T) {
	onDeskWith(t, "txn-late-produce", func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 1)[0], nil)
		wants(t, "produce", p.produce(11, 1, "v"), nil)
		late := *p
		wants(t, "abort", p.end(4, false).ErrorCode, nil)
		p.complete("CompleteAbort")
		wants(t, "late", late.produce(11, 1, "late"), nil)
		if _, stable := d.committed(1); stable != 2 {
			t.Errorf("the last stable offset is %d", stable)
		}
	})
}

// WriteTxnMarkers fences stale producers and stale coordinators, and an administrator ends a transaction that hangs with it.
func TestWriteTxnMarkersAtTheWire(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		marker := func(epoch int16, coordinatorEpoch int32, commit bool, topic string, number int32) int16 {
			req := kmsg.NewPtrWriteTxnMarkersRequest()
			req.Version = 1
			m := kmsg.NewWriteTxnMarkersRequestMarker()
			m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Committed = p.id, epoch, coordinatorEpoch, commit
			mt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			mt.Topic, mt.Partitions = topic, []int32{number}
			m.Topics = append(m.Topics, mt)
			req.Markers = append(req.Markers, m)
			return do[*kmsg.WriteTxnMarkersResponse](d, req).Markers[0].Topics[0].Partitions[0].ErrorCode
		}
		wants(t, "next life", p.init(), nil)
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		wants(t, "unknown partition", marker(p.epoch, 5, false, "nowhere", 0), kerr.UnknownTopicOrPartition)
		d.takenOver = wire.TopicPartition{Topic: "elsewhere"} // not led the first time
		wants(t, "another broker's partition", marker(p.epoch, 5, false, "elsewhere", 0), kerr.UnknownTopicOrPartition)
		wants(t, "stale producer", marker(p.epoch-1, 5, false, "t", 0), kerr.InvalidProducerEpoch)
		wants(t, "administrator", marker(p.epoch, 5, false, "t", 0), nil)
		if values, stable := d.committed(0); stable != 2 || len(values) != 0 {
			t.Errorf("%v up to %d", values, stable)
		}
		wants(t, "stale coordinator", marker(p.epoch, 4, true, "t", 0), kerr.TransactionCoordinatorFenced)
		wants(t, "later coordinator", marker(p.epoch, 6, false, "t", 0), nil)
	})
}

// A transaction whose time is up is aborted, and its producer fenced; without the bump, the zoo's, it goes on.
func TestTransactionTimesOut(t *testing.T) {
	run := func(d *desk, p *producer, want *kerr.Error) {
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		d.e.Sleep(11 * time.Second)
		p.complete("CompleteAbort")
		wants(t, "zombie adds", p.add(3, "t", 0)[0], want)
	}
	onTxns(t, 2, nil, func(d *desk, p *producer) { run(d, p, kerr.ProducerFenced) })
	onDeskWith(t, "txn-no-epoch-bump", func(d *desk, p *producer) { run(d, p, nil) })
}
