package api_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// onDeskWith is onTxns with a bug of the zoo.
func onDeskWith(t *testing.T, name string, main func(d *desk, p *producer)) {
	t.Helper()
	set, err := bug.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	onTxns(t, 1, func(cfg *config.Broker) { cfg.Bugs = set }, main)
}

func (p *producer) addOffsets() int16 {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = 4, p.txn, p.id, p.epoch, "g"
	return do[*kmsg.AddOffsetsToTxnResponse](p.d, req).ErrorCode
}

func (p *producer) offsetsRequest(version int16, offset int64) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = version, p.txn, p.id, p.epoch, "g", -1
	in := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	in.Offset = offset
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, in)
	req.Topics = append(req.Topics, topic)
	return req
}

func (d *desk) commitOffsets(req *kmsg.TxnOffsetCommitRequest) int16 {
	return do[*kmsg.TxnOffsetCommitResponse](d, req).Topics[0].Partitions[0].ErrorCode
}

// offset is what the group has committed for t-0.
func (d *desk) offset(stable bool) (int64, int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.RequireStable, req.Group = 7, stable, "g"
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, topic)
	out := do[*kmsg.OffsetFetchResponse](d, req).Topics[0].Partitions[0]
	return out.Offset, out.ErrorCode
}

// Offsets of a transaction count with its marker, and not before: until then they are unstable.
func TestTxnOffsetsCountWithTheMarker(t *testing.T) {
	onTxns(t, 3, nil, func(d *desk, p *producer) {
		for _, commit := range []bool{true, false} {
			for version := int16(0); version <= 4; version++ {
				at, _ := d.offset(false)
				wants(t, "offsets", p.addOffsets(), nil)
				wants(t, "commit offsets", d.commitOffsets(p.offsetsRequest(version, at+5)), nil)
				if now, _ := d.offset(false); now != at {
					t.Errorf("%d is committed before the transaction is", now)
				}
				_, code := d.offset(true)
				wants(t, "stable", code, kerr.UnstableOffsetCommit)
				wants(t, "end", p.end(4, commit).ErrorCode, nil)
				want := at
				if commit {
					want = at + 5
				}
				d.eventually(fmt.Sprintf("offset %d", want), func() bool {
					now, code := d.offset(true)
					return now == want && code == 0
				})
				d.eventually("the end", func() bool { s := p.state(); return s == "CompleteCommit" || s == "CompleteAbort" })
			}
		}
	})
}

// Goal: the next coordinator of a group knows which offsets wait for the end of a transaction, and which transactions have ended: it holds the former back, and counts
// those of committed ones alone. Method: another coordinator loads the group before, or after, the end.
func TestTxnOffsetsSurviveTheirCoordinator(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		at := int64(-1)
		for _, commit := range []bool{true, false} {
			for _, early := range []bool{true, false} {
				what := fmt.Sprintf("commit=%t, loaded before the end=%t", commit, early)
				wants(t, "offsets", p.addOffsets(), nil)
				wants(t, "commit offsets", d.commitOffsets(p.offsetsRequest(4, at+5)), nil)
				if early {
					d.reload(nil)
					_, code := d.offset(true)
					wants(t, what+": unstable", code, kerr.UnstableOffsetCommit)
					if now, _ := d.offset(false); now != at {
						t.Errorf("%s: %d is committed before the transaction is", what, now)
					}
				}
				wants(t, "end", p.end(4, commit).ErrorCode, nil)
				p.complete(map[bool]string{true: "CompleteCommit", false: "CompleteAbort"}[commit])
				if !early {
					d.reload(nil)
				}
				if commit {
					at += 5
				}
				d.eventually(what, func() bool { now, code := d.offset(true); return now == at && code == 0 })
			}
		}
	})
}

// Goal: an offset does not expire while a transaction that is open commits it anew, and does once
// it has been aborted. Method: a short retention.
func TestOffsetsOfOpenTransactionsDoNotExpire(t *testing.T) {
	short := func(cfg *config.Broker) {
		cfg.OffsetsRetention, cfg.OffsetsRetentionCheckInterval = 2*time.Second, 100*time.Millisecond
	}
	onTxns(t, 1, short, func(d *desk, p *producer) {
		wants(t, "commit", d.commit(8, 3, nil), nil)
		wants(t, "offsets", p.addOffsets(), nil)
		wants(t, "commit offsets", d.commitOffsets(p.offsetsRequest(4, 4)), nil)
		d.e.Sleep(5 * time.Second)
		if at, _ := d.offset(false); at != 3 {
			t.Errorf("the offset is %d, while its transaction is open", at)
		}
		wants(t, "abort", p.end(4, false).ErrorCode, nil)
		p.complete("CompleteAbort")
		d.e.Sleep(time.Second)
		if at, _ := d.offset(false); at != -1 {
			t.Errorf("the offset is %d, 6 s after its commit", at)
		}
	})
}

// Who may not: each with Kafka's code.
func TestTxnOffsetCommitRefusals(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		wants(t, "outside of a transaction", d.commitOffsets(p.offsetsRequest(3, 1)), kerr.InvalidTxnState)
		wants(t, "outside, v4", d.commitOffsets(p.offsetsRequest(4, 1)), kerr.TransactionAbortable)
		wants(t, "offsets", p.addOffsets(), nil)
		ask := func(change func(*kmsg.TxnOffsetCommitRequest)) int16 {
			req := p.offsetsRequest(4, 1)
			change(req)
			return d.commitOffsets(req)
		}
		instance := "i"
		wants(t, "no member", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "m", 1 }), kerr.UnknownMemberID)
		wants(t, "no instance", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.InstanceID, r.Generation = &instance, 1 }), kerr.UnknownMemberID)
		wants(t, "stale epoch", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerEpoch-- }), kerr.InvalidProducerEpoch)
		wants(t, "other id", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerID++ }), kerr.InvalidProducerIDMapping)
		wants(t, "no group", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "" }), kerr.InvalidGroupID)
		wants(t, "group elsewhere", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "elsewhere" }), kerr.NotCoordinator)
		wants(t, "no partition", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Topic = "nowhere" }), kerr.UnknownTopicOrPartition)
		long := string(make([]byte, 5000))
		wants(t, "metadata", ask(func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = &long }), kerr.OffsetMetadataTooLarge)

		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 5, "g", 10000, 10000, "consumer"
		join.InstanceID = &instance
		join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
		member := do[*kmsg.JoinGroupResponse](d, join)
		wants(t, "join", member.ErrorCode, nil)
		as := func(id string, instance *string, generation int32) int16 {
			return ask(func(r *kmsg.TxnOffsetCommitRequest) {
				r.MemberID, r.InstanceID, r.Generation = id, instance, generation
			})
		}
		wants(t, "stale generation", as(member.MemberID, &instance, member.Generation-1), kerr.IllegalGeneration)
		wants(t, "fenced instance", as("before", &instance, member.Generation), kerr.FencedInstanceID)
		wants(t, "member", as(member.MemberID, &instance, member.Generation), nil)
		wants(t, "before KIP-447", d.commitOffsets(p.offsetsRequest(2, 1)), nil)
	})
	onDeskWith(t, "txn-offsets-unfenced", func(d *desk, p *producer) {
		wants(t, "offsets", p.addOffsets(), nil)
		req := p.offsetsRequest(4, 1)
		req.MemberID, req.Generation = "nobody", 7
		wants(t, "anybody", d.commitOffsets(req), nil)
	})
}

// transaction.version=2: its requests are served where it is turned on, and there alone; leaders add partitions by themselves, and the
// epoch is another after each transaction.
func TestTransactionVersion2(t *testing.T) {
	features := func(d *desk) *kmsg.ApiVersionsResponse {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, "x", "1"
		return do[*kmsg.ApiVersionsResponse](d, req)
	}
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		if resp := features(d); len(resp.FinalizedFeatures) != 0 || resp.FinalizedFeaturesEpoch != -1 {
			t.Errorf("features %+v", resp.FinalizedFeatures)
		}
		for _, key := range features(d).ApiKeys {
			if want, limited := map[int16]int16{0: 11, 26: 4, 28: 4}[key.ApiKey]; limited && key.MaxVersion != want {
				t.Errorf("key %d up to %d", key.ApiKey, key.MaxVersion)
			}
		}
		req := kmsg.NewPtrEndTxnRequest()
		req.Version, req.TransactionalID = 5, p.txn
		d.send(req)
		d.closed()
	})
	on := func(cfg *config.Broker) { cfg.TransactionVersion = wire.TransactionV2 }
	onTxns(t, 3, on, func(d *desk, p *producer) {
		resp := features(d)
		if len(resp.FinalizedFeatures) != 1 || resp.FinalizedFeatures[0].Name != "transaction.version" || resp.FinalizedFeatures[0].MaxVersionLevel != 2 || resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("features %+v", resp)
		}
		wants(t, "produce adds", p.produce(12, 0, "one"), nil)
		wants(t, "offsets add", d.commitOffsets(p.offsetsRequest(5, 3)), nil)
		late := *p
		end := p.end(5, true)
		if wants(t, "commit", end.ErrorCode, nil); end.ProducerID != p.id || end.ProducerEpoch != p.epoch+1 {
			t.Errorf("commit: %+v", end)
		}
		p.epoch, p.sequence = end.ProducerEpoch, 0
		p.complete("CompleteCommit")
		d.eventually("the offset", func() bool { at, code := d.offset(true); return at == 3 && code == 0 })
		wants(t, "late produce", late.produce(12, 0, "late"), kerr.InvalidProducerEpoch)
		if again := late.end(5, true); again.ErrorCode != 0 || again.ProducerEpoch != p.epoch {
			t.Errorf("commit again: %+v", again)
		}
		wants(t, "produce", p.produce(12, 0, "two"), nil)
		wants(t, "late abort", late.end(5, false).ErrorCode, kerr.ProducerFenced)
		wants(t, "commit", p.end(5, true).ErrorCode, nil)
		d.eventually("both", func() bool { values, _ := d.committed(0); return fmt.Sprint(values) == "[one two]" })
	})
}

// What administrators ask (KIP-664).
func TestDescribeTransactionsAtTheWire(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{"x", "", "elsewhere"}
		states := do[*kmsg.DescribeTransactionsResponse](d, describe).TransactionStates
		if s := states[0]; s.ErrorCode != 0 || s.State != "Ongoing" || s.ProducerID != p.id || s.ProducerEpoch != p.epoch || s.TimeoutMillis != 10000 || s.StartTimestamp <= 0 || len(s.Topics) != 1 {
			t.Errorf("%+v", s)
		}
		wants(t, "empty", states[1].ErrorCode, kerr.InvalidRequest)
		wants(t, "elsewhere", states[2].ErrorCode, kerr.NotCoordinator)

		list := kmsg.NewPtrListTransactionsRequest()
		count := func(change func(*kmsg.ListTransactionsRequest)) int {
			*list = kmsg.NewListTransactionsRequest()
			list.Version, list.DurationFilterMillis = 1, -1
			change(list)
			resp := do[*kmsg.ListTransactionsResponse](d, list)
			if wants(t, "list", resp.ErrorCode, nil); len(resp.UnknownStateFilters) > 0 {
				return -len(resp.UnknownStateFilters)
			}
			return len(resp.TransactionStates)
		}
		for want, change := range map[string]func(*kmsg.ListTransactionsRequest){
			"1 all":       func(*kmsg.ListTransactionsRequest) {},
			"1 ongoing":   func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing"} },
			"0 empty":     func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Empty"} },
			"-1 unknown":  func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Sleeping"} },
			"0 producer":  func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{p.id + 1} },
			"1 producer":  func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{p.id} },
			"0 long":      func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 3600000 },
			"1 version 0": func(r *kmsg.ListTransactionsRequest) { r.Version = 0 },
		} {
			var n int
			fmt.Sscan(want, &n)
			if got := count(change); got != n {
				t.Errorf("%s: %d", want, got)
			}
		}

		producers := kmsg.NewPtrDescribeProducersRequest()
		for _, topic := range []string{"t", "nowhere", "bad/name"} {
			in := kmsg.NewDescribeProducersRequestTopic()
			in.Topic, in.Partitions = topic, []int32{0}
			producers.Topics = append(producers.Topics, in)
		}
		topics := do[*kmsg.DescribeProducersResponse](d, producers).Topics
		if a := topics[0].Partitions[0].ActiveProducers; len(a) != 1 || a[0].ProducerID != p.id || a[0].CurrentTxnStartOffset != 0 || a[0].LastSequence != 0 || a[0].CoordinatorEpoch != -1 {
			t.Errorf("%+v", a)
		}
		wants(t, "nowhere", topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		wants(t, "bad name", topics[2].Partitions[0].ErrorCode, kerr.InvalidTopicException)
	})
}
