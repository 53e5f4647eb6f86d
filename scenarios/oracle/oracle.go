package oracle

import (
	"fmt"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
)

// Violation is an invariant that does not hold.
type Violation struct {
	ID      string // INV-…
	Message string
	At      time.Duration // virtual
}

// Replica is one replica's state in one life of its broker.
type Replica struct {
	Broker int32
	Life   int // of the broker, counted from 1
	State  partition.State
}

// Registered is a partition's state as ZooKeeper has it.
type Registered struct {
	TP             wire.TopicPartition
	Leader         int32 // -1 for none
	LeaderEpoch    int32
	PartitionEpoch int32 // the znode's version
	// ControllerEpoch is that of the controller which wrote it, Controllers that of the newest controller when it was written.
	ControllerEpoch, Controllers int32
	ISR                          []int32
	Replicas                     []int32
	Heirs                        int // eligible leader replicas
}

// View is what there is to see at one moment.
type View struct {
	At         env.Instant
	Replicas   []Replica // of running brokers
	Partitions []Registered
}

// Disks finds the files of a broker.
type Disks interface {
	// Find is the partition's file of that name, in that log directory. It may be there or not.
	Find(broker int32, dir string, tp wire.TopicPartition, name string) File
}

// File is one file of a broker as its page cache has it.
type File interface {
	// Peek reads up to len(p) bytes from offset, and returns how many there were; -1 if there is no such file.
	Peek(p []byte, offset int64) int
}

// Oracle remembers what it has seen. Make one for each run.
type Oracle struct {
	disks      Disks
	logs       map[topicPartition]*canonical
	latest     map[wire.TopicPartition]*canonical // of the topic that has the name now
	leaders    map[term]int32
	terms      map[topicPartition][]leadership
	replicas   map[replicaKey]*seen
	registered map[wire.TopicPartition]*Registered
	broken     map[string]bool
	violations []Violation
	lossy      bool
	looked     []looked // what the last look saw, by place in the view
	registers  int      // changes of registered and of latest so far
	header     [headerSize]byte
	buf        []byte // a batch
}

type term struct {
	topicPartition
	epoch int32
}

// topicPartition tells a topic from one of the same name before it: brokers hear of either when they hear of it.
type topicPartition struct {
	topicID [16]byte
	tp      wire.TopicPartition
}

// leadership is what was seen of a leader's epoch.
type leadership struct {
	epoch  int32
	leader int32
	start  int64 // the leader's log end offset when it began, the lowest if it began more than once
	acked  int64 // what is below was acknowledged with acks=all
}

type replicaKey struct {
	tp     wire.TopicPartition
	broker int32
}

// seen is what was last seen of a replica.
type seen struct {
	life   int
	log    *log.Log // a replica deleted and made anew between two looks has another
	role   partition.Role
	epoch  int32
	hw     int64
	lso    int64
	shy    int32 // the partition epoch in which a leader was seen with fewer in its ISR than min.insync.replicas, else -1
	cursor cursor
}

// New makes an oracle.
func New(disks Disks) *Oracle {
	return &Oracle{disks: disks, logs: map[topicPartition]*canonical{}, latest: map[wire.TopicPartition]*canonical{}, leaders: map[term]int32{}, terms: map[topicPartition][]leadership{},
		replicas: map[replicaKey]*seen{}, registered: map[wire.TopicPartition]*Registered{}, broken: map[string]bool{}}
}

// AllowLoss tells that more was destroyed than the replication can bear: from now on a replica may lack what was
// committed, and only what does not rest on data is held to.
func (o *Oracle) AllowLoss() { o.lossy = true }

// aboutData are the invariants that a loss beyond the replication breaks.
func aboutData(id string) bool {
	return id == "INV-ISR-COMPLETE" || id == "INV-COMMITTED-EQUAL" || id == "INV-COMMITTED-KEPT" || id == "INV-COMMITTED-WHOLE" || id == "INV-LOG-CONTIGUOUS" || id == "INV-ONE-ACKER" ||
		id == "INV-EPOCH-KNOWN"
}

// Violations are all that were found, in order. Each invariant is reported once per partition and broker.
func (o *Oracle) Violations() []Violation { return o.violations }

// Committed is the end of the canonical log: every record below it was below some leader's high watermark.
func (o *Oracle) Committed(tp wire.TopicPartition) int64 {
	if l := o.latest[tp]; l != nil {
		return l.end()
	}
	return 0
}

// Look checks every invariant at this moment.
func (o *Oracle) Look(v View) {
	for i := range v.Partitions {
		o.lookRegistered(v.At, &v.Partitions[i])
	}
	if n := len(v.Replicas); len(o.looked) < n {
		o.looked = append(o.looked, make([]looked, n-len(o.looked))...)
	}
	// Leaders first: they are who may extend the canonical log.
	for i := range v.Replicas {
		if v.Replicas[i].State.Role == partition.Leader && !o.looked[i].same(o, &v.Replicas[i]) {
			o.lookReplica(v.At, &v.Replicas[i], &o.looked[i])
		}
	}
	for i := range v.Replicas {
		if v.Replicas[i].State.Role == partition.Follower && !o.looked[i].same(o, &v.Replicas[i]) {
			o.lookReplica(v.At, &v.Replicas[i], &o.looked[i])
		}
	}
	for i := range v.Replicas {
		if r := &v.Replicas[i]; !o.looked[i].same(o, r) {
			o.lookISR(v.At, r)
			o.looked[i].remember(o, r)
		}
	}
}

func (o *Oracle) violated(at env.Instant, id string, tp wire.TopicPartition, broker int32, format string, args ...any) {
	key := fmt.Sprintf("%s %s %d", id, tp, broker)
	if o.broken[key] || o.lossy && aboutData(id) {
		return
	}
	o.broken[key] = true
	o.violations = append(o.violations, Violation{ID: id, At: time.Duration(at), Message: fmt.Sprintf("%s: ", tp) + fmt.Sprintf(format, args...)})
}

// lookRegistered holds ZooKeeper's state to itself and to what it was.
func (o *Oracle) lookRegistered(at env.Instant, r *Registered) {
	old := o.registered[r.TP]
	known := old != nil
	if known && old.PartitionEpoch == r.PartitionEpoch && old.LeaderEpoch == r.LeaderEpoch {
		return
	}
	if r.ControllerEpoch < r.Controllers {
		o.violated(at, "INV-CONTROLLER-FENCED", r.TP, 0, "the controller of epoch %d wrote leader epoch %d when there was one of epoch %d", r.ControllerEpoch, r.LeaderEpoch, r.Controllers)
	}
	if known && r.LeaderEpoch < old.LeaderEpoch {
		o.violated(at, "INV-EPOCH-MONOTONIC", r.TP, 0, "leader epoch in ZooKeeper went from %d back to %d", old.LeaderEpoch, r.LeaderEpoch)
	}
	if known && r.LeaderEpoch == old.LeaderEpoch && r.Leader != old.Leader {
		o.violated(at, "INV-ONE-LEADER", r.TP, 0, "leader changed from %d to %d within epoch %d", old.Leader, r.Leader, r.LeaderEpoch)
	}
	for _, id := range r.ISR {
		if !slices.Contains(r.Replicas, id) {
			o.violated(at, "INV-ISR-REPLICAS", r.TP, id, "the ISR %v in ZooKeeper holds %d, which is no replica of %v", r.ISR, id, r.Replicas)
		}
	}
	if r.Leader >= 0 && !slices.Contains(r.ISR, r.Leader) {
		o.violated(at, "INV-LEADER-IN-ISR", r.TP, r.Leader, "leader %d of epoch %d is not in the ISR %v", r.Leader, r.LeaderEpoch, r.ISR)
	}
	now := *r
	o.registered[r.TP] = &now
	o.registers++
}

// lookReplica holds one replica to itself, to what it was, and to the canonical log.
func (o *Oracle) lookReplica(at env.Instant, r *Replica, l *looked) {
	s, tp := &r.State, r.State.TP
	l.seen = nil
	if s.Offline {
		return
	}
	if s.HighWatermark > s.LogEndOffset {
		o.violated(at, "INV-HW-LEO", tp, r.Broker, "broker %d has high watermark %d above its log end offset %d", r.Broker, s.HighWatermark, s.LogEndOffset)
	}
	if s.CutBelow.Times > 0 {
		o.violated(at, "INV-COMMITTED-KEPT", tp, r.Broker, "broker %d cut its log to %d below its high watermark %d", r.Broker, s.CutBelow.To, s.CutBelow.HighWatermark)
	}
	key := replicaKey{tp, r.Broker}
	was := o.replicas[key]
	if was == nil || was.life != r.Life || was.log != s.Log {
		was = &seen{life: r.Life, log: s.Log, epoch: -1, shy: -1}
		o.replicas[key] = was
	}
	if s.LeaderEpoch < was.epoch {
		o.violated(at, "INV-EPOCH-MONOTONIC", tp, r.Broker, "broker %d went from leader epoch %d back to %d", r.Broker, was.epoch, s.LeaderEpoch)
	}
	if s.Role == partition.Leader {
		o.lookLeader(at, r, was)
	}
	o.lookLog(at, r, was)
	was.role, was.epoch, was.hw = s.Role, s.LeaderEpoch, s.HighWatermark
	l.seen = was
}

func (o *Oracle) lookLeader(at env.Instant, r *Replica, was *seen) {
	s, tp := &r.State, r.State.TP
	id := term{topicPartition{s.TopicID, tp}, s.LeaderEpoch}
	if other, ok := o.leaders[id]; ok && other != r.Broker {
		o.violated(at, "INV-ONE-LEADER", tp, r.Broker, "brokers %d and %d both lead in epoch %d", other, r.Broker, s.LeaderEpoch)
	} else if !ok {
		o.leaders[id] = r.Broker
	}
	if was.role == partition.Leader && was.epoch == s.LeaderEpoch && s.HighWatermark < was.hw {
		o.violated(at, "INV-HW-MONOTONIC", tp, r.Broker, "leader %d took its high watermark back from %d to %d in epoch %d", r.Broker, was.hw, s.HighWatermark, s.LeaderEpoch)
	}
	if was.role == partition.Leader && was.epoch == s.LeaderEpoch && was.shy == s.PartitionEpoch && s.HighWatermark > was.hw && len(s.ISR) < s.MinISR {
		o.violated(at, "INV-MIN-ISR", tp, r.Broker, "leader %d took its high watermark from %d to %d with the ISR %v, although min.insync.replicas is %d", r.Broker, was.hw, s.HighWatermark, s.ISR, s.MinISR)
	}
	if s.LatestEpoch != s.LeaderEpoch && !s.Changing {
		o.violated(at, "INV-EPOCH-KNOWN", tp, r.Broker, "broker %d leads in epoch %d, and the last that its log knows is %d", r.Broker, s.LeaderEpoch, s.LatestEpoch)
	}
	o.lookAcked(at, r)
	o.lookStable(at, r, was)
	was.shy = -1
	if len(s.ISR) < s.MinISR {
		was.shy = s.PartitionEpoch
	}
	for _, member := range s.ISR {
		if !slices.Contains(s.Replicas, member) {
			o.violated(at, "INV-ISR-REPLICAS", tp, member, "leader %d counts %d to the ISR %v, which is no replica of %v", r.Broker, member, s.ISR, s.Replicas)
		}
	}
}

// lookAcked checks that of two leaders of a partition the older acknowledges nothing that the newer does not have: whatever was
// acknowledged in an epoch, before or after the next one began, lies below the start of every later epoch. So however long a leader goes
// on that has been deposed and does not know, with its session expired, paused or cut off, no two accept writes with acks=all.
//
// An old leader may well answer late: when its followers had fetched a record before one of them was elected. The new leader has it then.
func (o *Oracle) lookAcked(at env.Instant, r *Replica) {
	s := &r.State
	if _, watched := o.registered[s.TP]; !watched || s.EpochStart < 0 || s.Changing {
		return // of other topics nobody knows here whether they are being deleted: then a controller may make them anew, empty, before it does so
	}
	key := topicPartition{s.TopicID, s.TP}
	terms := o.terms[key]
	i, known := slices.BinarySearchFunc(terms, s.LeaderEpoch, func(l leadership, epoch int32) int { return int(l.epoch) - int(epoch) })
	if !known {
		terms = slices.Insert(terms, i, leadership{epoch: s.LeaderEpoch, leader: r.Broker, start: s.EpochStart})
		o.terms[key] = terms
	}
	now := &terms[i]
	if known && now.start <= s.EpochStart && now.acked >= s.Acked {
		return // nothing new
	}
	now.start, now.acked = min(now.start, s.EpochStart), max(now.acked, s.Acked)
	for _, before := range terms[:i] {
		if before.acked > now.start {
			o.violated(at, "INV-ONE-ACKER", s.TP, r.Broker, "broker %d leads in epoch %d from %d on, but %d acknowledged up to %d in epoch %d",
				r.Broker, now.epoch, now.start, before.leader, before.acked, before.epoch)
		}
	}
	for _, after := range terms[i+1:] {
		if now.acked > after.start {
			o.violated(at, "INV-ONE-ACKER", s.TP, r.Broker, "broker %d, leader of epoch %d, has acknowledged up to %d, although %d leads in epoch %d from %d on",
				r.Broker, now.epoch, now.acked, after.leader, after.epoch, after.start)
		}
	}
}

// lookISR checks that who is in the ISR has everything that was ever committed. A replica that has not yet been told
// of the partition's present epoch is left out: it may be on its way to being told that it is not in the ISR.
func (o *Oracle) lookISR(at env.Instant, r *Replica) {
	s := &r.State
	reg := o.registered[s.TP]
	if reg == nil || s.Offline || s.Role == partition.Idle || s.LeaderEpoch != reg.LeaderEpoch || !slices.Contains(reg.ISR, r.Broker) {
		return
	}
	if reg.Leader < 0 && reg.Heirs > 0 {
		return // the last member may have lost what it had: who has it is an heir, and nobody leads before it is known which
	}
	if end := o.Committed(s.TP); s.LogEndOffset < end {
		o.violated(at, "INV-ISR-COMPLETE", s.TP, r.Broker, "broker %d is %s in epoch %d and in the ISR %v, but its log ends at %d and %d is committed",
			r.Broker, s.Role, s.LeaderEpoch, reg.ISR, s.LogEndOffset, end)
	}
}
