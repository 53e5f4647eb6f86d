package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func printAnswer(out *strings.Builder, what string, code int16, message *string) {
	fmt.Fprintf(out, "answer %s %s", what, codeName(code))
	if message != nil {
		fmt.Fprintf(out, ": %s", *message)
	}
	fmt.Fprintln(out)
}

// print prints what the machine has sent, and checks it: epochs are those of now, and numbers rise. Same requests to several brokers, one after the
// other, are printed once.
func (s *stage) print(out *strings.Builder) {
	var to []string
	var last string
	end := func() {
		if len(to) > 0 {
			fmt.Fprintf(out, "-> %s %s\n", strings.Join(to, ","), last)
		}
	}
	for _, o := range s.machine.takeOutbox() {
		text := s.describe(o)
		if text != last {
			end()
			to, last = nil, text
		}
		to = append(to, fmt.Sprint(o.broker))
		if req, ok := o.req.(*kmsg.StopReplicaRequest); ok && slices.ContainsFunc(req.Topics, func(t kmsg.StopReplicaRequestTopic) bool {
			return slices.ContainsFunc(t.PartitionStates, func(p kmsg.StopReplicaRequestTopicPartitionState) bool { return p.Delete })
		}) {
			s.stops[o.broker] = append(s.stops[o.broker], req)
		}
	}
	end()
}

func (s *stage) describe(o outgoing) string {
	var b strings.Builder
	var brokerEpoch, number int64
	switch req := o.req.(type) {
	case *kmsg.LeaderAndISRRequest:
		brokerEpoch, number = req.BrokerEpoch, wire.Sequence(&req.UnknownTags)
		b.WriteString("LeaderAndIsr")
		for _, rt := range req.TopicStates {
			for _, p := range rt.PartitionStates {
				fmt.Fprintf(&b, "\n     %s-%d leader=%d epoch=%d isr=%v pe=%d", rt.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.ZKVersion)
				if p.IsNew {
					b.WriteString(" new")
				}
				b.WriteString(isrMin(&p.UnknownTags))
				if p.LeaderRecoveryState != 0 {
					b.WriteString(" recovering")
				}
			}
		}
	case *kmsg.UpdateMetadataRequest:
		brokerEpoch, number = req.BrokerEpoch, wire.Sequence(&req.UnknownTags)
		b.WriteString("UpdateMetadata live=")
		for i, l := range req.LiveBrokers {
			fmt.Fprint(&b, strings.Repeat(",", min(i, 1)), l.ID)
		}
		for _, rt := range req.TopicStates {
			for _, p := range rt.PartitionStates {
				fmt.Fprintf(&b, "\n     %s-%d leader=%d epoch=%d isr=%v pe=%d offline=%v", rt.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.ZKVersion, p.OfflineReplicas)
			}
		}
	case *kmsg.StopReplicaRequest:
		brokerEpoch, number = req.BrokerEpoch, wire.Sequence(&req.UnknownTags)
		b.WriteString("StopReplica")
		for _, rt := range req.Topics {
			for _, p := range rt.PartitionStates {
				fmt.Fprintf(&b, " %s-%d epoch=%d", rt.Topic, p.Partition, p.LeaderEpoch)
				if p.Delete {
					b.WriteString(" delete")
				}
			}
		}
	}
	if known := s.brokers[o.broker].Epoch; brokerEpoch != known {
		fmt.Fprintf(&b, " (broker epoch %d, is %d)", brokerEpoch, known)
	}
	if number <= s.number {
		fmt.Fprintf(&b, " (number %d, behind %d)", number, s.number)
	}
	s.number = number
	return b.String()
}

// isrMin is the number that goes with an ISR.
func isrMin(tags *kmsg.Tags) string {
	if n := wire.ISRMin(tags); n > 0 {
		return fmt.Sprintf(" min=%d", n)
	}
	return ""
}

// elr prints a partition's eligible leader replicas, with their epochs, and the epochs of its members.
func elr(p *zookeeper.PartitionState) string {
	var b strings.Builder
	list := func(name string, epochs map[int32]int64) {
		fmt.Fprintf(&b, " %s=[", name)
		for i, id := range sortedKeys(epochs) {
			fmt.Fprintf(&b, "%s%d:%d", strings.Repeat(" ", min(i, 1)), id, epochs[id])
		}
		b.WriteByte(']')
	}
	list("members", p.ISREpochs)
	list("elr", p.ELR)
	fmt.Fprintf(&b, " min=%d", p.ELRMin)
	return b.String()
}

// state prints every partition as the machine knows it, and whether its znode says the same.
func (s *stage) state() string {
	var b strings.Builder
	for _, p := range s.machine.partitions() {
		fmt.Fprintf(&b, "%s %s replicas=%v", p.tp, p.phase, p.assignment.Replicas)
		if p.leadership != nil {
			fmt.Fprintf(&b, " leader=%d epoch=%d isr=%v pe=%d", p.leadership.Leader, p.leadership.LeaderEpoch, p.leadership.ISR, p.leadership.PartitionEpoch)
			if s.config.EligibleLeaderReplicas {
				b.WriteString(elr(p.leadership))
			}
			data, stat, _ := s.tree.Get(zookeeper.PathPartitionState(p.tp))
			written, err := zookeeper.DecodePartitionState(p.tp, data, stat.Version)
			if err != nil || !written.Equal(*p.leadership) || written.PartitionEpoch != p.leadership.PartitionEpoch {
				fmt.Fprintf(&b, " BUT ZNODE %+v %v", written, err)
			}
		}
		for _, id := range p.assignment.Replicas {
			if phase := p.replicas[id]; phase != replicaOnline {
				fmt.Fprintf(&b, " %d:%s", id, phase)
			}
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(s.machine.deleting)) {
		fmt.Fprintf(&b, "deleting %s ineligible=%v\n", name, s.machine.ineligible[name])
	}
	if b.Len() == 0 {
		return "empty\n"
	}
	return b.String()
}

func codeName(code int16) string {
	if code == 0 {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}
