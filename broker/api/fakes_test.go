package api_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/api"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/group"
	"barnabas/broker/log"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/quota"
	"barnabas/broker/record"
	"barnabas/broker/replica"
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// desk is the handlers behind a real server, on fakes for what is below them, with one client connection.
type desk struct {
	t          *testing.T
	e          env.Env
	cfg        *config.Broker
	cache      *metadata.Cache
	purgatory  *purgatory.Purgatory[wire.TopicPartition]
	partitions map[wire.TopicPartition]*fakePartition
	real       map[wire.TopicPartition]*partition.Partition // those that are no fakes (txn_test.go)
	lost       bool                                         // nobody is reached
	intercept  func(kmsg.Request) kmsg.Response             // answers in a broker's stead, unless nil or with nil
	unreadable bool                                         // __consumer_offsets cannot be read: its load does not end
	unloadable bool                                         // nor can __transaction_state
	takenOver  wire.TopicPartition                          // this one is led from its second use on
	controller *fakeController
	quotas     *quota.Clients
	throttle   *quota.Replication
	groups     *group.Coordinator
	txns       *txn.Coordinator
	moves      func([]replica.Move) []error
	overrides  map[string]string
	configs    fakeConfigs
	server     *server.Server
	conn       env.Conn
	next       int32
}

// onDesk runs main in several worlds.
func onDesk(t *testing.T, seeds uint64, main func(d *desk)) {
	t.Helper()
	for seed := range seeds {
		cluster.Test(t, seed, func(e env.Env) {
			d := newDesk(t, e)
			main(d)
			d.close()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func newDesk(t *testing.T, e env.Env) *desk {
	cfg, _, err := config.Load("test", []byte("broker.id=1\nlisteners=PLAINTEXT://b1:9092\nzookeeper.connect=z:2181\nmessage.max.bytes=2000000\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, e: e, cfg: cfg, cache: metadata.New(e), partitions: map[wire.TopicPartition]*fakePartition{},
		controller: &fakeController{}, overrides: map[string]string{}, configs: fakeConfigs{}}
	d.quotas, d.throttle = quota.NewClients(e, quota.DefaultWindows, quota.DefaultWindows), quota.NewReplication(e, quota.DefaultWindows)
	d.purgatory = purgatory.New[wire.TopicPartition](e, "purgatory")
	d.groups = group.NewCoordinator(group.Options{Env: e, Config: cfg, Purgatory: d.purgatory, Partition: d.groupPartition, Partitions: func() int32 { return 50 }})
	d.txns = txn.NewCoordinator(txn.Options{Env: e, Config: cfg, Purgatory: d.purgatory, Metadata: d.cache, Partition: d.txnPartition, BrokerEpoch: func() int64 { return 7 },
		AllocateProducerIDs: func(req *kmsg.AllocateProducerIDsRequest, _ time.Duration) (*kmsg.AllocateProducerIDsResponse, error) {
			if d.controller.Active() {
				return d.controller.AllocateProducerIDs(req), nil
			}
			resp, err := d.controller.remote(e, req)
			if err != nil {
				return nil, err
			}
			return resp.(*kmsg.AllocateProducerIDsResponse), nil
		},
		Send: d.sendToBroker})
	d.startAPI()
	d.conn = d.dial()
	d.tellCluster()
	return d
}

// startAPI serves d.cfg.
func (d *desk) startAPI() {
	a := api.New(api.Deps{Env: d.e, Config: d.cfg, ClusterID: "castle", Listener: "PLAINTEXT", Replicas: d, Metadata: d.cache,
		Controller: d.controller, Groups: d.groups, Txns: d.txns, Purgatory: d.purgatory, BrokerEpoch: func() int64 { return 7 },
		ToController: func(req kmsg.Request, _ time.Duration) (kmsg.Response, error) { return d.controller.remote(d.e, req) },
		TopicConfig:  func(string) (map[string]string, error) { return d.overrides, nil }, Configs: d.configs,
		Quotas: d.quotas, LeaderThrottle: d.throttle,
	})
	var err error
	if d.server, err = server.Listen(server.Options{Env: d.e, Addr: "b1:0", Handle: a.Handle, FrameBytesMax: 4 << 20, InFlightMax: 10}); err != nil {
		d.t.Fatal(err)
	}
	d.server.Start()
}

// restartAPI serves a d.cfg that has changed.
func (d *desk) restartAPI() {
	d.server.Close(time.Second)
	d.startAPI()
	d.conn = d.dial()
}

func (d *desk) close() {
	d.txns.Stop()
	d.groups.Stop()
	d.server.Close(time.Second)
	if n := d.purgatory.Waiting(); n != 0 {
		d.t.Errorf("%d waiters left", n)
	}
	for tp, p := range d.partitions {
		if p.slicesOut != 0 {
			d.t.Errorf("%s: %d slices not given back", tp, p.slicesOut)
		}
	}
	d.purgatory.Close()
}

func (d *desk) dial() env.Conn {
	c, err := d.e.Dial(d.server.Addr(), time.Second)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// send sends a request and returns its correlation id.
func (d *desk) send(req kmsg.Request) int32 {
	d.next++
	if _, err := d.conn.Write(wire.AppendRequest(nil, "test", d.next, req)); err != nil {
		d.t.Fatal(err)
	}
	return d.next
}

// receive reads the answer to req, which must be the next on the connection.
func (d *desk) receive(req kmsg.Request, correlation int32) kmsg.Response {
	frame, err := wire.ReadFrame(d.conn, 1<<24, nil)
	if err != nil {
		d.t.Fatalf("%T: %v", req, err)
	}
	got, resp, err := wire.ParseResponse(frame, req)
	if err != nil || got != correlation {
		d.t.Fatalf("%T: correlation %d, want %d: %v", req, got, correlation, err)
	}
	return resp
}

// do sends req and waits for its answer.
func do[R kmsg.Response](d *desk, req kmsg.Request) R {
	return d.receive(req, d.send(req)).(R)
}

// closed checks that the server closes the connection without another answer.
func (d *desk) closed() {
	if n, err := d.conn.Read(make([]byte, 1)); err == nil {
		d.t.Errorf("%d bytes where the connection should be closed", n)
	}
}

// tellCluster lets brokers 1 and 2 live, and the partitions that are there be known.
func (d *desk) tellCluster(states ...kmsg.UpdateMetadataRequestTopicState) {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.TopicStates = 8, 1, 1, states
	for id := range int32(2) {
		b := kmsg.NewUpdateMetadataRequestLiveBroker()
		b.ID = id + 1
		ep := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
		ep.Host, ep.Port, ep.ListenerName = fmt.Sprintf("b%d", id+1), 9092, "PLAINTEXT"
		b.Endpoints = append(b.Endpoints, ep)
		req.LiveBrokers = append(req.LiveBrokers, b)
	}
	if _, err := d.cache.Update(req); err != nil {
		d.t.Fatal(err)
	}
}

// topicID is the id of the n-th topic of a test.
func topicID(n byte) [16]byte { return [16]byte{n} }

// addTopic makes a topic with this broker as the leader of all its partitions, in epoch 5.
func (d *desk) addTopic(name string, id [16]byte, count int32) {
	state := kmsg.NewUpdateMetadataRequestTopicState()
	state.Topic, state.TopicID = name, id
	for n := range count {
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = n, 1, 5, []int32{1, 2}, []int32{1, 2}
		state.PartitionStates = append(state.PartitionStates, p)
		tp := wire.TopicPartition{Topic: name, Partition: n}
		file, err := d.e.Open(fmt.Sprintf("/%s", tp), env.CreateNew)
		if err != nil {
			d.t.Fatal(err)
		}
		d.partitions[tp] = &fakePartition{tp: tp, id: id, file: file, leader: 1, epoch: 5, notify: func() { d.purgatory.Notify(tp) }}
	}
	d.tellCluster(state)
}

func (d *desk) at(topic string, partition int32) *fakePartition {
	return d.partitions[wire.TopicPartition{Topic: topic, Partition: partition}]
}

// Partition is api.Replicas.
func (d *desk) Partition(tp wire.TopicPartition) (api.Partition, error) {
	if tp == d.takenOver {
		d.takenOver = wire.TopicPartition{}
		return nil, fmt.Errorf("partition %s: %w", tp, kerr.NotLeaderForPartition)
	}
	if p := d.real[tp]; p != nil {
		return p, nil
	}
	if p := d.partitions[tp]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("partition %s: %w", tp, kerr.UnknownTopicOrPartition)
}

func (d *desk) BecomeLeaderOrFollower(req *kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRResponse {
	resp := kmsg.NewPtrLeaderAndISRResponse()
	resp.ErrorCode = int16(req.ControllerID)
	return resp
}

func (d *desk) StopReplicas(req *kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse {
	resp := kmsg.NewPtrStopReplicaResponse()
	resp.ErrorCode = int16(req.ControllerID)
	return resp
}

func (d *desk) UpdateMetadata(req *kmsg.UpdateMetadataRequest) *kmsg.UpdateMetadataResponse {
	resp := kmsg.NewPtrUpdateMetadataResponse()
	resp.ErrorCode = int16(req.ControllerID)
	return resp
}

// fakePartition is a partition whose high watermark the test moves.
type fakePartition struct {
	tp        wire.TopicPartition
	id        [16]byte
	file      env.File
	batches   []fakeBatch
	size, end int64
	hw        int64
	leader    int32
	epoch     int32
	err       error // of everything
	notify    func()
	recorded  []int64 // offsets that replicas were recorded at
	asked     int     // how often Available was
	slicesOut int

	followerStart int64

	inSync   bool
	replicas []partition.ReadReplica // that consumers may be sent to, the leader first
}

type fakeBatch struct{ base, last, pos, size int64 }

func (p *fakePartition) TopicID() [16]byte { return p.id }
func (p *fakePartition) InSync(int32) bool { return p.inSync }

func (p *fakePartition) ReadReplicas(offset int64) (list []partition.ReadReplica) {
	for _, r := range p.replicas {
		if r.LogEndOffset >= offset {
			list = append(list, r)
		}
	}
	return list
}
func (p *fakePartition) Leader() (int32, int32) { return p.leader, p.epoch }
func (p *fakePartition) setHW(hw int64)         { p.hw = hw; p.notify() }
func (p *fakePartition) fail(err error)         { p.err = err; p.notify() }

func (p *fakePartition) AppendAsLeader(batches []byte, o partition.AppendOptions) (partition.AppendResult, error) {
	if p.err != nil {
		return partition.AppendResult{}, p.err
	}
	b, _, err := record.Next(batches)
	if err != nil {
		return partition.AppendResult{}, err
	}
	b.SetBaseOffset(p.end)
	base := p.end
	if _, err := p.file.WriteAt(b, p.size); err != nil {
		return partition.AppendResult{}, err
	}
	p.batches = append(p.batches, fakeBatch{base, b.LastOffset(), p.size, int64(len(b))})
	p.size, p.end = p.size+int64(len(b)), b.LastOffset()+1
	p.notify()
	return partition.AppendResult{BaseOffset: base, LastOffset: p.end - 1, LogAppendTime: -1, LeaderEpoch: p.epoch, RequiredOffset: p.end}, nil
}

func (p *fakePartition) Replicated(required int64, epoch int32) (bool, error) {
	if p.err != nil {
		return true, p.err
	}
	return p.hw >= required, nil
}

func (p *fakePartition) Read(o partition.ReadOptions) (partition.ReadResult, error) {
	if p.err != nil {
		return partition.ReadResult{}, p.err
	}
	if o.ReplicaID >= 0 && !o.Again {
		p.recorded = append(p.recorded, o.Offset)
	}
	res := partition.ReadResult{HighWatermark: p.hw, LastStableOffset: p.hw, LogEndOffset: p.end, LeaderEpoch: p.epoch}
	if o.LastFetchedEpoch > p.epoch {
		res.Diverging = &partition.EpochEnd{Epoch: p.epoch, EndOffset: p.end}
		return res, nil
	}
	if o.Offset > p.end {
		return res, kerr.OffsetOutOfRange
	}
	upper := p.hw
	if o.ReplicaID >= 0 {
		upper = p.end
	}
	for _, b := range p.batches {
		size := int64(res.Slice.Len) + b.size
		if b.last < o.Offset {
			continue
		}
		if b.last >= upper || size > int64(o.MaxBytes) && !(o.MinOne && res.Slice.Len == 0) {
			break
		}
		if res.Slice.Len == 0 {
			p.slicesOut++
			res.Slice = wire.Slice{File: p.file, Pos: b.pos, Release: func() { p.slicesOut-- }}
		}
		res.Slice.Len = int32(size)
	}
	return res, nil
}

func (p *fakePartition) Available(o partition.ReadOptions, wanted int64) (int64, bool) {
	if p.asked++; wanted <= 1 && p.err == nil && o.Offset < p.hw {
		return 1, false
	}
	res, err := p.Read(o)
	res.Slice.Done()
	return int64(res.Slice.Len), err != nil || res.Diverging != nil
}

func (p *fakePartition) BeginVerification(int64, int16, int32) (*log.Guard, error) { return nil, p.err }
func (p *fakePartition) ActiveProducers() ([]log.ActiveProducer, error)            { return nil, p.err }

func (p *fakePartition) OffsetForLeaderEpoch(current, epoch int32) (partition.EpochEnd, error) {
	if current > p.epoch {
		return partition.EpochEnd{Epoch: -1, EndOffset: -1}, kerr.UnknownLeaderEpoch
	}
	return partition.EpochEnd{Epoch: min(epoch, p.epoch), EndOffset: p.end}, p.err
}

func (p *fakePartition) ListOffset(o partition.ListOptions) (partition.ListResult, error) {
	res := partition.ListResult{Offset: p.hw, Timestamp: -1, LeaderEpoch: p.epoch}
	if o.Replica {
		res.Offset = p.end
	}
	if o.Timestamp == partition.TimestampEarliest {
		res.Offset = 0
	}
	return res, p.err
}

// tellRacks says in which rack each broker stands.
func (d *desk) tellRacks(racks ...string) {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version, req.ControllerID, req.ControllerEpoch = 8, 1, 1
	for i := range racks {
		b := kmsg.NewUpdateMetadataRequestLiveBroker()
		b.ID, b.Rack = int32(i+1), &racks[i]
		ep := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
		ep.Host, ep.Port, ep.ListenerName = fmt.Sprintf("b%d", i+1), 9092, "PLAINTEXT"
		b.Endpoints = append(b.Endpoints, ep)
		req.LiveBrokers = append(req.LiveBrokers, b)
	}
	if _, err := d.cache.Update(req); err != nil {
		d.t.Fatal(err)
	}
}
