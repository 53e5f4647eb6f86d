package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
