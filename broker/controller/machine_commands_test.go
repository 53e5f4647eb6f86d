package controller

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
	resp, err := s.machine.createTopics(req, nil)
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
	if d.HasArg("assign-none") { // which is not the same as leaving it to the controller
		rt.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
	}
	for _, arg := range d.CmdArgs {
		if arg.Key == "assign" {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: idsOf(arg.Vals)})
		}
	}
	req.Topics = append(req.Topics, rt)
	resp, err := s.machine.createPartitions(req, nil)
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

func (s *stage) elect(t *testing.T, d *datadriven.TestData, out *strings.Builder) error {
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
	if resp.ErrorCode != 0 {
		fmt.Fprintf(out, "answer %s\n", codeName(resp.ErrorCode))
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
	d.MaybeScanArgs(t, "version", &req.Version)
	if d.HasArg("recovering") {
		rp.LeaderRecoveryState = int8(zookeeper.Recovering)
	}
	for _, arg := range d.CmdArgs {
		if arg.Key == "isr" {
			for _, id := range idsOf(arg.Vals) {
				rp.NewISR = append(rp.NewISR, id)
				rp.NewEpochISR = append(rp.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: memberEpoch})
			}
		}
	}
	req.Topics = []kmsg.AlterPartitionRequestTopic{{Topic: tp.Topic, TopicID: id, Partitions: []kmsg.AlterPartitionRequestTopicPartition{rp}}}
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
		if v == "" { // of "()"
			continue
		}
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
