package scenarios

import (
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

// operator changes the cluster by requests, as an administrator does, and restarts brokers. What fails is left so: the
// cluster is in trouble, and there will be other tries.
type operator struct {
	run   *run
	e     env.Env
	admin *client.Admin
	conn  *client.Client
	rand  *rand.Rand
	end   env.Instant
	name  string
}

// requestMax is how long an operator waits for an answer.
const requestMax = 5 * time.Second

// operate starts the operators, each on a machine of its own.
func (r *run) operate() {
	for i, do := range r.plan.Operators {
		name := fmt.Sprintf("op%d", i+1)
		r.w.AddNode(name, func(e env.Env) {
			c := client.New(e, client.Options{Bootstrap: r.c.bootstrap(), ClientID: name, DialTimeout: time.Second, RequestTimeout: requestMax})
			defer c.Close()
			do(&operator{run: r, e: e, conn: c, admin: client.NewAdmin(c), name: name, rand: e.Rand("operator"), end: env.Instant(r.plan.HealAt)})
		})
		r.w.Start(name)
	}
}

// every calls do with pauses around mean until the time is over; without an error it counts as done.
func (o *operator) every(mean time.Duration, do func() error) {
	for {
		o.e.Sleep(time.Duration((0.5 + o.rand.Float64()) * float64(mean)))
		if o.e.Mono() >= o.end {
			return
		}
		if do() == nil {
			o.run.operated++
		}
	}
}

// replicas draws n brokers.
func (o *operator) replicas(n int) []int32 {
	var ids []int32
	for _, i := range o.rand.Perm(len(o.run.c.brokers))[:n] {
		ids = append(ids, o.run.c.brokers[i].id)
	}
	return ids
}

// reassigns moves partitions about, changes moves on their way and cancels some.
func reassigns(mean time.Duration) func(*operator) {
	return func(o *operator) {
		o.every(mean, func() error {
			tp := wire.TopicPartition{Topic: topic, Partition: o.rand.Int32N(o.run.plan.Partitions)}
			if o.rand.IntN(5) == 0 {
				return o.admin.Reassign(tp, nil, requestMax)
			}
			return o.admin.Reassign(tp, o.replicas(int(o.run.plan.Replicas)), requestMax)
		})
	}
}

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
				return o.admin.CreateTopics(requestMax, client.NewTopic{Name: name, Partitions: 1 + o.rand.Int32N(4), ReplicationFactor: 1 + int16(o.rand.IntN(int(o.run.plan.Replicas)))})
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

// write sends a few records to a topic that comes and goes.
func (o *operator) write(name string) error {
	p, err := client.NewProducer(o.conn, client.ProducerOptions{Acks: client.AcksAll, RequestTimeout: time.Second, DeliveryTimeout: 3 * time.Second, BlockMax: 2 * time.Second})
	if err != nil {
		return err
	}
	for i := range 10 {
		p.Produce(client.Record{Topic: name, Partition: client.AnyPartition, Value: fmt.Appendf(nil, "%s %d", name, i)}, func(res client.Result) {
			if res.Err != nil {
				err = res.Err
			}
		})
	}
	p.Close(3 * time.Second)
	return err
}

// restarts stops one broker after the other, in order, by controlled shutdown, and goes on when the cluster is well again.
func restarts(o *operator) {
	for i := 0; o.e.Mono() < o.end; i++ {
		n := o.run.c.brokers[i%len(o.run.c.brokers)]
		deadline := o.e.Mono().Add(8 * time.Second)
		for o.run.view.converged() != "" && o.e.Mono() < min(deadline, o.end) {
			o.e.Sleep(100 * time.Millisecond)
		}
		if o.e.Mono() >= o.end || o.run.c.w.Status(n.name) != cluster.Running || n.broker == nil || !n.broker.Ready() {
			o.e.Sleep(500 * time.Millisecond)
			continue
		}
		n.env.Go("stop", n.broker.Stop)
		for o.run.c.w.Status(n.name) == cluster.Running && o.e.Mono() < deadline.Add(8*time.Second) {
			o.e.Sleep(50 * time.Millisecond)
		}
		if o.run.c.w.Status(n.name) == cluster.Exited {
			o.run.operated++
		}
		o.e.Sleep(time.Duration(o.rand.IntN(1500)) * time.Millisecond)
		if o.run.c.w.Status(n.name) == cluster.Exited {
			o.run.c.startNode(n.name)
		}
	}
}
