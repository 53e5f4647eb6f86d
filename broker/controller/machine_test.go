package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: the machine decides as Kafka's controller does, and says it in the right order. Method: scripts in testdata; each
// command tells the machine what happened, on a real store over a ZooKeeper in memory, and prints what it traced and sent.
func TestMachine(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *stage
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				s = newStage(t, d)
			}
			return s.run(t, d)
		})
	})
}

// stage is a machine with a ZooKeeper in memory.
type stage struct {
	tree    *storetest.Tree
	env     *storetest.Env
	config  *config.Broker
	machine *machine
	brokers map[int32]zookeeper.BrokerInfo
	epochs  int64
	ids     byte
	wrap    func(zookeeper.Session) zookeeper.Session // around the sessions of machines to come; may be nil
	stops   map[int32][]*kmsg.StopReplicaRequest      // sent with delete and not answered yet
	intact  map[int32]int64                           // since when each broker has its data, if it keeps account
}

func newStage(t *testing.T, d *datadriven.TestData) *stage {
	s := &stage{tree: storetest.NewTree(), env: &storetest.Env{}, config: config.Default(), brokers: map[int32]zookeeper.BrokerInfo{},
		stops: map[int32][]*kmsg.StopReplicaRequest{}, intact: map[int32]int64{}}
	s.config.BrokerID = 1
	s.config.EligibleLeaderReplicas = d.HasArg("elr")
	var bugs string
	d.MaybeScanArgs(t, "bug", &bugs)
	set, err := bug.Parse(bugs)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.config.Bugs = set
	for i, arg := range d.CmdArgs {
		if arg.Key == "brokers" {
			for _, id := range idsOf(d.CmdArgs[i].Vals) {
				s.register(id)
			}
		}
	}
	var racks []string
	for _, arg := range d.CmdArgs {
		if arg.Key == "racks" {
			racks = arg.Vals
		}
	}
	for i, id := range slices.Sorted(maps.Keys(s.brokers)) {
		if i < len(racks) {
			b := s.brokers[id]
			b.Rack = racks[i]
			s.brokers[id] = b
		}
	}
	store := zookeeper.NewStore(s.env, s.tree.Open(s.env), zookeeper.StoreOptions{})
	if err := store.EnsurePersistentPaths(); err != nil {
		t.Fatal(err)
	}
	s.failover(t)
	return s
}

func (s *stage) register(id int32) {
	s.epochs++
	b := zookeeper.BrokerInfo{ID: id, Version: 5, Epoch: s.epochs, Endpoints: []zookeeper.Endpoint{
		{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: fmt.Sprint("b", id), Port: 9092}}}
	if s.config.EligibleLeaderReplicas {
		if b.Intact = s.intact[id]; b.Intact == 0 {
			b.Intact, s.intact[id] = zookeeper.IntactSinceNow, s.epochs
		}
	}
	s.brokers[id] = b
}

// lose has brokers lose their data before they register again.
func (s *stage) lose(d *datadriven.TestData) {
	for _, arg := range d.CmdArgs {
		if arg.Key == "lost" {
			for _, id := range idsOf(arg.Vals) {
				delete(s.intact, id)
			}
		}
	}
}

func (s *stage) live() []zookeeper.BrokerInfo {
	var list []zookeeper.BrokerInfo
	for _, id := range slices.Sorted(maps.Keys(s.brokers)) {
		list = append(list, s.brokers[id])
	}
	return list
}

// failover makes a new machine, elected after the old one, and starts it with what stands in ZooKeeper.
func (s *stage) failover(t *testing.T) error {
	s.tree.Delete("/controller")
	var session zookeeper.Session = s.tree.Open(s.env)
	if s.wrap != nil {
		session = s.wrap(session)
	}
	store := zookeeper.NewStore(s.env, session, zookeeper.StoreOptions{Reigns: s.config.EligibleLeaderReplicas})
	fence, err := store.ElectController(1)
	if err != nil {
		t.Fatal(err)
	}
	s.machine = newMachine(fence, s.config, store, s.env.Emit, func() [16]byte { s.ids++; return [16]byte{s.ids} })
	s.stops = map[int32][]*kmsg.StopReplicaRequest{}
	l := loaded{brokers: s.live()}
	names, _ := store.Topics(false)
	if l.topics, err = store.TopicAssignments(names, false); err != nil {
		t.Fatal(err)
	}
	var tps []wire.TopicPartition
	for _, name := range names {
		for n := range int32(len(l.topics[name].Partitions)) {
			tps = append(tps, wire.TopicPartition{Topic: name, Partition: n})
		}
	}
	if l.states, err = store.PartitionStates(tps); err != nil {
		t.Fatal(err)
	}
	l.deletions, _ = store.TopicDeletions(false)
	return s.machine.startup(l)
}

func (s *stage) run(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	var err error
	s.lose(d)
	switch d.Cmd {
	case "cluster":
	case "create":
		err = s.create(t, d, &out)
	case "down":
		for _, id := range idsOfArgs(d) {
			delete(s.brokers, id)
			delete(s.stops, id)
		}
		err = s.machine.brokersChanged(s.live())
	case "up", "bounce":
		for _, id := range idsOfArgs(d) {
			s.register(id)
			delete(s.stops, id)
			if b := s.brokers[id]; d.HasArg("kafkas") {
				b.Intact = 0
				s.brokers[id] = b
			}
		}
		err = s.machine.brokersChanged(s.live())
	case "unseen-restart": // a new life that this controller has not seen
		for _, id := range idsOfArgs(d) {
			s.register(id)
		}
	case "unseen-session": // a new session of the same life
		for _, id := range idsOfArgs(d) {
			since := lifeOf(s.brokers[id])
			s.register(id)
			b := s.brokers[id]
			b.Since = since
			s.brokers[id] = b
		}
	case "shutdown":
		id := idsOfArgs(d)[0]
		req := kmsg.NewPtrControlledShutdownRequest()
		req.Version, req.BrokerID, req.BrokerEpoch = 3, id, s.brokers[id].Epoch
		d.MaybeScanArgs(t, "broker-epoch", &req.BrokerEpoch)
		var resp *kmsg.ControlledShutdownResponse
		if resp, err = s.machine.controlledShutdown(req); err == nil {
			fmt.Fprintf(&out, "answer %s remaining=%v\n", codeName(resp.ErrorCode), resp.PartitionsRemaining)
		}
	case "alter":
		err = s.alter(t, d, &out)
	case "delete":
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version = 6
		var resp *kmsg.DeleteTopicsResponse
		var wanted []kmsg.DeleteTopicsRequestTopic
		for _, arg := range d.CmdArgs {
			wanted = append(wanted, kmsg.DeleteTopicsRequestTopic{Topic: &arg.Key})
		}
		if resp, err = s.machine.deleteTopics(req, wanted); err == nil {
			for _, rt := range resp.Topics {
				fmt.Fprintf(&out, "answer %s %s\n", *rt.Topic, codeName(rt.ErrorCode))
			}
		}
	case "stopped":
		err = s.stopped(t, d)
	case "storage-error":
		err = s.storageError(t, d)
	case "expand":
		var name string
		var partitions int32
		d.ScanArgs(t, "topic", &name)
		d.ScanArgs(t, "partitions", &partitions)
		data, _, _ := s.tree.Get("/brokers/topics/" + name)
		a, _ := zookeeper.DecodeTopic(name, data)
		for n := int32(len(a.Partitions)); n < partitions; n++ {
			a.Partitions[n] = a.Partitions[0]
		}
		s.tree.Set("/brokers/topics/"+name, zookeeper.EncodeTopic(a))
		err = s.machine.topicsRead(map[string]zookeeper.TopicAssignment{name: a})
	case "partitions":
		err = s.partitions(t, d, &out)
	case "reassign":
		err = s.reassign(t, d, &out)
	case "reassign-znode":
		wanted := map[wire.TopicPartition][]int32{}
		for _, arg := range d.CmdArgs {
			wanted[tpOf(arg.Key)] = idsOf(arg.Vals)
		}
		s.tree.Set(zookeeper.PathReassignPartitions, zookeeper.EncodeReassignment(wanted))
		err = s.machine.reassignmentsAsked(wanted)
	case "reassignments":
		for _, rt := range s.machine.listReassignments(kmsg.NewPtrListPartitionReassignmentsRequest()).Topics {
			for _, p := range rt.Partitions {
				fmt.Fprintf(&out, "%s-%d replicas=%v adding=%v removing=%v\n", rt.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas)
			}
		}
	case "elect":
		err = s.elect(d, &out)
	case "balance":
		err = s.machine.balance()
	case "min-isr": // somebody changes the topic's min.insync.replicas, and the controller may hear of it
		name, n := d.CmdArgs[0].Key, d.CmdArgs[1].Key
		s.tree.Set("/config/topics/"+name, zookeeper.EncodeConfig(map[string]string{"min.insync.replicas": n}))
		if !d.HasArg("unheard") {
			s.machine.topicConfigChanged(name)
		}
	case "reign-of-kafka": // a controller of Kafka's, which writes nothing
		store := zookeeper.NewStore(s.env, s.tree.Open(s.env), zookeeper.StoreOptions{})
		s.tree.Delete("/controller")
		_, err = store.ElectController(9)
	case "unclean-allowed":
		name := d.CmdArgs[0].Key
		s.tree.Set("/config/topics/"+name, zookeeper.EncodeConfig(map[string]string{"unclean.leader.election.enable": "true"}))
		err = s.machine.uncleanAllowed(name)
	case "topic":
		data, _, _ := s.tree.Get("/brokers/topics/" + d.CmdArgs[0].Key)
		fmt.Fprintf(&out, "%s\n", data)
	case "meddle": // somebody else writes a partition's state
		tp := tpOf(d.CmdArgs[0].Key)
		data, stat, _ := s.tree.Get(zookeeper.PathPartitionState(tp))
		state, _ := zookeeper.DecodePartitionState(tp, data, stat.Version)
		state.ISR = idsOf(d.CmdArgs[1].Vals)
		s.tree.Set(zookeeper.PathPartitionState(tp), zookeeper.EncodePartitionState(state))
	case "failover":
		err = s.failover(t)
	case "usurp": // another controller is elected, and ours does not know
		store := zookeeper.NewStore(s.env, s.tree.Open(s.env), zookeeper.StoreOptions{})
		s.tree.Delete("/controller")
		_, err = store.ElectController(9)
	case "assignment-znode": // a reassignment that an earlier controller has begun
		tp := tpOf(d.CmdArgs[0].Key)
		data, _, _ := s.tree.Get(zookeeper.PathTopic(tp.Topic))
		a, _ := zookeeper.DecodeTopic(tp.Topic, data)
		var next zookeeper.ReplicaAssignment
		for _, arg := range d.CmdArgs[1:] {
			if arg.Key == "replicas" {
				next.Replicas = idsOf(arg.Vals)
			} else {
				next.Removing = idsOf(arg.Vals)
			}
		}
		a.Partitions[tp.Partition] = next
		s.tree.Set(zookeeper.PathTopic(tp.Topic), zookeeper.EncodeTopic(a))
	case "without-elr": // from the next controller on
		s.config.EligibleLeaderReplicas = false
	case "znode":
		data, _, _ := s.tree.Get(zookeeper.PathPartitionState(tpOf(d.CmdArgs[0].Key)))
		fmt.Fprintf(&out, "%s\n", data)
	case "state":
		return s.state()
	case "znodes":
		return strings.Join(s.tree.Paths(d.CmdArgs[0].Key), "\n") + "\n"
	default:
		d.Fatalf(t, "unknown command")
	}
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
		s.machine.batch, s.machine.outbox = newBatch(), nil
	}
	for _, line := range s.env.Lines {
		fmt.Fprintln(&out, "*", line)
	}
	s.env.Lines = nil
	s.print(&out)
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func (s *stage) create(t *testing.T, d *datadriven.TestData, out *strings.Builder) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.NumPartitions, rt.ReplicationFactor = -1, -1
	for _, arg := range d.CmdArgs {
		value := strings.Join(arg.Vals, ",")
		switch arg.Key {
		case "topic":
			rt.Topic = value
		case "partitions":
			rt.NumPartitions = idsOf(arg.Vals)[0]
		case "rf":
			rt.ReplicationFactor = int16(idsOf(arg.Vals)[0])
		case "assign": // one partition each
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(len(rt.ReplicaAssignment)), idsOf(arg.Vals)
			rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
		case "validate-only":
			req.ValidateOnly = true
		case "twice":
			req.Topics = append(req.Topics, rt)
		case "null-config":
			rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: value})
		default:
			rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: arg.Key, Value: &value})
		}
	}
	req.Topics = append(req.Topics, rt)
	resp, err := s.machine.createTopics(req)
	if err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		fmt.Fprintf(out, "answer %s %s partitions=%d rf=%d", rt.Topic, codeName(rt.ErrorCode), rt.NumPartitions, rt.ReplicationFactor)
		if rt.ErrorMessage != nil {
			fmt.Fprintf(out, ": %s", *rt.ErrorMessage)
		}
		fmt.Fprintln(out)
	}
	return nil
}

func (s *stage) partitions(t *testing.T, d *datadriven.TestData, out *strings.Builder) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	d.ScanArgs(t, "topic", &rt.Topic)
	d.ScanArgs(t, "count", &rt.Count)
	req.ValidateOnly = d.HasArg("validate-only")
	for _, arg := range d.CmdArgs {
		if arg.Key == "assign" {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: idsOf(arg.Vals)})
		}
	}
	req.Topics = append(req.Topics, rt)
	resp, err := s.machine.createPartitions(req)
	if err == nil {
		printAnswer(out, rt.Topic, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)
	}
	return err
}

func (s *stage) reassign(t *testing.T, d *datadriven.TestData, out *strings.Builder) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	for _, arg := range d.CmdArgs {
		tp := tpOf(arg.Key)
		rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		rp.Partition = tp.Partition
		if len(arg.Vals) == 0 || arg.Vals[0] != "cancel" {
			rp.Replicas = append([]int32{}, idsOf(arg.Vals)...)
		}
		req.Topics = append(req.Topics, kmsg.AlterPartitionAssignmentsRequestTopic{Topic: tp.Topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{rp}})
	}
	resp, err := s.machine.alterReassignments(req)
	if err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			printAnswer(out, fmt.Sprintf("%s-%d", rt.Topic, rp.Partition), rp.ErrorCode, rp.ErrorMessage)
		}
	}
	return nil
}

func (s *stage) elect(d *datadriven.TestData, out *strings.Builder) error {
	req := kmsg.NewPtrElectLeadersRequest()
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "unclean":
			req.ElectionType = 1
		case "all":
		default:
			tp := tpOf(arg.Key)
			req.Topics = append(req.Topics, kmsg.ElectLeadersRequestTopic{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
		}
	}
	resp, err := s.machine.electAsked(req, map[wire.TopicPartition]int32{})
	if err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			printAnswer(out, fmt.Sprintf("%s-%d", rt.Topic, rp.Partition), rp.ErrorCode, rp.ErrorMessage)
		}
	}
	return nil
}

// alter is an AlterPartition from the leader as the machine knows it; arguments make it wrong.
func (s *stage) alter(t *testing.T, d *datadriven.TestData, out *strings.Builder) error {
	tp := tpOf(d.CmdArgs[0].Key)
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 3
	rp := kmsg.NewAlterPartitionRequestTopicPartition()
	rp.Partition = tp.Partition
	id := [16]byte{99}
	if p := s.machine.partition(tp); p != nil {
		id = s.machine.topics[tp.Topic].id
		req.BrokerID, rp.LeaderEpoch, rp.PartitionEpoch = p.leadership.Leader, p.leadership.LeaderEpoch, p.leadership.PartitionEpoch
	}
	if d.HasArg("empty-elr") {
		wire.SetEmptyELR(&rp.UnknownTags)
	}
	var memberEpoch int64 = -1
	d.MaybeScanArgs(t, "leader-epoch", &rp.LeaderEpoch)
	d.MaybeScanArgs(t, "partition-epoch", &rp.PartitionEpoch)
	d.MaybeScanArgs(t, "broker", &req.BrokerID)
	d.MaybeScanArgs(t, "member-epoch", &memberEpoch)
	req.BrokerEpoch = s.brokers[req.BrokerID].Epoch
	d.MaybeScanArgs(t, "broker-epoch", &req.BrokerEpoch)
	for _, arg := range d.CmdArgs {
		if arg.Key == "isr" {
			for _, id := range idsOf(arg.Vals) {
				rp.NewEpochISR = append(rp.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: memberEpoch})
			}
		}
	}
	req.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: id, Partitions: []kmsg.AlterPartitionRequestTopicPartition{rp}}}
	resp, err := s.machine.alterPartition(req)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "answer %s\n", codeName(resp.ErrorCode))
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			fmt.Fprintf(out, "answer %s %s leader=%d epoch=%d isr=%v pe=%d%s\n", tp, codeName(rp.ErrorCode), rp.LeaderID, rp.LeaderEpoch, rp.ISR, rp.PartitionEpoch, isrMin(&rp.UnknownTags))
		}
	}
	return nil
}

// stopped answers the oldest StopReplica with delete that a broker has not answered yet.
func (s *stage) stopped(t *testing.T, d *datadriven.TestData) error {
	var code int16
	d.MaybeScanArgs(t, "code", &code)
	for _, id := range idsOfArgs(d) {
		if len(s.stops[id]) == 0 {
			d.Fatalf(t, "broker %d has been told to delete nothing", id)
		}
		req := s.stops[id][0]
		s.stops[id] = s.stops[id][1:]
		resp := kmsg.NewPtrStopReplicaResponse()
		for _, rt := range req.Topics {
			for _, p := range rt.PartitionStates {
				resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: rt.Topic, Partition: p.Partition, ErrorCode: code})
			}
		}
		if err := s.machine.stopReplicaAnswered(id, req, resp); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) storageError(t *testing.T, d *datadriven.TestData) error {
	var broker int32
	d.ScanArgs(t, "broker", &broker)
	tp := tpOf(d.CmdArgs[0].Key)
	resp := kmsg.NewPtrLeaderAndISRResponse()
	resp.Topics = []kmsg.LeaderAndISRResponseTopic{{TopicID: s.machine.topics[tp.Topic].id, Partitions: []kmsg.LeaderAndISRResponseTopicPartition{
		{Partition: tp.Partition, ErrorCode: kerr.KafkaStorageError.Code}}}}
	return s.machine.leaderAndISRAnswered(broker, resp)
}

func idsOf(vals []string) []int32 {
	var ids []int32
	for _, v := range vals {
		n, err := strconv.Atoi(v)
		if err != nil {
			panic(err)
		}
		ids = append(ids, int32(n))
	}
	return ids
}

// idsOfArgs reads bare numbers: "down 1 2".
func idsOfArgs(d *datadriven.TestData) []int32 {
	var ids []int32
	for _, arg := range d.CmdArgs {
		if n, err := strconv.Atoi(arg.Key); err == nil {
			ids = append(ids, int32(n))
		}
	}
	return ids
}

func tpOf(text string) wire.TopicPartition {
	i := strings.LastIndexByte(text, '-')
	n, err := strconv.Atoi(text[i+1:])
	if err != nil {
		panic(err)
	}
	return wire.TopicPartition{Topic: text[:i], Partition: int32(n)}
}
