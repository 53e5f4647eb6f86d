package scenarios

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/txn"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/oracle"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// output is the topic that processors write to.
const output = "out"

// newTopics are the topics of the plan.
func (p *Plan) newTopics() []client.NewTopic {
	list := []client.NewTopic{{Name: p.Load.Topic, Partitions: p.Partitions, ReplicationFactor: p.Replicas}}
	if t := p.Load.Txns; t.Output != "" {
		list = append(list, client.NewTopic{Name: t.Output, Partitions: t.OutputPartitions, ReplicationFactor: p.Replicas})
	}
	return list
}

func (p *Plan) topicNames() (names []string) {
	for _, t := range p.newTopics() {
		names = append(names, t.Name)
	}
	return names
}

// promises is what Kafka promises of each topic.
func (p *Plan) promises() []history.Topic {
	list := []history.Topic{p.promise()}
	if t := p.Load.Txns; t.Output != "" {
		out := list[0]
		out.Name, out.Partitions = t.Output, t.OutputPartitions
		list = append(list, out)
	}
	return list
}

func (p *Plan) pipelines() []history.Pipeline {
	if p.Load.Txns.Output == "" {
		return nil
	}
	return []history.Pipeline{{Group: p.Load.Groups.Group, Input: p.Load.Topic, Output: p.Load.Txns.Output, Delivery: history.ExactlyOnce}}
}

// settleTransactions waits until every transaction has ended, by its producer or by its time-out. What is then open in a partition
// hangs, which the all-seeing checker reports; what is open at a coordinator is a failure of liveness.
func (r *run) settleTransactions() bool {
	timeout := r.plan.Load.Txns.Timeout
	if timeout == 0 {
		return true
	}
	r.w.RunUntil(func() bool {
		if r.crashed() || r.broken() {
			return true
		}
		_, unstable := oracle.Unstable(r.view.view())
		return !unstable && r.oracle.LookSettled(oracle.View{}, r.coordinated()) == ""
	}, r.w.Now().Add(2*timeout+20*time.Second))
	if r.crashed() || r.broken() {
		return false
	}
	if why := r.oracle.LookSettled(r.view.view(), r.coordinated()); why != "" {
		r.end(reports.Liveness, "long after their time-outs, transactions are under way: "+why)
		return false
	}
	return !r.broken()
}

// coordinated are all transactional ids, by their coordinators.
func (r *run) coordinated() (list []txn.Seen) {
	for _, n := range r.c.brokers {
		if n.broker != nil && r.running(n.id) {
			list = append(list, n.broker.Transactions()...)
		}
	}
	return list
}

// expected says what a run of the plan is expected to come to.
func (p *Plan) expected() string {
	if len(p.Expect) == 0 {
		return "pass"
	}
	return fmt.Sprintf("to fail (%s): %s", strings.Join(p.Expect, ", "), p.WhyExpected)
}

// meetExpectation takes the violations that were expected out of the failures. If all were, and there was one, the run is a pass; if
// none came, it has shown nothing.
func (r *run) meetExpectation() {
	if r.plan.meetExpectation(r.report) && !r.crashed() {
		r.end(reports.Vacuous, "it was expected to fail, and did not")
	}
}

// meetExpectation does so in the record; true if it was expected to fail, and did not.
func (p *Plan) meetExpectation(r *reports.Run) (unmet bool) {
	if len(p.Expect) == 0 {
		if p.WhyExpected != "" {
			r.Expected = "to pass: " + p.WhyExpected
		}
		return false
	}
	r.Expected = p.expected()
	for _, f := range r.Failures {
		if slices.Contains(p.Expect, f.ID) {
			r.Met = append(r.Met, f)
		}
	}
	r.Failures = slices.DeleteFunc(r.Failures, func(f reports.Failure) bool { return slices.Contains(p.Expect, f.ID) })
	return len(r.Met) == 0 && len(r.Failures) == 0
}

// LateEnds holds EndTxn requests back on their way.
type LateEnds struct {
	Every int // one in so many; 0 for none
	Delay time.Duration
}

// lateEnds is main in an environment whose connections hold EndTxn requests back, until HealAt: what a client sent and gave up arrives
// when it has long sent it again, and gone on.
func (c *simCluster) lateEnds(main func(env.Env)) func(env.Env) {
	return c.plan.LateEnds.hold(main, func() env.Instant { return env.Instant(c.plan.HealAt) })
}

// hold is main in such an environment; until is asked when it starts.
func (l LateEnds) hold(main func(env.Env), until func() env.Instant) func(env.Env) {
	if l.Every == 0 {
		return main
	}
	return func(e env.Env) {
		main(&endsEnv{Env: e, o: l, until: until(), rand: e.Rand("late-ends")})
	}
}

type endsEnv struct {
	env.Env
	o     LateEnds
	until env.Instant
	rand  *rand.Rand
}

func (l *endsEnv) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	conn, err := l.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &endsConn{Conn: conn, l: l, mu: l.NewMutex()}, nil
}

// endsConn delivers what was held back even if the client has closed the connection: the network had it already.
type endsConn struct {
	env.Conn
	l *endsEnv

	mu      env.Mutex
	held    [][]byte
	closing bool
}

func (c *endsConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	isEnd := len(p) > 6 && int16(p[4])<<8|int16(p[5]) == int16(kmsg.EndTxn)
	hold := isEnd && c.l.Mono() < c.l.until && c.l.rand.IntN(c.l.o.Every) == 0
	if !hold && len(c.held) == 0 {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	defer c.mu.Unlock()
	if c.closing {
		return 0, env.ErrClosed
	}
	if c.held = append(c.held, slices.Clone(p)); len(c.held) == 1 {
		delay := c.l.o.Delay/2 + time.Duration(c.l.rand.Int64N(int64(c.l.o.Delay)))
		c.l.Go("late-end", func() { c.deliver(delay) })
	}
	return len(p), nil
}

func (c *endsConn) deliver(delay time.Duration) {
	c.l.Sleep(delay)
	for {
		c.mu.Lock()
		if len(c.held) == 0 {
			closing := c.closing
			c.mu.Unlock()
			if closing {
				c.l.Sleep(time.Second) // the peer is to read it before the connection ends
				c.Conn.Close()
			}
			return
		}
		p := c.held[0]
		c.mu.Unlock()
		_, err := c.Conn.Write(p) // a broken connection has lost it, as a network may
		c.mu.Lock()
		c.held = c.held[1:]
		if err != nil {
			c.held = nil
		}
		c.mu.Unlock()
	}
}

func (c *endsConn) Close() error {
	c.mu.Lock()
	wait := len(c.held) > 0
	c.closing = true
	c.mu.Unlock()
	if wait {
		return nil
	}
	return c.Conn.Close()
}
