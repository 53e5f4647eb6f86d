package controller

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A reassignment moves a partition from its origin to a target set of replicas, over failures of brokers and of the
// controller (KIP-455). While it goes on the topic's znode holds the union of both, with those that are being added and
// removed:
//
//	asked    → znode: replicas = target ∪ origin, adding, removing; everybody hears, in a new leader epoch; new replicas fetch
//	target ⊆ ISR → state: the leader and the ISR are in the target; znode: replicas = target;
//	              the others are told to stop and delete
//
// Example: origin [1 2 3], target [3 4]: replicas [3 4 1 2], adding [4], removing [1 2]; in the end [3 4].
//
// A reassignment of a reassignment may find that some replicas that are being added are not wanted any more; they are
// dropped at once. That happens with a cancellation too, whose target is the origin.
//
// DEVIATION(KIP-455): Kafka writes the topic's znode first and then takes dropped replicas out of the ISR, one write and
// epoch each; a controller that dies in between leaves an ISR with members that are not assigned. Ours writes the
// partition's state once, without all of them, and then the znode. And Kafka drops replicas though they be the last in the
// ISR, with what only they have; ours refuses, as KRaft's controller does.
//
// DEVIATION(KIP-455): in Kafka the deletion of a topic waits for its reassignments; ours goes on at once with all replicas,
// old and new.

var evReassigning = env.NewKind("partition-reassigning", env.Info, "replicas", "adding", "removing")
var evReassigned = env.NewKind("partition-reassigned", env.Info, "replicas")

func reassigning(a zookeeper.ReplicaAssignment) bool { return len(a.Adding)+len(a.Removing) > 0 }

// originOf are the replicas before the reassignment, targetOf those after it (ReplicaAssignment).
func originOf(a zookeeper.ReplicaAssignment) []int32 { return without(a.Replicas, a.Adding) }
func targetOf(a zookeeper.ReplicaAssignment) []int32 { return without(a.Replicas, a.Removing) }

// reassignedTo is the assignment with which a goes to target (ReplicaAssignment#reassignTo).
func reassignedTo(a zookeeper.ReplicaAssignment, target []int32) zookeeper.ReplicaAssignment {
	origin := originOf(a)
	full := slices.Concat(target, without(origin, target))
	return zookeeper.ReplicaAssignment{Replicas: full, Adding: without(full, origin), Removing: without(full, target)}
}

func without(ids, gone []int32) []int32 {
	isGone := memberOf(gone)
	return keep(ids, func(id int32) bool { return !isGone(id) })
}

func sameAssignment(a, b zookeeper.ReplicaAssignment) bool {
	return slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.Adding, b.Adding) && slices.Equal(a.Removing, b.Removing)
}

// move is a partition and the assignment it is to get.
type move struct {
	*partition
	next zookeeper.ReplicaAssignment
}

// gone are the replicas that the move drops.
func (v move) gone() []int32 { return without(v.assignment.Replicas, v.next.Replicas) }

// validateReassignment works out the move for a wanted target. A target that could not be one is told before that the partition does not
// exist. Only of a request are new replicas held to be alive: a tool that has written the znode waits until they come
// (KafkaController#validateReplicas, #maybeBuildReassignment, #processZkPartitionReassignment).
func (m *machine) validateReassignment(tp wire.TopicPartition, target []int32, requested bool) (move, error) {
	bad := func(format string, args ...any) (move, error) {
		return move{}, refusal(kerr.InvalidReplicaAssignment, format, args...)
	}
	switch {
	case len(target) == 0:
		return bad("Empty replica list specified in partition reassignment.")
	case !distinctMembers(target, target):
		return bad("Duplicate replicas in partition reassignment: %v", target)
	case slices.Min(target) < 0:
		return bad("Invalid broker id in replica list: %v", target)
	}
	var have zookeeper.ReplicaAssignment
	p := m.partition(tp)
	if p != nil {
		have = p.assignment
	}
	if fresh := without(target, have.Replicas); requested && slices.ContainsFunc(fresh, func(id int32) bool { return !m.live(id) }) {
		return bad("Replica assignment has brokers that are not alive. Replica list: %v, live broker list: %v", fresh, m.brokerIDs())
	}
	if p == nil || m.deleting[tp.Topic] {
		return move{}, refusal(kerr.UnknownTopicOrPartition, "The partition %s does not exist.", tp)
	}
	v := move{p, reassignedTo(have, target)}
	return v, m.keepsISR(v)
}

// keepsISR refuses a move after which nobody would be in the ISR, and one of a partition whose ISR is worth nothing.
func (m *machine) keepsISR(v move) error {
	if m.bereft(v.partition) {
		return refusal(kerr.InvalidReplicaAssignment, "The ISR %v has lost its data, and the partition waits for one of %v.", v.leadership.ISR, sortedKeys(v.leadership.ELR))
	}
	if v.leadership != nil && len(without(v.leadership.ISR, v.gone())) == 0 {
		return refusal(kerr.InvalidReplicaAssignment, "Without the replicas %v, nobody would be left in the ISR %v.", v.gone(), v.leadership.ISR)
	}
	return nil
}

// cancellation is the move back to the origin.
func (m *machine) cancellation(tp wire.TopicPartition) (move, error) {
	p := m.partition(tp)
	switch {
	case p == nil || !reassigning(p.assignment):
		return move{}, refusal(kerr.NoReassignmentInProgress, "No reassignment is in progress for %s.", tp)
	case m.deleting[tp.Topic]:
		return move{}, refusal(kerr.UnknownTopicOrPartition, "The partition %s does not exist.", tp)
	}
	v := move{p, reassignedTo(p.assignment, originOf(p.assignment))}
	return v, m.keepsISR(v)
}

// reassign begins moves, and finishes those that are at their target (KafkaController#onPartitionReassignment). It
// returns those that came to nothing, since the partition's state, or its topic, became another meanwhile.
func (m *machine) reassign(moves []move) (failed []move, err error) {
	written := map[*partition]bool{}
	if failed, err = m.dropReplicas(moves, written); err != nil {
		return nil, err
	}
	moves = slices.DeleteFunc(slices.Clone(moves), func(v move) bool {
		return slices.ContainsFunc(failed, func(f move) bool { return f.partition == v.partition })
	})
	vanished, err := m.writeMoves(moves)
	if err != nil {
		return nil, err
	}
	failed = append(failed, vanished...)
	var begun []*partition
	for _, v := range moves {
		if slices.ContainsFunc(vanished, func(f move) bool { return f.partition == v.partition }) {
			continue
		}
		m.arrive(v)
		if reassigning(v.assignment) && !written[v.partition] {
			begun = append(begun, v.partition)
		}
	}
	if err := m.announce(begun); err != nil {
		return nil, err
	}
	if err := m.finishReassignments(partitionsOf(moves)); err != nil {
		return nil, err
	}
	m.flush()
	return failed, nil
}

// fitting parts the moves from those with which a topic's assignment would be more than ZooKeeper takes at once: all that are to begin
// in that topic now. What ends a reassignment makes the znode shorter.
//
// DEVIATION(ZooKeeper): see fitsTopic.
func (m *machine) fitting(moves []move) (fit, tooLarge []move) {
	begun := map[string]map[int32]zookeeper.ReplicaAssignment{}
	for _, v := range moves {
		if begun[v.tp.Topic] == nil {
			begun[v.tp.Topic] = map[int32]zookeeper.ReplicaAssignment{}
		}
		begun[v.tp.Topic][v.tp.Partition] = v.next
	}
	refused := map[string]bool{}
	for name, changed := range begun { // unordered: into a map
		refused[name] = m.topics[name].fits(changed) != nil
	}
	for _, v := range moves {
		if refused[v.tp.Topic] && reassigning(v.next) {
			tooLarge = append(tooLarge, v)
		} else {
			fit = append(fit, v)
		}
	}
	return fit, tooLarge
}

// unwritable is the answer to a move that does not fit.
func (v move) unwritable() error {
	return refusal(kerr.InvalidReplicaAssignment, "With the moves that are asked for, the assignment of topic '%s' would be more than ZooKeeper takes at once. "+
		"Fewer at a time may do.", v.tp.Topic)
}

// dropReplicas takes what the moves drop out of the states: out of the ISR, and out of the leadership. A move that ends a
// reassignment gets a new leader epoch in any case. It returns the moves that would leave nobody to lead.
func (m *machine) dropReplicas(moves []move, written map[*partition]bool) (failed []move, err error) {
	byPartition := map[*partition]move{}
	var ps []*partition
	for _, v := range moves {
		if v.leadership != nil && (len(v.gone()) > 0 || !reassigning(v.next)) {
			byPartition[v.partition] = v
			ps = append(ps, v.partition)
		}
	}
	before := map[*partition]int32{}
	staying := map[*partition][]int32{}
	for _, p := range ps {
		staying[p] = byPartition[p].next.Replicas
	}
	err = m.updateStatesOf(ps, staying, func(p *partition) (zookeeper.PartitionState, bool) {
		before[p] = p.leadership.Leader
		return m.settled(byPartition[p])
	}, func(p *partition) {
		written[p] = true
		if m.leaderOnline(p) {
			p.phase = partitionOnline
		}
		if p.leadership.Leader != before[p] {
			m.emitLeader(p)
		} else {
			m.emitISR(p)
		}
	})
	for _, p := range ps {
		if !written[p] {
			failed = append(failed, byPartition[p])
		}
	}
	return failed, err
}

// settled is a partition's state after a move: the ISR without those that go, and if the leader goes or is not there,
// another one in the order of the new assignment (ReassignPartitionLeaderElectionStrategy). A partition that waits for an heir
// stays as it is: the move would believe its ISR, and have the only copy deleted.
func (m *machine) settled(v move) (zookeeper.PartitionState, bool) {
	s, gone := *v.leadership, v.gone()
	isr := without(s.ISR, gone)
	if len(isr) == 0 || m.bereft(v.partition) {
		return s, false
	}
	if leaves := slices.Contains(gone, s.Leader); leaves || !m.online(s.Leader, v.tp) {
		i := slices.IndexFunc(v.next.Replicas, func(id int32) bool {
			return m.online(id, v.tp) && slices.Contains(isr, id) && m.trusted(v.partition, id)
		})
		switch {
		case i >= 0:
			s.Leader = v.next.Replicas[i]
		case leaves:
			return s, false
		}
	}
	s.ISR, s.LeaderEpoch = isr, s.LeaderEpoch+1
	return s, true
}

// writeMoves writes the assignments, one write a topic, and returns the moves whose topic is gone, or cannot be written.
func (m *machine) writeMoves(moves []move) (vanished []move, err error) {
	byTopic := map[string]map[int32]zookeeper.ReplicaAssignment{}
	for _, v := range moves {
		if sameAssignment(v.assignment, v.next) {
			continue
		}
		if byTopic[v.tp.Topic] == nil {
			byTopic[v.tp.Topic] = map[int32]zookeeper.ReplicaAssignment{}
		}
		byTopic[v.tp.Topic][v.tp.Partition] = v.next
	}
	for _, name := range sortedKeys(byTopic) {
		err := m.writeAssignments(name, byTopic[name])
		if err != nil && !conflict(err) && !errors.Is(err, zookeeper.ErrTooLarge) {
			return nil, err
		}
		if err != nil {
			m.emit(env.Event{Kind: evTrouble, Topic: name, Text: err.Error()})
			for _, v := range moves {
				if v.tp.Topic == name {
					vanished = append(vanished, v)
				}
			}
		}
	}
	return vanished, nil
}

// writeAssignments puts assignments of some partitions, new ones among them, into a topic's znode. Partitions that a tool
// has put there meanwhile are kept: the watch tells of them. ErrNoNode if the topic is gone.
func (m *machine) writeAssignments(name string, changed map[int32]zookeeper.ReplicaAssignment) error {
	t := m.topics[name]
	next := zookeeper.TopicAssignment{ID: t.id, Version: t.version, Partitions: map[int32]zookeeper.ReplicaAssignment{}}
	for n, p := range t.partitions { // unordered: into a map
		next.Partitions[n] = p.assignment
	}
	for attempt := 0; ; attempt++ {
		for n, a := range changed { // unordered: into a map
			next.Partitions[n] = a
		}
		version, err := m.store.SetTopic(m.fence, name, next)
		if err == nil {
			t.version = version
			return nil
		}
		if !errors.Is(err, zookeeper.ErrBadVersion) || !conflict(err) || attempt >= attemptsMax {
			return err
		}
		now, err := m.store.Topic(name, false)
		if err != nil {
			return err
		}
		if now.ID != t.id {
			return fmt.Errorf("topic %s has been made anew: %w", name, zookeeper.ErrNoNode)
		}
		next.Version = now.Version
		for n, a := range now.Partitions { // unordered: into a map
			if _, known := next.Partitions[n]; !known {
				next.Partitions[n] = a
			}
		}
	}
}

// arrive takes a written move into the context: who stays is told, who goes deletes.
func (m *machine) arrive(v move) {
	gone, was := v.gone(), reassigning(v.assignment)
	v.partition.assignment = v.next
	for _, id := range gone {
		m.addStopReplica(replica{v.partition, id}, true)
		delete(v.replicas, id)
		delete(m.offlineDirs[id], v.tp)
	}
	for _, id := range v.next.Replicas {
		r := replica{v.partition, id}
		switch {
		case slices.Contains(v.next.Adding, id):
			r.move(replicaNew)
		case r.replicas[id] == replicaNew:
			r.move(replicaOnline)
		}
	}
	m.tellReplicas(v.partition)
	if reassigning(v.next) {
		m.emit(env.Event{Kind: evReassigning, Topic: v.tp.Topic, Partition: v.tp.Partition, Text: fmt.Sprint(v.next.Replicas),
			V: [4]int64{int64(len(v.next.Replicas)), int64(len(v.next.Adding)), int64(len(v.next.Removing))}})
	} else if was {
		m.emit(env.Event{Kind: evReassigned, Topic: v.tp.Topic, Partition: v.tp.Partition, Text: fmt.Sprint(v.next.Replicas),
			V: [4]int64{int64(len(v.next.Replicas))}})
	}
}

// tellReplicas tells all replicas of a partition how it stands.
func (m *machine) tellReplicas(p *partition) {
	for _, id := range p.assignment.Replicas {
		m.addLeaderAndISR(p, []int32{id}, p.replicas[id] == replicaNew)
	}
}

// announce begins a new leader epoch in which all replicas, old and new, hear of the assignment
// (KafkaController#updateLeaderEpochAndSendRequest).
func (m *machine) announce(ps []*partition) error {
	return m.updateStates(ps, func(p *partition) (zookeeper.PartitionState, bool) {
		next := *p.leadership
		next.LeaderEpoch++
		return next, true
	}, m.tellReplicas)
}

// finishReassignments ends the reassignments of those partitions whose target is in the ISR, one of it online.
func (m *machine) finishReassignments(ps []*partition) error {
	var done []move
	for _, p := range ps {
		if p.leadership == nil || !reassigning(p.assignment) || m.deleting[p.tp.Topic] {
			continue
		}
		target := targetOf(p.assignment)
		all := len(without(target, p.leadership.ISR)) == 0
		if all && slices.ContainsFunc(target, func(id int32) bool { return m.online(id, p.tp) }) {
			done = append(done, move{p, zookeeper.ReplicaAssignment{Replicas: target}})
		}
	}
	if len(done) > 0 {
		if _, err := m.reassign(done); err != nil { // those that failed are still being reassigned, and will be met again
			return err
		}
	}
	return m.trimAsked()
}

// resumeReassignments goes on with the reassignments to a target on one of the brokers, all if there are none: the brokers
// have just come back, or we have just become the controller (KafkaController#maybeResumeReassignments).
func (m *machine) resumeReassignments(brokers []int32) error {
	ps := m.partitionsWhere(func(p *partition) bool {
		return reassigning(p.assignment) && !m.deleting[p.tp.Topic] && (len(brokers) == 0 ||
			slices.ContainsFunc(targetOf(p.assignment), func(id int32) bool { return slices.Contains(brokers, id) }))
	})
	if len(ps) == 0 {
		return nil
	}
	for _, p := range ps {
		for _, id := range p.assignment.Adding {
			replica{p, id}.move(replicaNew)
		}
	}
	if err := m.announce(ps); err != nil {
		return err
	}
	if err := m.finishReassignments(ps); err != nil {
		return err
	}
	m.flush()
	return nil
}

// reassignmentsAsked takes up what an old tool has written to /admin/reassign_partitions
// (KafkaController#processZkPartitionReassignment).
func (m *machine) reassignmentsAsked(wanted map[wire.TopicPartition][]int32) error {
	m.asked = wanted
	var moves []move
	for _, tp := range sortedPartitionsOf(wanted) {
		if p := m.partition(tp); p != nil && reassigning(p.assignment) && slices.Equal(targetOf(p.assignment), wanted[tp]) {
			continue
		}
		v, err := m.validateReassignment(tp, wanted[tp], false)
		if err != nil {
			m.emit(env.Event{Kind: evTrouble, Topic: tp.Topic, Partition: tp.Partition, Text: "reassignment: " + err.Error()})
			continue
		}
		moves = append(moves, v)
	}
	moves, tooLarge := m.fitting(moves)
	for _, v := range tooLarge {
		m.emit(env.Event{Kind: evTrouble, Topic: v.tp.Topic, Partition: v.tp.Partition, Text: "reassignment: " + v.unwritable().Error()})
	}
	if _, err := m.reassign(moves); err != nil {
		return err
	}
	return m.trimAsked()
}

// trimAsked takes out of /admin/reassign_partitions what is done, refused, or overruled by a later request, and removes it
// when nothing is left: that is how the tool learns.
func (m *machine) trimAsked() error {
	if m.asked == nil {
		return nil
	}
	left := map[wire.TopicPartition][]int32{}
	for tp, target := range m.asked { // unordered: into a map
		p := m.partition(tp)
		if p != nil && !m.deleting[tp.Topic] && reassigning(p.assignment) && slices.Equal(targetOf(p.assignment), target) {
			left[tp] = target
		}
	}
	if len(left) == len(m.asked) && len(left) > 0 {
		return nil
	}
	m.asked = left
	if len(left) == 0 {
		m.asked = nil
	}
	err := m.store.SetReassignment(m.fence, left)
	if errors.Is(err, zookeeper.ErrTooLarge) { // the tool has filled it to the brim: when more is done, what is left will fit
		m.emit(env.Event{Kind: evTrouble, Text: err.Error()})
		return nil
	}
	return err
}

func partitionsOf(moves []move) []*partition {
	ps := make([]*partition, len(moves))
	for i, v := range moves {
		ps[i] = v.partition
	}
	return ps
}
