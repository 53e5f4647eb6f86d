package api_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/group"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/record"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (d *desk) realPartition(tp wire.TopicPartition) (*partition.Partition, error) {
	if p := d.real[tp]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("partition %s: %w", tp, kerr.UnknownTopicOrPartition)
}

// groupPartition is what the group coordinator loads.
func (d *desk) groupPartition(tp wire.TopicPartition) (*partition.Partition, error) {
	if d.unreadable {
		return nil, fmt.Errorf("partition %s: %w", tp, kerr.KafkaStorageError)
	}
	return d.realPartition(tp)
}

// txnPartition is what the transaction coordinator loads.
func (d *desk) txnPartition(tp wire.TopicPartition) (*partition.Partition, error) {
	if d.unloadable {
		return nil, fmt.Errorf("partition %s: %w", tp, kerr.KafkaStorageError)
	}
	return d.realPartition(tp)
}

// sendToBroker is txn.Options.Send: this broker is the only one there is.
func (d *desk) sendToBroker(_ int32, req kmsg.Request, timeout time.Duration, done func(kmsg.Response, error)) {
	if d.lost {
		done(nil, env.ErrRefused)
		return
	}
	if d.intercept != nil {
		if resp := d.intercept(req); resp != nil {
			done(resp, nil)
			return
		}
	}
	conn, err := client.Dial(d.e, d.server.Addr(), client.ConnOptions{})
	if err != nil {
		done(nil, err)
		return
	}
	conn.Send(req, timeout, func(resp kmsg.Response, err error) {
		done(resp, err)
		conn.Close()
	})
}

// addReal makes a topic of real partitions which this broker leads in epoch 5, its only replica.
func (d *desk) addReal(topic string, id byte, numbers ...int32) {
	state := kmsg.NewUpdateMetadataRequestTopicState()
	state.Topic, state.TopicID = topic, topicID(id)
	for _, n := range numbers {
		tp := wire.TopicPartition{Topic: topic, Partition: n}
		dir := "/real"
		if err := d.e.MkdirAll(dir); err != nil {
			d.t.Fatal(err)
		}
		l, _, err := log.Open(d.e, log.Options{Dir: dir, TP: tp, TopicID: topicID(id), Config: config.DefaultTopic(), CleanShutdown: true, Bugs: d.cfg.Bugs})
		if err != nil {
			d.t.Fatal(err)
		}
		p := partition.New(partition.Options{Env: d.e, TP: tp, Log: l, Bugs: d.cfg.Bugs, BrokerID: 1, BrokerEpoch: func() int64 { return 7 }, Alive: func(int32) bool { return true },
			ReplicaLagTimeMax: time.Second, MinInsyncReplicas: 1, Notify: d.purgatory.Notify, RequestAlter: func(wire.TopicPartition) {}})
		if err := p.BecomeLeader(partition.Assignment{Leader: 1, LeaderEpoch: 5, ControllerEpoch: 1, Replicas: []int32{1}, ISR: []int32{1}}); err != nil {
			d.t.Fatal(err)
		}
		d.real[tp] = p
		s := kmsg.NewUpdateMetadataRequestTopicPartition()
		s.Partition, s.Leader, s.LeaderEpoch, s.Replicas, s.ISR = n, 1, 5, []int32{1}, []int32{1}
		state.PartitionStates = append(state.PartitionStates, s)
	}
	d.tellCluster(state)
}

// producer is a transactional producer that speaks requests.
type producer struct {
	d        *desk
	txn      string
	id       int64
	epoch    int16
	sequence int32
}

// onTxns runs main with a coordinator of the transactional id "x" and of the group "g", the topic t with partitions 0 and 1, and a
// producer that has its id.
func onTxns(t *testing.T, seeds uint64, configure func(*config.Broker), main func(d *desk, p *producer)) {
	t.Helper()
	onDesk(t, seeds, func(d *desk) {
		if configure != nil {
			configure(d.cfg)
		}
		d.real = map[wire.TopicPartition]*partition.Partition{}
		d.txns.Start()
		d.groups.Start()
		var all []int32
		for n := range int32(50) { // the others have no log: nobody asks
			all = append(all, n)
		}
		d.addReal(txn.Topic, 8, all...)
		d.addReal(group.Topic, 9, coordinator.PartitionFor("g", 50))
		d.addReal("t", 1, 0, 1)
		d.txns.Elected(coordinator.PartitionFor("x", 50), 5)
		d.groups.Elected(coordinator.PartitionFor("g", 50), 5)
		p := &producer{d: d, txn: "x"}
		d.eventually("an id", func() bool { return p.init() == 0 })
		main(d, p)
	})
}

// eventually asks again and again.
func (d *desk) eventually(what string, ok func() bool) {
	d.t.Helper()
	for range 200 {
		if ok() {
			return
		}
		d.e.Sleep(20 * time.Millisecond)
	}
	d.t.Errorf("waited in vain for %s", what)
}

func (p *producer) initRequest(version int16) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = version, &p.txn, 10000
	return req
}

func (p *producer) init() int16 {
	resp := do[*kmsg.InitProducerIDResponse](p.d, p.initRequest(5))
	if resp.ErrorCode == 0 {
		p.id, p.epoch, p.sequence = resp.ProducerID, resp.ProducerEpoch, 0
	}
	return resp.ErrorCode
}

func (p *producer) add(version int16, topic string, numbers ...int32) (codes []int16) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, p.txn, p.id, p.epoch
	in := kmsg.NewAddPartitionsToTxnRequestTopic()
	in.Topic, in.Partitions = topic, numbers
	req.Topics = append(req.Topics, in)
	for _, topic := range do[*kmsg.AddPartitionsToTxnResponse](p.d, req).Topics {
		for _, out := range topic.Partitions {
			codes = append(codes, out.ErrorCode)
		}
	}
	return codes
}

// verify asks as a leader does.
// addTopics adds partition 0 of each topic with one request.
func (p *producer) addTopics(version int16, topics ...string) (codes []int16) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, p.txn, p.id, p.epoch
	for _, topic := range topics {
		in := kmsg.NewAddPartitionsToTxnRequestTopic()
		in.Topic, in.Partitions = topic, []int32{0}
		req.Topics = append(req.Topics, in)
	}
	for _, topic := range do[*kmsg.AddPartitionsToTxnResponse](p.d, req).Topics {
		for _, p := range topic.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	return codes
}

func (p *producer) verify(version int16, only bool, topic string, number int32) int16 {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = version
	in := kmsg.NewAddPartitionsToTxnRequestTransaction()
	in.TransactionalID, in.ProducerID, in.ProducerEpoch, in.VerifyOnly = p.txn, p.id, p.epoch, only
	tt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
	tt.Topic, tt.Partitions = topic, []int32{number}
	in.Topics = append(in.Topics, tt)
	req.Transactions = append(req.Transactions, in)
	return do[*kmsg.AddPartitionsToTxnResponse](p.d, req).Transactions[0].Topics[0].Partitions[0].ErrorCode
}

func (p *producer) records(value string) []byte {
	var b record.Builder
	b.Append(p.d.e.Now().UnixMilli(), nil, []byte(value))
	o := record.NewBatchOptions()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = p.id, p.epoch, p.sequence, true
	out, err := b.Build(nil, o)
	if err != nil {
		p.d.t.Fatal(err)
	}
	return out
}

func (p *producer) produce(version int16, number int32, value string) int16 {
	req := produce(version, -1, "t", number, p.records(value))
	req.TransactionID = &p.txn
	out := only(do[*kmsg.ProduceResponse](p.d, req))
	if out.ErrorCode == 0 {
		p.sequence++ // of the one partition that the test writes to
	}
	return out.ErrorCode
}

func (p *producer) end(version int16, commit bool) *kmsg.EndTxnResponse {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, p.txn, p.id, p.epoch, commit
	return do[*kmsg.EndTxnResponse](p.d, req)
}

func (p *producer) state() string {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{p.txn}
	return do[*kmsg.DescribeTransactionsResponse](p.d, req).TransactionStates[0].State
}

func (p *producer) complete(want string) {
	p.d.t.Helper()
	p.d.eventually(want, func() bool { return p.state() == want })
}

// committed reads t-n with read_committed: the values, without those that the answer says were aborted, and the last stable offset.
func (d *desk) committed(number int32) (values []string, stable int64) {
	req := fetch(11, "t", topicID(1), make([]int64, number+1)...)
	req.IsolationLevel, req.MaxWaitMillis = 1, 0
	out := do[*kmsg.FetchResponse](d, req).Topics[0].Partitions[number]
	aborted := out.AbortedTransactions
	gone := map[int64]bool{}
	for rest := out.RecordBatches; len(rest) > 0; {
		b, more, err := record.Next(rest)
		if err != nil {
			d.t.Fatal(err)
		}
		rest = more
		for len(aborted) > 0 && aborted[0].FirstOffset <= b.BaseOffset() {
			gone[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if b.IsControl() {
			delete(gone, b.ProducerID())
			continue
		}
		if b.IsTransactional() && gone[b.ProducerID()] {
			continue
		}
		for it := record.NewIterator(b, 0); it.Next(); {
			values = append(values, string(it.Record().Value))
		}
	}
	return values, out.LastStableOffset
}

func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}

func wants(t *testing.T, what string, got int16, want *kerr.Error) {
	t.Helper()
	if got != code(want) {
		t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(got), want)
	}
}

// sameHome is another transactional id that lives in the same partition.
func sameHome(id string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("unknown", i); coordinator.PartitionFor(other, 50) == coordinator.PartitionFor(id, 50) {
			return other
		}
	}
}
