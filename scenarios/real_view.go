package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/reports"
)

// realView reads what ZooKeeper says of the cluster, over and over, in a session of the harness's own that no fault
// strikes, and remembers how it changed. While ZooKeeper is down, what it said last stands.
type realView struct {
	r       *realRun
	e       env.Env
	stopped bool
	session zookeeper.Session

	mu         env.Mutex
	looked     env.Instant // when the last look was whole
	brokers    map[int32]int64
	partitions []registeredState
	controller int32
	count      struct{ elections, isrChanges, controllers int }
	history    []reports.Leadership
	lastCzxid  int64 // of /controller
}

type registeredState struct {
	known    bool
	mzxid    int64
	state    zookeeper.PartitionState
	replicas []int32
}

const (
	// viewPause is the time between two looks.
	viewPause = 40 * time.Millisecond
	// viewSessionMs is the harness's own session's time-out.
	viewSessionMs = 3000
)

func newRealView(r *realRun) *realView {
	return &realView{r: r, e: r.e, mu: r.e.NewMutex(), controller: -1, partitions: make([]registeredState, r.plan.Partitions)}
}

func (v *realView) start() { v.e.Go("view", v.run) }

func (v *realView) stop() {
	v.mu.Lock()
	v.stopped = true
	v.mu.Unlock()
}

func (v *realView) run() {
	defer func() {
		if v.session != nil {
			v.session.Close()
		}
	}()
	for {
		v.mu.Lock()
		stopped := v.stopped
		v.mu.Unlock()
		if stopped {
			return
		}
		if err := v.look(); errors.Is(err, zookeeper.ErrSessionExpired) || errors.Is(err, zookeeper.ErrSessionClosed) {
			v.session = nil
		}
		v.e.Sleep(viewPause)
	}
}

// look reads everything once.
func (v *realView) look() (err error) {
	if v.session == nil {
		v.session, err = v.r.o.OpenSession(v.e, []string{v.r.c.p.Addr(zkName)}, viewSessionMs, v.e.Mono().Add(time.Second))
		if err != nil {
			v.session = nil
			return err
		}
	}
	s := v.session
	brokers := map[int32]int64{}
	for _, id := range v.r.brokerIDs() {
		if _, stat, err := s.Get(zookeeper.PathBrokerID(id), false); err == nil {
			brokers[id] = stat.EphemeralOwner
		} else if !errors.Is(err, zookeeper.ErrNoNode) {
			return err
		}
	}
	if err := v.lookController(s); err != nil {
		return err
	}
	if err := v.lookPartitions(s); err != nil {
		return err
	}
	v.mu.Lock()
	v.brokers, v.looked = brokers, v.e.Mono()
	v.mu.Unlock()
	return nil
}

func (v *realView) lookController(s zookeeper.Session) error {
	data, stat, err := s.Get(zookeeper.PathController, false)
	id := int32(-1)
	switch {
	case errors.Is(err, zookeeper.ErrNoNode):
	case err != nil:
		return err
	default:
		if id, err = zookeeper.DecodeController(data); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.controller = id
	if id >= 0 && stat.Czxid != v.lastCzxid {
		v.lastCzxid = stat.Czxid
		v.count.controllers++
	}
	return nil
}

func (v *realView) lookPartitions(s zookeeper.Session) error {
	data, _, err := s.Get(zookeeper.PathTopic(v.r.plan.Load.Topic), false)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	assignment, err := zookeeper.DecodeTopic(v.r.plan.Load.Topic, data)
	if err != nil {
		return err
	}
	for p := range v.partitions {
		tp := wire.TopicPartition{Topic: v.r.plan.Load.Topic, Partition: int32(p)}
		data, stat, err := s.Get(zookeeper.PathPartitionState(tp), false)
		if errors.Is(err, zookeeper.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		state, err := zookeeper.DecodePartitionState(tp, data, stat.Version)
		if err != nil {
			return err
		}
		v.take(p, state, stat.Mzxid, assignment.Partitions[int32(p)].Replicas)
	}
	return nil
}

func (v *realView) take(p int, state zookeeper.PartitionState, mzxid int64, replicas []int32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := &v.partitions[p]
	old.replicas = replicas
	if old.known && old.mzxid == mzxid {
		return
	}
	if old.known && old.state.Leader != state.Leader {
		v.count.elections++
	}
	if old.known && !sameMembers(old.state.ISR, state.ISR) {
		v.count.isrChanges++
	}
	old.known, old.mzxid, old.state = true, mzxid, state
	v.history = append(v.history, reports.Leadership{At: time.Duration(v.e.Mono()), Partition: wire.TopicPartition{Topic: v.r.plan.Load.Topic, Partition: int32(p)}.String(),
		Leader: state.Leader, Epoch: state.LeaderEpoch, ISR: slices.Clone(state.ISR)})
}

func (v *realView) account(p *reports.Run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p.Counts.Elections, p.Counts.ISRChanges, p.Counts.Controllers = v.count.elections, v.count.isrChanges, v.count.controllers
	p.Leaders = v.history
}

// leader is who leads the partition, -1 for nobody.
func (v *realView) leader(p int) int32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.partitions[p].known {
		return -1
	}
	return v.partitions[p].state.Leader
}

// holder is who holds /controller, -1 for nobody.
func (v *realView) holder() int32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.controller
}

// registered tells whether the broker has a registration, and owner in which session.
func (v *realView) registered(id int32) bool { return v.owner(id) != 0 }

func (v *realView) owner(id int32) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.brokers[id]
}

// serving says which broker does not serve yet, or "": each must be registered and know all others and a controller.
func (v *realView) serving() string {
	if why := v.fresh(); why != "" {
		return why
	}
	for _, id := range v.r.brokerIDs() {
		if !v.r.serves(id) {
			return fmt.Sprintf("broker %d does not serve", id)
		}
	}
	for _, id := range v.r.brokerIDs() {
		m, err := v.metadata(id, nil)
		switch {
		case err != nil:
			return fmt.Sprintf("broker %d does not answer: %v", id, err)
		case len(m.Brokers) < v.r.plan.Brokers:
			return fmt.Sprintf("broker %d sees %d of %d brokers", id, len(m.Brokers), v.r.plan.Brokers)
		case m.ControllerID < 0:
			return fmt.Sprintf("broker %d sees no controller", id)
		}
	}
	return ""
}

// fresh says why what is known is old, or "".
func (v *realView) fresh() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.brokers == nil || v.e.Mono().Sub(v.looked) > time.Second {
		return "ZooKeeper does not answer"
	}
	return ""
}

// converged says what is missing until the cluster is well, or "": every broker serves, every partition has a leader
// and its whole ISR, and all brokers know.
func (v *realView) converged() string {
	if why := v.serving(); why != "" {
		return why
	}
	states := v.states()
	for p, s := range states {
		switch {
		case !s.known || s.state.Leader < 0:
			return fmt.Sprintf("%s-%d has no leader", v.r.plan.Load.Topic, p)
		case len(s.state.ISR) < len(s.replicas):
			return fmt.Sprintf("%s-%d has the ISR %v of replicas %v", v.r.plan.Load.Topic, p, s.state.ISR, s.replicas)
		}
	}
	for _, id := range v.r.brokerIDs() {
		m, err := v.metadata(id, &v.r.plan.Load.Topic)
		if err != nil {
			return fmt.Sprintf("broker %d does not answer: %v", id, err)
		}
		if why := agrees(m, states); why != "" {
			return fmt.Sprintf("broker %d %s", id, why)
		}
	}
	return ""
}

func (v *realView) states() []registeredState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.partitions)
}

// agrees says how a broker's metadata differ from what is registered, or "".
func agrees(m *kmsg.MetadataResponse, states []registeredState) string {
	if len(m.Topics) != 1 || len(m.Topics[0].Partitions) != len(states) {
		return "does not know the topic"
	}
	for _, p := range m.Topics[0].Partitions {
		if s := &states[p.Partition].state; p.Leader != s.Leader || p.LeaderEpoch != s.LeaderEpoch {
			return fmt.Sprintf("takes broker %d of epoch %d for the leader of partition %d, which is %d of epoch %d", p.Leader, p.LeaderEpoch, p.Partition, s.Leader, s.LeaderEpoch)
		}
	}
	return ""
}

// metadata asks one broker; without a topic only for the cluster.
func (v *realView) metadata(id int32, topic *string) (*kmsg.MetadataResponse, error) {
	conn, err := client.Dial(v.e, v.r.c.p.Addr(brokerName(id)), client.ConnOptions{ClientID: "view", DialTimeout: time.Second, RequestTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	req.Topics = []kmsg.MetadataRequestTopic{}
	if topic != nil {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = topic
		req.Topics = append(req.Topics, t)
	}
	resp, err := conn.Do(req, time.Second)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.MetadataResponse), nil
}
