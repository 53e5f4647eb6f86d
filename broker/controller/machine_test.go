package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"

	"github.com/cockroachdb/datadriven"
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
	number  int64 // of the last request that this machine has sent
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
	s.stops, s.number = map[int32][]*kmsg.StopReplicaRequest{}, 0
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
		d.MaybeScanArgs(t, "version", &req.Version)
		var resp *kmsg.DeleteTopicsResponse
		var wanted []kmsg.DeleteTopicsRequestTopic
		for _, arg := range d.CmdArgs {
			if arg.Key != "version" {
				wanted = append(wanted, kmsg.DeleteTopicsRequestTopic{Topic: &arg.Key})
			}
		}
		if resp, err = s.machine.deleteTopics(req, wanted, nil); err == nil {
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
		err = s.elect(t, d, &out)
	case "no-deletions": // delete.topic.enable=false
		s.config.DeleteTopicEnable = false
	case "marked": // somebody marks topics for deletion
		var names []string
		for _, arg := range d.CmdArgs {
			names = append(names, arg.Key)
			s.tree.Set(zookeeper.PathDeleteTopic(arg.Key), nil)
		}
		err = s.machine.deletionsMarked(names)
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
	case "remade": // somebody else makes a topic anew
		name := d.CmdArgs[0].Key
		data, _, _ := s.tree.Get(zookeeper.PathTopic(name))
		a, _ := zookeeper.DecodeTopic(name, data)
		a.ID = [16]byte{0xee}
		s.tree.Set(zookeeper.PathTopic(name), zookeeper.EncodeTopic(a))
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
