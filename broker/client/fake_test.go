package client_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

// act is what a fake broker does with one request, in place of handling it as it should.
type act struct {
	code    int16 // answer with this code, and do nothing
	applied bool  // … after doing it
	mute    bool  // never answer
	hangUp  bool  // close the connection in place of answering
	late    time.Duration
	ghost   time.Duration // hang up, and do it so much later all the same
}

// fakes is a cluster of brokers that do what a test's script says. They keep logs and producer state, as brokers do.
type fakes struct {
	e       env.Env
	mu      env.Mutex // guards all below, and holds while a request is handled
	brokers []*fake
	leaders map[wire.TopicPartition]client.Leader
	logs    map[wire.TopicPartition]*fakeLog
	// script tells what to do with a request; nil for nothing special.
	script   func(b *fake, req kmsg.Request) *act
	requests map[string]int // by "Produce@1"
	parts    int32
	// versionMax lowers what ApiVersions tells; 0 for not.
	versionMax int16
	ctrl       int32
	txns       *fakeTxns  // nil: nobody coordinates transactions
	group      *fakeGroup // nil: nobody coordinates groups
}

type fake struct {
	f    *fakes
	id   int32
	addr string // host:port as bound
	l    env.Listener
}

// fakeLog is a partition's log: batches as they came, with offsets.
type fakeLog struct {
	batches []record.Batch
	end     int64
	start   int64
	seen    map[int64]producerState
	epochs  []int64         // start offset by leader epoch
	open    map[int64]int64 // first offset of the open transaction, by producer id
	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
}

type producerState struct {
	epoch int16
	next  int32
	bases map[int32]int64 // base sequence → offset
}

// startFakes starts n brokers with ids from 1, topic "t" with one partition led by broker 1.
func startFakes(e env.Env, n int) *fakes {
	return startFakesAt(e, n, func(id int32) string { return fmt.Sprintf("b1:%d", 9091+id) })
}

func startFakesAt(e env.Env, n int, addr func(id int32) string) *fakes {
	f := &fakes{e: e, mu: e.NewMutex(), leaders: map[wire.TopicPartition]client.Leader{}, logs: map[wire.TopicPartition]*fakeLog{},
		requests: map[string]int{}, parts: 1, ctrl: 1}
	for id := int32(1); id <= int32(n); id++ {
		b := &fake{f: f, id: id, addr: addr(id)}
		f.brokers = append(f.brokers, b)
		b.listen()
	}
	f.lead("t", 0, 1)
	return f
}

func (b *fake) listen() {
	l, err := b.f.e.Listen(b.addr)
	if err != nil {
		panic(err)
	}
	b.l, b.addr = l, l.Addr()
	b.f.e.Go("fake-accept", func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.f.e.Go("fake-conn", func() { b.serve(c) })
		}
	})
}

// lead makes a broker the leader of a partition, in a new epoch.
func (f *fakes) lead(topic string, partition, broker int32) {
	tp := wire.TopicPartition{Topic: topic, Partition: partition}
	if f.logs[tp] == nil {
		f.logs[tp] = &fakeLog{seen: map[int64]producerState{}, open: map[int64]int64{}}
	}
	epoch := int32(len(f.logs[tp].epochs))
	f.leaders[tp] = client.Leader{Broker: broker, Epoch: epoch}
	f.logs[tp].epochs = append(f.logs[tp].epochs, f.logs[tp].end)
}

func (f *fakes) log(partition int32) *fakeLog {
	return f.logs[wire.TopicPartition{Topic: "t", Partition: partition}]
}

// values are the values of all records of a partition of "t", as text.
func (f *fakes) values(partition int32) string {
	var out []string
	for _, b := range f.log(partition).batches {
		it := record.NewIterator(b, math.MaxInt32)
		for it.Next() {
			out = append(out, string(it.Record().Value))
		}
	}
	return strings.Join(out, " ")
}

func (b *fake) serve(c env.Conn) {
	defer c.Close()
	for {
		frame, err := wire.ReadFrame(c, wire.MaxFrame, nil)
		if err != nil {
			return
		}
		head, req, err := parseAny(frame)
		if err != nil {
			return
		}
		resp, a, wait := b.handle(head.Key, req)
		if a.ghost > 0 {
			return
		}
		b.f.e.Sleep(a.late + wait)
		switch p, ok := req.(*kmsg.ProduceRequest); {
		case a.hangUp:
			return
		case a.mute || ok && p.Acks == 0:
			continue
		}
		resp.SetVersion(head.Version)
		if _, err := c.Write(wire.AppendResponse(nil, head.Correlation, resp)); err != nil {
			return
		}
	}
}

// parseAny parses requests that the fakes understand and our brokers may not: whatever the client sends.
func parseAny(frame []byte) (wire.Header, kmsg.Request, error) {
	if len(frame) < 10 {
		return wire.Header{}, nil, wire.ErrMalformed
	}
	head := wire.Header{Key: int16(binary.BigEndian.Uint16(frame)), Version: int16(binary.BigEndian.Uint16(frame[2:])), Correlation: int32(binary.BigEndian.Uint32(frame[4:]))}
	req := kmsg.RequestForKey(head.Key)
	if req == nil {
		return head, nil, wire.ErrMalformed
	}
	req.SetVersion(head.Version)
	body := frame[10+int(binary.BigEndian.Uint16(frame[8:])):]
	if req.IsFlexible() {
		body = body[1:] // no tags
	}
	return head, req, req.ReadFrom(body)
}

// handle does what the script says, and tells how long the answer has to wait.
func (b *fake) handle(key int16, req kmsg.Request) (resp kmsg.Response, a act, wait time.Duration) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	b.f.requests[kmsg.NameForKey(key)+"@"+strconv.Itoa(int(b.id))]++
	if b.f.script != nil {
		if said := b.f.script(b, req); said != nil {
			a = *said
		}
	}
	if a.ghost > 0 {
		b.f.e.Go("ghost", func() {
			b.f.e.Sleep(a.ghost)
			b.f.mu.Lock()
			defer b.f.mu.Unlock()
			b.answer(req, act{})
		})
		return nil, a, 0
	}
	resp = b.answer(req, a)
	if f, ok := req.(*kmsg.FetchRequest); ok && isEmpty(resp.(*kmsg.FetchResponse)) {
		wait = time.Duration(f.MaxWaitMillis) * time.Millisecond
	}
	return resp, a, wait
}

func isEmpty(resp *kmsg.FetchResponse) bool {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || len(p.RecordBatches) > 0 {
				return false
			}
		}
	}
	return true
}

func (b *fake) answer(req kmsg.Request, a act) kmsg.Response {
	do := a.applied || a.code == 0 && !a.mute && !a.hangUp
	if resp := b.answerTxn(req, a, do); resp != nil {
		return resp
	}
	if b.f.group != nil {
		if resp := b.f.group.answer(req); resp != nil {
			return resp
		}
	}
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		return b.metadata(r)
	case *kmsg.ProduceRequest:
		return b.produce(r, a, do)
	case *kmsg.FetchRequest:
		return b.fetch(r, a)
	case *kmsg.ApiVersionsRequest:
		resp := r.ResponseKind().(*kmsg.ApiVersionsResponse)
		resp.ApiKeys = wire.Served(0)
		for i := range resp.ApiKeys {
			if k := &resp.ApiKeys[i]; b.f.versionMax > 0 {
				k.MaxVersion = min(k.MaxVersion, b.f.versionMax)
			}
		}
		if s := b.f.txns; s != nil {
			feature := kmsg.NewApiVersionsResponseFinalizedFeature()
			feature.Name, feature.MaxVersionLevel = "transaction.version", s.version
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, feature)
			for i := range resp.ApiKeys {
				switch k := &resp.ApiKeys[i]; kmsg.Key(k.ApiKey) {
				case kmsg.Produce:
					k.MaxVersion = 12
				case kmsg.EndTxn:
					k.MaxVersion = 5
				}
			}
		}
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode, resp.ProducerID = a.code, 77
		return resp
	case *kmsg.ListOffsetsRequest:
		return b.listOffsets(r, a)
	case *kmsg.OffsetForLeaderEpochRequest:
		return b.epochEnd(r, a)
	case *kmsg.CreateTopicsRequest:
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, t := range r.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic, rt.ErrorCode = t.Topic, a.code
			if b.id != b.f.ctrl {
				rt.ErrorCode = kerr.NotController.Code
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	return req.ResponseKind()
}

func (b *fake) metadata(r *kmsg.MetadataRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID = b.f.ctrl
	for _, x := range b.f.brokers {
		mb := kmsg.NewMetadataResponseBroker()
		host, port, _ := strings.Cut(x.addr, ":")
		n, _ := strconv.Atoi(port)
		mb.NodeID, mb.Host, mb.Port = x.id, host, int32(n)
		resp.Brokers = append(resp.Brokers, mb)
	}
	for _, t := range r.Topics {
		mt := kmsg.NewMetadataResponseTopic()
		mt.Topic = t.Topic
		if *t.Topic != "t" {
			mt.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
		for p := range b.f.parts {
			l, ok := b.f.leaders[wire.TopicPartition{Topic: *t.Topic, Partition: p}]
			if !ok {
				continue
			}
			mp := kmsg.NewMetadataResponseTopicPartition()
			mp.Partition, mp.Leader, mp.LeaderEpoch = p, l.Broker, l.Epoch
			mt.Partitions = append(mt.Partitions, mp)
		}
		resp.Topics = append(resp.Topics, mt)
	}
	return resp
}

func (b *fake) produce(r *kmsg.ProduceRequest, a act, do bool) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.BaseOffset, rp.LogAppendTime, rp.ErrorCode = p.Partition, -1, -1, a.code
			tp := wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if b.f.leaders[tp].Broker != b.id {
				rp.ErrorCode = kerr.NotLeaderForPartition.Code
			} else if do {
				base, code := b.f.append(r, tp, p.Records)
				if a.code == 0 {
					rp.BaseOffset, rp.ErrorCode = base, code
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// append is what a leader does, the transaction first.
func (f *fakes) append(r *kmsg.ProduceRequest, tp wire.TopicPartition, data []byte) (base int64, code int16) {
	l := f.logs[tp]
	b, _, err := record.Next(append([]byte(nil), data...))
	if err == nil && b.IsTransactional() {
		if code := f.txns.admit(r, tp, b.ProducerID(), b.ProducerEpoch()); code != 0 {
			return -1, code
		}
		defer func() {
			if _, open := l.open[b.ProducerID()]; !open && code == 0 {
				l.open[b.ProducerID()] = base
			}
		}()
	}
	return l.append(data, f.leaders[tp].Epoch)
}

// append does what a leader does: check the sequence, assign offsets.
func (l *fakeLog) append(data []byte, epoch int32) (base int64, code int16) {
	b, _, err := record.Next(append([]byte(nil), data...))
	if err != nil || b.Check() != nil {
		return -1, kerr.CorruptMessage.Code
	}
	if b.HasProducerID() {
		s, known := l.seen[b.ProducerID()]
		if known && b.ProducerEpoch() < s.epoch {
			return -1, kerr.InvalidProducerEpoch.Code
		}
		if !known || b.ProducerEpoch() > s.epoch {
			if known && b.BaseSequence() != 0 {
				return -1, kerr.OutOfOrderSequenceNumber.Code
			}
			s = producerState{epoch: b.ProducerEpoch(), next: b.BaseSequence(), bases: map[int32]int64{}}
		}
		if was, dup := s.bases[b.BaseSequence()]; dup {
			return was, 0
		}
		if b.BaseSequence() != s.next {
			return -1, kerr.OutOfOrderSequenceNumber.Code
		}
		s.next = record.AddSequence(b.LastSequence(), 1)
		s.bases[b.BaseSequence()] = l.end
		l.seen[b.ProducerID()] = s
	}
	b.SetBaseOffset(l.end)
	b.SetLeaderEpoch(epoch)
	base = l.end
	l.end = b.NextOffset()
	l.batches = append(l.batches, b)
	return base, 0
}

func (b *fake) fetch(r *kmsg.FetchRequest, a act) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.FetchResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			tp := wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			l, leader := b.f.logs[tp], b.f.leaders[tp]
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, a.code
			switch {
			case a.code != 0:
			case leader.Broker != b.id:
				rp.ErrorCode = kerr.NotLeaderForPartition.Code
			case p.CurrentLeaderEpoch < leader.Epoch:
				rp.ErrorCode = kerr.FencedLeaderEpoch.Code
			case p.FetchOffset > l.end || p.FetchOffset < l.start:
				rp.ErrorCode = kerr.OffsetOutOfRange.Code
			default:
				rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = l.end, l.end, l.start
				bound := l.end
				if rp.LastStableOffset = l.lso(); r.IsolationLevel == 1 {
					bound = rp.LastStableOffset
					rp.AbortedTransactions = l.aborted
				}
				for _, batch := range l.batches {
					if batch.LastOffset() >= p.FetchOffset && batch.LastOffset() < bound {
						rp.RecordBatches = append(rp.RecordBatches, batch...)
					}
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (b *fake) listOffsets(r *kmsg.ListOffsetsRequest, a act) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			tp := wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, a.code
			if b.f.leaders[tp].Broker != b.id {
				rp.ErrorCode = kerr.NotLeaderForPartition.Code
			}
			rp.Offset = b.f.logs[tp].end
			if p.Timestamp == client.Earliest {
				rp.Offset = b.f.logs[tp].start
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (b *fake) epochEnd(r *kmsg.OffsetForLeaderEpochRequest, a act) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			l := b.f.logs[wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}]
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.LeaderEpoch, rp.EndOffset = p.Partition, a.code, p.LeaderEpoch, l.end
			if next := int(p.LeaderEpoch) + 1; next < len(l.epochs) {
				rp.EndOffset = l.epochs[next]
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// simulate runs body in a world of one node, under several seeds.
func simulate(t *testing.T, body func(t *testing.T, e env.Env)) {
	t.Helper()
	for seed := uint64(1); seed <= 20; seed++ {
		cluster.Test(t, seed, func(e env.Env) { body(t, e) })
	}
}

func newClient(e env.Env) *client.Client {
	return client.New(e, client.Options{Bootstrap: []string{"b1:9092"}, ClientID: "test",
		DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
}
