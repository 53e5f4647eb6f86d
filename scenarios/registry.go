package scenarios

import (
	"fmt"
	"slices"
	"time"

	"barnabas/broker/partition"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/faults"
	"barnabas/faults/schedule"
	"barnabas/reports"
	"barnabas/scenarios/oracle"
	"barnabas/sim/cluster"
)

// registry reads, between events, what ZooKeeper's tree says of the cluster, and remembers how it changed.
type registry struct {
	c               *simCluster
	partitions      []registeredPartition
	read            readUpTo
	history         []reports.Leadership
	elections       int
	heirsLed        int // elections of eligible leader replicas
	isrChanges      int
	controllers     int   // that were elected
	controllerCzxid int64 // of the last one's znode
	// lost are the brokers that lost power, with the instants at which it happened, until the controller has taken
	// them out of every ISR: what they were in the ISR for, they may no longer have.
	lost map[int32]bool
	// swapped tells that two brokers' disks are in each other's machines.
	swapped bool
	seen    oracle.View // room for the next

	states     []partition.State // room for a broker's
	topicMzxid map[string]int64  // of each topic's znode, when the replicas were last read

	watched map[string]bool       // the topics of partitions
	named   map[string]namedTopic // other topics, as their znodes were last read
	gone    map[[16]byte]bool     // ids of topics that were asked to be deleted
}

// readUpTo is how far the tree of a life of ZooKeeper was read.
type readUpTo struct {
	server *zkserver.Server
	zxid   int64
}

type registeredPartition struct {
	tp    wire.TopicPartition
	path  string
	mzxid int64
	known bool
	state oracle.Registered
	// heirs are the eligible leader replicas, and whether they still have what they had as members of the ISR.
	heirs map[int32]bool
}

func newRegistry(c *simCluster) *registry {
	r := &registry{c: c, lost: map[int32]bool{}, topicMzxid: map[string]int64{}, watched: map[string]bool{}, named: map[string]namedTopic{}, gone: map[[16]byte]bool{}}
	for _, t := range c.plan.newTopics() {
		r.watched[t.Name] = true
		for p := range t.Partitions {
			tp := wire.TopicPartition{Topic: t.Name, Partition: p}
			r.partitions = append(r.partitions, registeredPartition{tp: tp, path: zookeeper.PathPartitionState(tp)})
		}
	}
	return r
}

// look reads what has changed. While ZooKeeper is down, what it said last stands.
func (r *registry) look() {
	if r.c.zk == nil {
		return
	}
	now := readUpTo{r.c.zk, r.c.zk.Zxid()}
	if now == r.read {
		return
	}
	r.read = now
	for i := range r.partitions {
		r.lookPartition(&r.partitions[i])
	}
	for _, t := range r.c.plan.topicNames() {
		if _, stat, ok := r.c.zk.Get(zookeeper.PathTopic(t)); ok && stat.Mzxid != r.topicMzxid[t] {
			r.topicMzxid[t] = stat.Mzxid // reassigned
			for i := range r.partitions {
				if r.partitions[i].tp.Topic == t {
					r.partitions[i].state.Replicas = r.replicas(r.partitions[i].tp)
				}
			}
		}
	}
	if _, stat, ok := r.c.zk.Get(zookeeper.PathController); ok && stat.Czxid != r.controllerCzxid {
		r.controllerCzxid = stat.Czxid
		r.controllers++
	}
}

func (r *registry) lookPartition(p *registeredPartition) {
	data, stat, ok := r.c.zk.Get(p.path)
	if !ok || p.known && stat.Mzxid == p.mzxid {
		return
	}
	tp := p.tp
	state, err := zookeeper.DecodePartitionState(tp, data, stat.Version)
	if err != nil {
		r.c.errs = append(r.c.errs, err)
		return
	}
	old, had := p.state, p.known
	p.mzxid, p.known = stat.Mzxid, true
	p.state = oracle.Registered{TP: tp, Leader: state.Leader, LeaderEpoch: state.LeaderEpoch, PartitionEpoch: stat.Version,
		ISR: state.ISR, Replicas: r.replicas(tp), ControllerEpoch: state.ControllerEpoch, Heirs: len(state.ELR)}
	if data, epoch, ok := r.c.zk.Get(zookeeper.PathControllerEpoch); ok && epoch.Mzxid < stat.Mzxid {
		if n, err := zookeeper.DecodeControllerEpoch(data); err == nil {
			p.state.Controllers = n
		}
	}
	if had && old.Leader != state.Leader {
		r.elections++
	}
	if _, heir := p.heirs[state.Leader]; heir && !slices.Contains(old.ISR, state.Leader) {
		r.heirsLed++
	}
	p.heirs = r.inherit(p.heirs, state.ELR)
	if had && !sameMembers(old.ISR, state.ISR) {
		r.isrChanges++
	}
	r.history = append(r.history, reports.Leadership{At: time.Duration(r.c.w.Now()), Partition: tp.String(), Leader: state.Leader,
		Epoch: state.LeaderEpoch, ISR: slices.Clone(state.ISR)})
	r.forget()
}

// inherit is who of a list of eligible leader replicas has what it left the ISR with: it was on the list before and had it, or left
// without a loss.
func (r *registry) inherit(before map[int32]bool, elr map[int32]int64) map[int32]bool {
	if len(elr) == 0 {
		return nil
	}
	heirs := map[int32]bool{}
	for id := range elr { // unordered: into a map
		kept, was := before[id]
		heirs[id] = kept || !was && !r.lost[id]
	}
	return heirs
}

// forget ends the suspicion against a broker that is in no ISR any more, or came back into all by catching up.
func (r *registry) forget() {
	for _, n := range r.c.brokers {
		if r.lost[n.id] && !slices.ContainsFunc(r.partitions, func(p registeredPartition) bool { return slices.Contains(p.state.ISR, n.id) }) {
			delete(r.lost, n.id)
		}
	}
}

func (r *registry) replicas(tp wire.TopicPartition) []int32 {
	data, _, ok := r.c.zk.Get(zookeeper.PathTopic(tp.Topic))
	if !ok {
		return nil
	}
	assignment, err := zookeeper.DecodeTopic(tp.Topic, data)
	if err != nil {
		r.c.errs = append(r.c.errs, err)
		return nil
	}
	return assignment.Partitions[tp.Partition].Replicas
}

func sameMembers(a, b []int32) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// leader is who leads the partition, -1 for nobody.
func (r *registry) leader(number int) int32 {
	if p := &r.partitions[number]; p.known {
		return p.state.Leader
	}
	return -1
}

// controller is who holds /controller, -1 for nobody.
func (r *registry) controller() int32 {
	if r.c.zk == nil {
		return -1
	}
	data, _, ok := r.c.zk.Get(zookeeper.PathController)
	if !ok {
		return -1
	}
	id, err := zookeeper.DecodeController(data)
	if err != nil {
		return -1
	}
	return id
}

func (r *registry) lostPower(broker int32) {
	r.lost[broker] = true
	for i := range r.partitions {
		if _, heir := r.partitions[i].heirs[broker]; heir {
			r.partitions[i].heirs[broker] = false
		}
	}
	r.forget()
}

// view is what the oracle looks at. It is good until the next call.
func (r *registry) view() oracle.View {
	v := oracle.View{At: r.c.w.Now(), Partitions: r.seen.Partitions[:0], Replicas: r.seen.Replicas[:0]}
	for i := range r.partitions {
		if r.partitions[i].known {
			v.Partitions = append(v.Partitions, r.partitions[i].state)
		}
	}
	for _, n := range r.c.brokers {
		if s := r.c.w.Status(n.name); n.broker == nil || n.life != r.c.w.Life(n.name) || s != cluster.Running && s != cluster.Paused {
			continue
		}
		r.states = n.broker.AppendReplicas(r.states[:0])
		for i := range r.states {
			v.Replicas = append(v.Replicas, oracle.Replica{Broker: n.id, Life: n.life, State: r.states[i]})
		}
	}
	r.seen = v
	return v
}

// admit keeps a run within what Kafka promises: an acked record survives while one in-sync replica keeps it. Without
// syncing every append, a power loss takes a replica's data away, so it may come only while every partition has
// another in-sync replica on a machine that is up and has lost nothing, or an eligible leader replica that has lost
// nothing, up or not; and until the controller has taken the victim out of the ISR, no other broker may be harmed.
func (r *registry) admit(f faults.Fault) (ok bool, why string) {
	r.look() // the last look may have been some events ago
	class := schedule.ClassOf(f.Kind)
	switch {
	case r.c.plan.Beyond:
		return true, ""
	case r.swapped && (class == schedule.Destroys || class == schedule.Beyond):
		return false, "disks are in other machines, where what they lose cannot be told"
	case r.c.plan.SyncEveryAppend && (f.Kind == faults.Power || f.Kind == faults.Blackout):
		return true, ""
	case class == schedule.Beyond:
		return false, "Kafka promises nothing against it; --beyond lets it happen"
	}
	for _, n := range r.c.brokers {
		if r.lost[n.id] && !schedule.TakesNobodyOut(f.Kind) {
			return false, fmt.Sprintf("broker %d lost data and is still in an ISR", n.id)
		}
	}
	if class != schedule.Destroys || !f.Node.IsBroker() {
		return true, ""
	}
	victim := int32(f.Node)
	for i := range r.partitions {
		p := &r.partitions[i]
		if !p.known || !slices.Contains(p.state.ISR, victim) {
			continue
		}
		// A leader may have asked for an ISR without the others already, and the controller obey after its end.
		rest := p.state.ISR
		if proposed := r.proposed(victim, p.state.TP); proposed != nil {
			rest = slices.DeleteFunc(slices.Clone(rest), func(id int32) bool { return !slices.Contains(proposed, id) })
		}
		if !slices.ContainsFunc(rest, func(id int32) bool { return id != victim && r.healthy(id) }) && !p.heir(victim) {
			return false, fmt.Sprintf("broker %d may have the only copy of %s", victim, p.state.TP)
		}
	}
	return true, ""
}

// heir reports whether an eligible leader replica other than the broker has kept what it had.
func (p *registeredPartition) heir(broker int32) bool {
	for id, kept := range p.heirs { // unordered: any
		if kept && id != broker {
			return true
		}
	}
	return false
}

// proposed is the ISR that the broker asks the controller for as the partition's leader, nil for none.
func (r *registry) proposed(id int32, tp wire.TopicPartition) []int32 {
	n := r.c.node(id)
	if n == nil || n.broker == nil {
		return nil
	}
	for _, s := range n.broker.Replicas() {
		if s.TP == tp {
			return s.ISRProposed
		}
	}
	return nil
}

// healthy reports whether the broker runs, is registered and serves: a broker that is starting, or cut off from ZooKeeper, may be on its
// way out of the ISR.
func (r *registry) healthy(id int32) bool {
	n := r.c.node(id)
	if n == nil || r.c.w.Status(n.name) != cluster.Running || n.broker == nil || !n.broker.Ready() || r.lost[id] || r.c.w.Severed(n.name, zkName) {
		return false
	}
	if r.c.zk == nil {
		return true // what it says is not known, and no session ends meanwhile
	}
	_, _, registered := r.c.zk.Get(zookeeper.PathBrokerID(id))
	return registered
}

// converged says what is missing until the cluster is well, or "": every broker serves, every partition has a leader
// and its whole ISR, and all replicas have the same end and high watermark.
func (r *registry) converged() string {
	for _, n := range r.c.brokers {
		if n.broker == nil || !n.broker.Ready() || r.c.w.Status(n.name) != cluster.Running {
			return fmt.Sprintf("broker %d does not serve", n.id)
		}
	}
	v := r.view()
	for i := range r.partitions {
		p := &r.partitions[i].state
		if !r.partitions[i].known || p.Leader < 0 {
			return fmt.Sprintf("%s has no leader", r.partitions[i].tp)
		}
		if len(p.ISR) < len(p.Replicas) {
			return fmt.Sprintf("%s has the ISR %v of replicas %v", p.TP, p.ISR, p.Replicas)
		}
		if why := settled(p, v.Replicas); why != "" {
			return why
		}
	}
	return ""
}

// settled says which replica does not know its role, or lags behind its leader by more than what is on its way.
func settled(p *oracle.Registered, replicas []oracle.Replica) string {
	var leader *partition.State
	roles := 0
	for i := range replicas {
		s := &replicas[i].State
		if s.TP != p.TP {
			continue
		}
		if s.LeaderEpoch == p.LeaderEpoch && s.Role != partition.Idle && !s.Offline {
			roles++
		}
		if replicas[i].Broker == p.Leader && s.Role == partition.Leader {
			leader = s
		}
	}
	switch {
	case leader == nil:
		return fmt.Sprintf("broker %d does not know that it leads %s", p.Leader, p.TP)
	case roles < len(p.Replicas):
		return fmt.Sprintf("%d of %d replicas of %s know epoch %d", roles, len(p.Replicas), p.TP, p.LeaderEpoch)
	}
	return ""
}
