package scenarios

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
)

// operator changes the cluster by requests, as an administrator does, and restarts brokers. What fails is left so: the
// cluster is in trouble, and there will be other tries.
type operator struct {
	on    ground
	plan  *Plan
	e     env.Env
	admin *client.Admin
	conn  *client.Client
	rand  *rand.Rand
	end   env.Instant
	name  string
}

// ground is the cluster that operators work on, in either world.
type ground interface {
	brokerIDs() []int32
	// converged says what is missing until the cluster is well, or "".
	converged() string
	// serves tells whether the broker's process runs and serves.
	serves(id int32) bool
	// stopBroker asks a broker to hand its leaderships over and stop, without waiting for it.
	stopBroker(id int32)
	// killBroker ends its process as kill -9 does.
	killBroker(id int32)
	// running tells whether the process runs, exited whether it has ended by itself.
	running(id int32) bool
	exited(id int32) bool
	startBroker(id int32)
	// succeeded counts an operation that was done.
	succeeded()
}

func (r *run) brokerIDs() []int32 {
	var ids []int32
	for _, n := range r.c.brokers {
		ids = append(ids, n.id)
	}
	return ids
}

func (r *run) converged() string { return r.view.converged() }

func (r *run) serves(id int32) bool {
	n := r.c.node(id)
	return r.running(id) && n.broker != nil && n.broker.Ready()
}

func (r *run) stopBroker(id int32) {
	n := r.c.node(id)
	n.env.Go("stop", n.broker.Stop)
}

func (r *run) killBroker(id int32) { r.c.w.Crash(r.c.node(id).name) }

func (r *run) running(id int32) bool { return r.w.Status(r.c.node(id).name) == cluster.Running }
func (r *run) exited(id int32) bool  { return r.w.Status(r.c.node(id).name) == cluster.Exited }
func (r *run) startBroker(id int32)  { r.c.startNode(r.c.node(id).name) }
func (r *run) succeeded()            { r.operated++ }

// requestMax is how long an operator waits for an answer.
const requestMax = 5 * time.Second

// operate starts the operators, each on a machine of its own.
func (r *run) operate() {
	for i, do := range r.plan.Operators {
		name := fmt.Sprintf("op%d", i+1)
		r.w.AddNode(name, func(e env.Env) {
			o := newOperator(r, r.plan, e, name, r.c.bootstrap(), env.Instant(r.plan.HealAt))
			defer o.conn.Close()
			do(o)
		})
		r.w.Start(name)
	}
}

// newOperator makes one that works until end. Close its conn.
func newOperator(on ground, p *Plan, e env.Env, name string, bootstrap []string, end env.Instant) *operator {
	c := client.New(e, client.Options{Bootstrap: bootstrap, ClientID: name, DialTimeout: time.Second, RequestTimeout: requestMax})
	return &operator{on: on, plan: p, e: e, conn: c, admin: client.NewAdmin(c), name: name, rand: e.Rand("operator"), end: end}
}

// every calls do with pauses around mean until the time is over; without an error it counts as done.
func (o *operator) every(mean time.Duration, do func() error) {
	for {
		o.e.Sleep(time.Duration((0.5 + o.rand.Float64()) * float64(mean)))
		if o.e.Mono() >= o.end {
			return
		}
		if do() == nil {
			o.on.succeeded()
		}
	}
}

// replicas draws n brokers.
func (o *operator) replicas(n int) []int32 {
	var ids []int32
	brokers := o.on.brokerIDs()
	for _, i := range o.rand.Perm(len(brokers))[:n] {
		ids = append(ids, brokers[i])
	}
	return ids
}

// reassigns moves partitions about, changes moves on their way and cancels some.
func reassigns(mean time.Duration) func(*operator) {
	return func(o *operator) {
		o.every(mean, func() error {
			tp := wire.TopicPartition{Topic: topic, Partition: o.rand.Int32N(o.plan.Partitions)}
			if o.rand.IntN(5) == 0 {
				return o.admin.Reassign(tp, nil, requestMax)
			}
			return o.admin.Reassign(tp, o.replicas(int(o.plan.Replicas)), requestMax)
		})
	}
}

// movesDirs moves replicas between the log directories of their brokers, turns some back on their way, and asks at times for the directory
// of a replica that may not be there. Of the internal topics that are named it moves the first partition.
func movesDirs(mean time.Duration, internal ...string) func(*operator) {
	return func(o *operator) {
		o.every(mean, func() error {
			tp := wire.TopicPartition{Topic: topic, Partition: o.rand.Int32N(o.plan.Partitions)}
			if i := o.rand.IntN(2 * (len(internal) + 1)); i < len(internal) {
				tp = wire.TopicPartition{Topic: internal[i]}
			}
			ids := o.on.brokerIDs()
			broker := ids[o.rand.IntN(len(ids))]
			if _, err := o.conn.Conn(broker); err != nil {
				if err := o.conn.Refresh(o.e.Mono().Add(requestMax), topic); err != nil {
					return err
				}
			}
			_, dirs, err := o.admin.ReplicaPlaces(broker, tp, requestMax)
			if err != nil || len(dirs) == 0 {
				return errors.Join(err, errNoLogDirs)
			}
			err = o.admin.MoveReplica(broker, tp, dirs[o.rand.IntN(len(dirs))], requestMax)
			if err == nil && o.rand.IntN(4) == 0 { // and back, or on
				o.e.Sleep(time.Duration(o.rand.IntN(50)) * time.Millisecond)
				err = o.admin.MoveReplica(broker, tp, dirs[o.rand.IntN(len(dirs))], requestMax)
			}
			return err
		})
	}
}

// oneOrAll draws whose settings to change: one broker's, or -1 for all.
func (o *operator) oneOrAll(ids []int32) int32 {
	if o.rand.IntN(2) == 0 {
		return ids[o.rand.IntN(len(ids))]
	}
	return -1
}

// paces changes how many bytes a second are copied between log directories, for all brokers or for one.
func paces(mean time.Duration) func(*operator) {
	return func(o *operator) {
		ids := o.on.brokerIDs()
		o.every(mean, func() error {
			broker := o.oneOrAll(ids)
			var rate *string
			if o.rand.IntN(3) > 0 {
				text := fmt.Sprint(logarithmic(o.rand, 2<<10, 1<<20))
				rate = &text
			}
			return o.admin.SetBrokerConfig(broker, "replica.alter.log.dirs.io.max.bytes.per.second", rate, requestMax)
		})
	}
}

// retunings are settings of brokers that are changed while they run, each with what it may be.
var retunings = []struct {
	name   string
	values []string // "" takes it back
}{
	{"num.replica.fetchers", []string{"", "1", "2", "3", "4"}},
	{"log.cleaner.threads", []string{"", "1", "2"}},
	{"log.cleaner.backoff.ms", []string{"", "200", "5000"}},
	{"log.cleaner.io.max.bytes.per.second", []string{"", "1.0E5", "1.0E7"}},
	{"transaction.partition.verification.enable", []string{"", "true"}},
	{"producer.id.expiration.ms", []string{"", "600000"}},
	{"log.roll.ms", []string{"", "500", "60000"}},
	{"log.index.interval.bytes", []string{"", "100", "4096"}},
}

// retunes changes settings while brokers run, of all brokers or of one. What is more than half or double of what it was, they refuse.
func retunes(mean time.Duration) func(*operator) {
	return func(o *operator) {
		ids := o.on.brokerIDs()
		o.every(mean, func() error {
			broker := o.oneOrAll(ids)
			set := retunings[o.rand.IntN(len(retunings))]
			var value *string
			if text := set.values[o.rand.IntN(len(set.values))]; text != "" {
				value = &text
			}
			return o.admin.SetBrokerConfig(broker, set.name, value, requestMax)
		})
	}
}

// loosens changes how many must be in the ISR, for all brokers or for one: brokers go by other numbers than those who made a state.
func loosens(mean time.Duration) func(*operator) {
	return func(o *operator) {
		ids := o.on.brokerIDs()
		o.every(mean, func() error {
			broker := o.oneOrAll(ids)
			var value *string
			if text := []string{"", "1", "2"}[o.rand.IntN(3)]; text != "" {
				value = &text
			}
			return o.admin.SetBrokerConfig(broker, "min.insync.replicas", value, requestMax)
		})
	}
}

// shuffles changes the order of a partition's replicas, so that another is the preferred leader; no data moves.
func shuffles(mean time.Duration) func(*operator) {
	return func(o *operator) {
		o.every(mean, func() error {
			number := o.rand.Int32N(o.plan.Partitions)
			if err := o.conn.Refresh(o.e.Mono().Add(requestMax), topic); err != nil {
				return err
			}
			t := o.conn.Metadata().Topic(topic)
			if t == nil || int(number) >= len(t.Partitions) || len(t.Partitions[number].Replicas) < 2 {
				return errNothingToShuffle
			}
			ids := slices.Clone(t.Partitions[number].Replicas)
			o.rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			return o.admin.Reassign(wire.TopicPartition{Topic: topic, Partition: number}, ids, requestMax)
		})
	}
}

var (
	errNothingToShuffle = errors.New("fewer than two replicas")
	errNoLogDirs        = errors.New("no log directory is well")
)

// elects asks for preferred leaders.
func elects(mean time.Duration) func(*operator) {
	return func(o *operator) {
		o.every(mean, func() error {
			_, err := o.admin.ElectLeaders(false, requestMax)
			return err
		})
	}
}

// churns makes topics, writes to them, gives them more partitions, changes their configs and deletes them again.
func churns(mean time.Duration) func(*operator) {
	return func(o *operator) {
		var names []string
		made := 0
		o.every(mean, func() error {
			if len(names) > 3 || len(names) > 0 && o.rand.IntN(4) == 0 {
				name := names[0]
				names = names[1:]
				return o.admin.DeleteTopics(requestMax, name)
			}
			if len(names) == 0 || o.rand.IntN(3) == 0 {
				made++
				name := fmt.Sprintf("churn-%s-%d", o.name, made)
				names = append(names, name)
				return o.admin.CreateTopics(requestMax, client.NewTopic{Name: name, Partitions: 1 + o.rand.Int32N(4), ReplicationFactor: 1 + int16(o.rand.IntN(int(o.plan.Replicas)))})
			}
			name := names[o.rand.IntN(len(names))]
			switch o.rand.IntN(3) {
			case 0:
				return o.admin.CreatePartitions(name, 5+o.rand.Int32N(4), requestMax)
			case 1:
				value := fmt.Sprint(1 + o.rand.IntN(2))
				return o.admin.SetTopicConfig(name, "min.insync.replicas", &value, requestMax)
			}
			return o.write(name)
		})
	}
}

// remakes writes to a topic, deletes it and makes another under the same name at once, over and over.
func remakes(mean time.Duration) func(*operator) {
	return func(o *operator) {
		name := "remade-" + o.name
		there := false
		o.every(mean, func() error {
			if there && o.rand.IntN(2) > 0 {
				return o.write(name)
			}
			if there {
				if err := o.admin.DeleteTopics(requestMax, name); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
					return err
				}
				there = false
			}
			made := client.NewTopic{Name: name, Partitions: 1 + o.rand.Int32N(3), ReplicationFactor: int16(o.plan.Replicas)}
			for deadline := o.e.Mono().Add(requestMax); ; o.e.Sleep(5 * time.Millisecond) { // the deletion may be under way
				err := o.admin.CreateTopics(requestMax, made)
				if err == nil {
					break
				}
				if !errors.Is(err, kerr.TopicAlreadyExists) || o.e.Mono() >= deadline {
					return err
				}
			}
			there = true
			return o.write(name)
		})
	}
}

// write sends a few records to a topic that comes and goes. Where one finds no partition in time, the others would not either, one after the other.
func (o *operator) write(name string) error {
	p, err := client.NewProducer(o.conn, client.ProducerOptions{Acks: client.AcksAll, RequestTimeout: time.Second, DeliveryTimeout: 3 * time.Second, BlockMax: 2 * time.Second})
	if err != nil {
		return err
	}
	nowhere := false // told by Produce itself
	for i := 0; i < 10 && !nowhere; i++ {
		p.Produce(client.Record{Topic: name, Partition: client.AnyPartition, Value: fmt.Appendf(nil, "%s %d", name, i)}, func(res client.Result) {
			if res.Err != nil {
				err = res.Err
			}
			if res.TP.Partition == client.AnyPartition {
				nowhere = true
			}
		})
	}
	p.Close(3 * time.Second)
	return err
}

// restarts stops one broker after the other, in order, by controlled shutdown, and goes on when the cluster is well again.
func restarts(o *operator) { restartAll(o, func(int) bool { return false }) }

// restartAll does it, with kill -9 in place of the controlled shutdown in the rounds for which kills says so.
func restartAll(o *operator, kills func(round int) bool) {
	brokers := o.on.brokerIDs()
	for i := 0; o.e.Mono() < o.end; i++ {
		id := brokers[i%len(brokers)]
		deadline := o.e.Mono().Add(8 * time.Second)
		for o.on.converged() != "" && o.e.Mono() < min(deadline, o.end) {
			o.e.Sleep(100 * time.Millisecond)
		}
		if o.plan.betweenRestarts > 0 {
			o.e.Sleep(o.plan.betweenRestarts)
		}
		if o.e.Mono() >= o.end || !o.on.serves(id) {
			o.e.Sleep(500 * time.Millisecond)
			continue
		}
		if kills(i / len(brokers)) {
			o.on.killBroker(id)
			o.on.succeeded()
			o.e.Sleep(o.plan.downAfterKill)
			o.on.startBroker(id)
			continue
		}
		o.on.stopBroker(id)
		for o.on.running(id) && o.e.Mono() < deadline.Add(8*time.Second) {
			o.e.Sleep(50 * time.Millisecond)
		}
		if o.on.exited(id) {
			o.on.succeeded()
		}
		o.e.Sleep(time.Duration(o.rand.IntN(1500)) * time.Millisecond)
		if o.on.exited(id) {
			o.on.startBroker(id)
		}
	}
}
