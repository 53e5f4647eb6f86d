package controller

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"barnabas/broker/zookeeper"
)

// A model of one partition, its replicas, their disks and machines, ZooKeeper's state of it and its controllers, in which
// anything may happen at any time: see TestEligible. The controllers decide by succession, shrunk and electorate; all else
// is the model's own.

// mistake is something done wrong on purpose.
type mistake uint16

const (
	lateEntry       mistake = 1 << iota // who is not in the ISR enters the ELR when it shrinks, whenever it left
	neverEmptied                        // the ELR stays when the ISR is back at min.insync.replicas
	numberUntold                        // leaders do not hear of ELRMin: the ELR is void if the setting is another than when it was made
	numberUnheeded                      // every leader is taken for one that heeds
	lossUnseen                          // nobody asks whether a broker's data survived
	lossForgotten                       // members of the ISR are stamped with the epochs that they have
	lastRestartOnly                     // a broker says whether its data survived the last restart, not since when it has them
	goneStay                            // replicas that are no more assigned stay in the ELR
	failedEnter                         // replicas whose log directory failed enter it, and the failure is not kept for the next life
	reignUnseen                         // nobody looks whether Kafka's controllers reigned in between
	commitsBelow                        // the leader commits below its min.insync.replicas (before KAFKA-15583)
	soonEmptied                         // the leader takes its list for empty before the controller has said so
)

// mistakes lists them, and whether two brokers and few steps are enough to meet it.
var mistakes = []struct {
	name string
	mistake
	ofTwo bool
}{
	{"late entry", lateEntry, false},
	{"never emptied", neverEmptied, false},
	{"number untold", numberUntold, true},
	{"number unheeded", numberUnheeded, false},
	{"loss unseen", lossUnseen, true},
	{"loss forgotten", lossForgotten, true},
	{"last restart only", lastRestartOnly, true},
	{"gone stay", goneStay, false},
	{"failed enter", failedEnter, false},
	{"reign unseen", reignUnseen, false},
	{"commits below", commitsBelow, true},
	{"soon emptied", soonEmptied, true},
}

// bounds limit what may happen in a world, so that it can be explored.
type bounds struct {
	brokers, records  int
	losses, failures  int  // power losses; failures of log directories
	crashes, settings int  // ends of processes and sessions; changes of min.insync.replicas
	reigns, moves     int  // of new controllers; reassignments
	foreign           bool // some brokers and controllers are Kafka's
	wrong             mistake
	messages          int // under way to a broker; the oldest is lost if there are more
}

// told is a LeaderAndIsr request under way.
type told struct {
	zookeeper.PartitionState
	to       int64 // broker epoch
	replicas []int32
	remove   bool // StopReplica, with delete
}

// proposal and answer of an AlterPartition request.
type asked struct {
	isr                    []int32
	epochs                 map[int32]int64
	losses                 map[int32]int // at the fetch on the strength of which it is asked; for the judge of the model
	leaderEpoch, partition int32
	added                  int32
	empty                  bool // the ELR
	stalled                bool
	answer                 *told // nil until the controller has decided
	refused                bool
}

type node struct {
	foreign bool // Kafka's: it does not know of numbers, commits below min.insync.replicas, and says nothing of its past

	log    []int32 // the leader epochs of its records
	clean  bool    // stopped, with everything synced
	lossy  bool    // lost something since it last registered; what the marker in its log directories says
	losses int     // how often, really
	broken bool    // the log directory has failed

	running, registered bool
	reg                 life // the last registration
	since               int64
	minISR              int

	// Of the process.
	leader                     int32
	leaderEpoch, partitionNode int32
	isr, replicas              []int32
	number, hw, start          int
	ends                       [4]int
	endEpochs                  [4]int64
	endLosses                  [4]int
	pending                    *asked
	inbox                      []told
}

type world struct {
	b     bounds
	nodes [4]node

	state    zookeeper.PartitionState // the znode; PartitionEpoch is its version
	replicas []int32
	epochs   int64 // the last broker epoch
	// reignEpochs are those of an unbroken line of our controllers, as a znode keeps them.
	reignFirst, reignLast int32

	// The controller.
	epoch    int32
	kafkas   bool
	view     map[int32]life
	failed   [4]bool
	minISR   int
	emptied  bool // what ELR stands there is not believed
	moved    int
	settings int
	crashes  int
	reigns   int
	power    int
	failures int

	// What the judge knows.
	committed []int32
	joined    [4]int // losses of a member of ISR and ELR when it joined
	void      bool   // nobody of them has kept its data: nothing is promised any more
	violation string
	heirsLed  int
}

func newWorld(b bounds, kafkas func(i int) bool) *world {
	w := &world{b: b, epoch: 1, reignFirst: 1, reignLast: 1, view: map[int32]life{}}
	var all []int32
	for i := range b.brokers {
		w.epochs++
		n := &w.nodes[i]
		n.foreign = kafkas(i)
		n.running, n.registered, n.minISR = true, true, 2
		n.leaderEpoch, n.partitionNode = -1, -1
		n.forgetRole()
		n.since = w.epochs
		n.reg = life{Epoch: w.epochs, Since: w.epochs, Intact: w.epochs, Heeds: !n.foreign}
		all = append(all, int32(i))
		w.view[int32(i)] = n.reg
	}
	w.replicas, w.minISR = all, 2
	w.state = w.succession().follow(nil, zookeeper.PartitionState{Leader: 0, ISR: all, ControllerEpoch: 1})
	w.tellAll()
	for i := range b.brokers {
		w.deliver(i)
	}
	return w
}

func (w *world) clone() *world {
	c := *w
	c.view = maps.Clone(w.view)
	for i := range c.nodes {
		n := &c.nodes[i]
		n.inbox = slices.Clone(n.inbox)
		if n.pending != nil {
			p := *n.pending
			n.pending = &p
		}
	}
	return &c
}

// leaveAlone is a beginning: two records are committed, and then all but the leader leave the ISR.
func (w *world) leaveAlone() {
	for i := range w.b.brokers {
		w.nodes[i].log = []int32{0, 0}
	}
	w.nodes[0].hw, w.committed = 2, []int32{0, 0}
	next := w.state
	next.ISR = []int32{0}
	w.write(next, false)
	for i := range w.b.brokers {
		w.deliver(i)
	}
}

// inspect looks at what must hold between any two steps.
func (w *world) inspect() {
	members := slices.Clone(w.state.ISR)
	for _, id := range w.replicas {
		// An ELR that Kafka's controllers may have left there stands for nothing.
		if _, listed := w.state.ELR[id]; listed && !w.kafkas && !w.emptied && (w.believable() || w.wrong(reignUnseen)) {
			members = append(members, id)
		}
	}
	if w.wrong(goneStay) {
		for id := range w.state.ELR { // unordered: a set
			if !slices.Contains(members, id) {
				members = append(members, id)
			}
		}
	}
	kept := 0
	for _, id := range members {
		n := &w.nodes[id]
		if n.losses != w.joined[id] {
			continue
		}
		kept++
		if !w.has(n) {
			w.violation = fmt.Sprintf("%d is in the ISR or the ELR and has %v, where %v is committed", id, n.log, w.committed)
		}
	}
	if kept == 0 {
		w.void = true
	}
	if w.void {
		w.violation = ""
		return
	}
	for i := range w.b.brokers {
		if n := &w.nodes[i]; w.leads(i) && n.leaderEpoch == w.state.LeaderEpoch && !w.has(n) {
			w.violation = fmt.Sprintf("%d leads with %v, where %v is committed", i, n.log, w.committed)
		}
	}
}

func (w *world) has(n *node) bool {
	return len(n.log) >= len(w.committed) && slices.Equal(n.log[:len(w.committed)], w.committed)
}

// key tells states apart.
func (w *world) key() string {
	var b []byte
	num := func(ns ...int64) {
		for _, n := range ns {
			b = binary.AppendVarint(b, n)
		}
	}
	ids := func(list []int32) {
		num(int64(len(list)))
		for _, id := range list {
			num(int64(id))
		}
	}
	flag := func(fs ...bool) {
		for _, f := range fs {
			num(map[bool]int64{true: 1}[f])
		}
	}
	byID := func(m map[int32]int64) {
		for i := range int32(w.b.brokers) {
			if e, ok := m[i]; ok {
				num(e)
			} else {
				num(-7)
			}
		}
	}
	stand := func(s *zookeeper.PartitionState) {
		num(int64(s.Leader), int64(s.LeaderEpoch), int64(s.PartitionEpoch), int64(s.ControllerEpoch), int64(s.ELRMin))
		ids(s.ISR)
		byID(s.ISREpochs)
		byID(s.ELR)
	}
	reg := func(r life) { num(r.Epoch, r.Since, r.Intact) }
	stand(&w.state)
	ids(w.replicas)
	ids(w.committed)
	num(w.epochs, int64(w.epoch), int64(w.minISR), int64(w.settings), int64(w.crashes), int64(w.power), int64(w.failures), int64(w.moved), int64(w.reigns), int64(w.reignFirst), int64(w.reignLast))
	flag(w.kafkas, w.emptied)
	for i := range w.b.brokers {
		n := &w.nodes[i]
		if b, ok := w.view[int32(i)]; ok {
			reg(b)
		} else {
			num(-9)
		}
		flag(w.failed[i], n.clean, n.lossy, n.broken, n.running, n.registered)
		ids(n.log)
		reg(n.reg)
		num(int64(n.losses), int64(w.joined[i]), n.since, int64(n.minISR), int64(n.leader), int64(n.leaderEpoch), int64(n.partitionNode), int64(n.number), int64(n.hw), int64(n.start))
		ids(n.isr)
		ids(n.replicas)
		for j := range w.b.brokers {
			num(int64(n.ends[j]), n.endEpochs[j], int64(n.endLosses[j]))
		}
		if c := n.pending; c != nil {
			ids(c.isr)
			byID(c.epochs)
			num(int64(c.losses[max(c.added, 0)]), int64(c.leaderEpoch), int64(c.partition))
			flag(c.empty, c.stalled, c.refused, c.answer != nil)
			if c.answer != nil {
				stand(&c.answer.PartitionState)
			}
		}
		num(int64(len(n.inbox)))
		for j := range n.inbox {
			stand(&n.inbox[j].PartitionState)
			num(n.inbox[j].to)
			flag(n.inbox[j].remove)
		}
	}
	return string(b)
}
