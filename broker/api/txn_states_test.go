package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/partition"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reloadTxns has the coordinator of "x" replaced by the next; meanwhile is asked while that loads what the last has left.
func (d *desk) reloadTxns(meanwhile func()) {
	d.t.Helper()
	home := coordinator.PartitionFor("x", 50)
	at := d.real[wire.TopicPartition{Topic: txn.Topic, Partition: home}]
	_, epoch := at.Leader()
	if err := at.BecomeLeader(partition.Assignment{Leader: 1, LeaderEpoch: epoch + 1, ControllerEpoch: 1, PartitionEpoch: epoch, Replicas: []int32{1}, ISR: []int32{1}}); err != nil {
		d.t.Fatal(err)
	}
	d.unloadable = true
	d.txns.Resigned(home)
	d.txns.Elected(home, epoch+1)
	if meanwhile != nil {
		meanwhile()
	}
	d.unloadable = false
	list := kmsg.NewPtrListTransactionsRequest()
	d.eventually("the load", func() bool { return do[*kmsg.ListTransactionsResponse](d, list).ErrorCode == 0 })
}

// everywhere asks everything that the coordinator of transactions is asked, in all versions: init, add, end and offsets are what each is to answer.
func (p *producer) everywhere(what string, init, add, end, offsets *kerr.Error) {
	d, t := p.d, p.d.t
	t.Helper()
	for v := int16(0); v <= 5; v++ {
		wants(t, fmt.Sprintf("%s: init v%d", what, v), do[*kmsg.InitProducerIDResponse](d, p.initRequest(v)).ErrorCode, init)
	}
	for v := int16(0); v <= 3; v++ {
		wants(t, fmt.Sprintf("%s: add v%d", what, v), p.add(v, "t", 1)[0], add)
	}
	for v := int16(4); v <= 5; v++ {
		wants(t, fmt.Sprintf("%s: verify v%d", what, v), p.verify(v, true, "t", 0), add)
		wants(t, fmt.Sprintf("%s: a leader adds v%d", what, v), p.verify(v, false, "t", 1), add)
	}
	for v := int16(0); v <= 4; v++ {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = v, p.txn, p.id, p.epoch, "g"
		wants(t, fmt.Sprintf("%s: add offsets v%d", what, v), do[*kmsg.AddOffsetsToTxnResponse](d, req).ErrorCode, add)
		wants(t, fmt.Sprintf("%s: end v%d", what, v), p.end(v, true).ErrorCode, end)
		want := offsets
		if v < 2 && offsets == kerr.CoordinatorLoadInProgress {
			want = kerr.CoordinatorNotAvailable
		}
		wants(t, fmt.Sprintf("%s: offsets v%d", what, v), d.commitOffsets(p.offsetsRequest(v, 1)), want)
	}
}

// Goal: while the coordinator loads what the last one left, everybody is told so, in the words that each knows; then the transaction goes on, or is aborted by the
// next coordinator when its time is up. Method: a load that does not end, with a transaction open.
func TestTransactionRequestsDuringALoad(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		loads := func() {
			p.everywhere("load", kerr.CoordinatorLoadInProgress, kerr.CoordinatorLoadInProgress, kerr.CoordinatorLoadInProgress, kerr.CoordinatorLoadInProgress)
			for v := int16(3); v <= 11; v++ {
				wants(t, fmt.Sprintf("produce v%d", v), p.produce(v, 1, "v"), kerr.NotEnoughReplicas) // which producers of every version try again
			}
			describe := kmsg.NewPtrDescribeTransactionsRequest()
			describe.TransactionalIDs = []string{"x"}
			wants(t, "describe", do[*kmsg.DescribeTransactionsResponse](d, describe).TransactionStates[0].ErrorCode, kerr.CoordinatorLoadInProgress)
			for v := int16(0); v <= 1; v++ {
				list := kmsg.NewPtrListTransactionsRequest()
				list.Version = v
				resp := do[*kmsg.ListTransactionsResponse](d, list)
				if wants(t, "list", resp.ErrorCode, kerr.CoordinatorLoadInProgress); len(resp.TransactionStates) != 0 {
					t.Errorf("listed while it loads: %+v", resp)
				}
			}
		}
		d.reloadTxns(loads)
		wants(t, "produce", p.produce(11, 0, "w"), nil)
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		p.complete("CompleteCommit")
		d.eventually("the commit to be read", func() bool { values, _ := d.committed(0); return slices.Equal(values, []string{"v", "w"}) })

		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "lost"), nil)
		began := d.e.Mono()
		d.e.Sleep(6 * time.Second)
		d.reloadTxns(nil)
		for p.state() == "Ongoing" && d.e.Mono().Sub(began) < 30*time.Second {
			d.e.Sleep(100 * time.Millisecond)
		}
		if took := d.e.Mono().Sub(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("a transaction of 10 s was aborted after %s", took)
		}
		p.complete("CompleteAbort")
		wants(t, "who was too slow", p.add(3, "t", 0)[0], kerr.ProducerFenced)
		if _, stable := d.committed(0); stable != 5 {
			t.Errorf("the last stable offset is %d", stable)
		}
	})
}

// Goal: once a transaction is decided nothing is added to it, it is not decided otherwise, and whoever is too early for the next is told to come again; if its
// coordinator dies the next one sends the markers. Method: markers that do not arrive until another coordinator has loaded the decision.
func TestTransactionRequestsBeforeTheMarkers(t *testing.T) {
	for _, commit := range []bool{true, false} {
		onTxns(t, 2, nil, func(d *desk, p *producer) {
			wants(t, "add", p.add(3, "t", 0)[0], nil)
			wants(t, "offsets", p.addOffsets(), nil)
			wants(t, "produce", p.produce(11, 0, "v"), nil)
			wants(t, "commit offsets", d.commitOffsets(p.offsetsRequest(4, 7)), nil)
			d.lost = true
			wants(t, "end", p.end(4, commit).ErrorCode, nil)
			prepared, complete, other := "PrepareCommit", "CompleteCommit", kerr.ConcurrentTransactions
			if !commit {
				prepared, complete, other = "PrepareAbort", "CompleteAbort", kerr.InvalidTxnState
			}
			asked := func() {
				t.Helper()
				if got := p.state(); got != prepared {
					t.Errorf("state %s, want %s", got, prepared)
				}
				// The offsets' own partition knows the transaction to be open yet: its marker has not come.
				p.everywhere("decided", kerr.ConcurrentTransactions, kerr.ConcurrentTransactions, other, nil)
				wants(t, "abort", p.end(4, false).ErrorCode, map[bool]*kerr.Error{true: kerr.InvalidTxnState, false: kerr.ConcurrentTransactions}[commit])
				for v := int16(3); v <= 11; v++ {
					wants(t, "produce to another partition", p.produce(v, 1, "v"), kerr.NotEnoughReplicas)
				}
				if values, stable := d.committed(0); len(values) != 0 || stable != 0 {
					t.Errorf("before the marker: %v up to %d", values, stable)
				}
			}
			asked()
			d.reloadTxns(nil)
			asked()
			d.lost = false
			p.complete(complete)
			d.eventually("the marker", func() bool { _, stable := d.committed(0); return stable == 2 })
			if values, _ := d.committed(0); (len(values) == 1) != commit {
				t.Errorf("%s: %v", complete, values)
			}
		})
	}
}

// Goal: a leader that cannot ask the coordinator tells producers to try again, in words that none takes for the end, and when it can ask another broker heeds what that
// says. Method: __transaction_state is led by another broker, who is not reached, by nobody, and is reached again.
func TestVerificationOverTheNetwork(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		epoch := int32(5)
		led := func(by int32) {
			epoch++
			state := kmsg.NewUpdateMetadataRequestTopicState()
			state.Topic, state.TopicID = txn.Topic, topicID(8)
			s := kmsg.NewUpdateMetadataRequestTopicPartition()
			s.Partition, s.Leader, s.LeaderEpoch, s.ZKVersion, s.Replicas, s.ISR = coordinator.PartitionFor("x", 50), by, epoch, epoch, []int32{1, 2}, []int32{1, 2}
			state.PartitionStates = append(state.PartitionStates, s)
			d.tellCluster(state)
		}
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "offsets", p.addOffsets(), nil)
		for _, by := range []int32{2, -1} {
			led(by)
			d.lost = true
			for v := int16(3); v <= 11; v++ {
				wants(t, fmt.Sprintf("led by %d: produce v%d", by, v), p.produce(v, 0, "v"), kerr.NotEnoughReplicas)
			}
			for v := int16(0); v <= 4; v++ {
				want := kerr.CoordinatorLoadInProgress
				if v < 2 {
					want = kerr.CoordinatorNotAvailable
				}
				wants(t, fmt.Sprintf("led by %d: offsets v%d", by, v), d.commitOffsets(p.offsetsRequest(v, 1)), want)
			}
			d.lost = false
		}
		led(2)
		stale, other := *p, *p
		stale.epoch--
		other.id++
		wants(t, "a stale epoch", stale.produce(11, 0, "v"), kerr.InvalidProducerEpoch)
		wants(t, "another id", other.produce(11, 0, "v"), kerr.InvalidProducerIDMapping)
		wants(t, "another partition", p.produce(11, 1, "v"), kerr.TransactionAbortable)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		wants(t, "offsets", d.commitOffsets(p.offsetsRequest(4, 1)), nil)
	})
}

// Goal: of a request with transactional records of two producers, or of two epochs of one, nothing is taken, whether verification is on or off.
func TestProduceOfTwoProducers(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0, 1)[0], nil)
		other, newer := *p, *p
		other.id++
		newer.epoch++
		for _, on := range []string{"true", "false"} {
			if err := d.cfg.SetDynamic(map[string]string{"transaction.partition.verification.enable": on}, nil); err != nil {
				t.Fatal(err)
			}
			for _, second := range []*producer{&other, &newer} {
				req := produce(11, -1, "t", 0, p.records("v"))
				req.TransactionID = &p.txn
				in := kmsg.NewProduceRequestTopicPartition()
				in.Partition, in.Records = 1, second.records("v")
				req.Topics[0].Partitions = append(req.Topics[0].Partitions, in)
				for _, out := range do[*kmsg.ProduceResponse](d, req).Topics[0].Partitions {
					wants(t, fmt.Sprintf("verification %s, partition %d", on, out.Partition), out.ErrorCode, kerr.InvalidProducerIDMapping)
				}
			}
		}
		wants(t, "alone", p.produce(11, 0, "v"), nil)
	})
}

// Goal: a transactional id that is not used is forgotten in time, for good, and not while a transaction of it is open (transactional.id.expiration.ms). Method: short times.
func TestTransactionalIDsExpire(t *testing.T) {
	short := func(cfg *config.Broker) {
		cfg.TransactionalIDExpiration, cfg.TransactionalIDExpirationCheck = 5*time.Second, time.Second
	}
	onTxns(t, 1, short, func(d *desk, p *producer) {
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{"x"}
		told := func() int16 {
			return do[*kmsg.DescribeTransactionsResponse](d, describe).TransactionStates[0].ErrorCode
		}
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		d.e.Sleep(8 * time.Second)
		wants(t, "open", told(), nil)
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		d.e.Sleep(4 * time.Second)
		wants(t, "used 4 s ago", told(), nil)
		d.e.Sleep(3 * time.Second)
		for range 2 {
			wants(t, "forgotten", told(), kerr.TransactionalIDNotFound)
			wants(t, "add", p.add(3, "t", 0)[0], kerr.InvalidProducerIDMapping)
			wants(t, "end", p.end(4, true).ErrorCode, kerr.InvalidProducerIDMapping)
			d.reloadTxns(nil)
		}
		before := p.id
		if wants(t, "init", p.init(), nil); p.id == before {
			t.Errorf("producer id %d again", p.id)
		}
	})
}

// Goal: a transaction is over although one of its topics has been deleted, before the marker came. Method: markers that do not arrive until the controller has said so.
func TestTransactionOfADeletedTopicEnds(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0, 1)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		d.lost = true
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		state := kmsg.NewUpdateMetadataRequestTopicState()
		state.Topic, state.TopicID = "t", topicID(1)
		s := kmsg.NewUpdateMetadataRequestTopicPartition()
		s.Partition, s.Leader, s.LeaderEpoch, s.ZKVersion, s.Replicas = 1, -2, 6, 6, []int32{1}
		state.PartitionStates = append(state.PartitionStates, s)
		d.tellCluster(state)
		d.real[wire.TopicPartition{Topic: "t", Partition: 1}] = nil
		d.lost = false
		p.complete("CompleteCommit")
		if values, _ := d.committed(0); len(values) != 1 {
			t.Errorf("read: %v", values)
		}
	})
}
