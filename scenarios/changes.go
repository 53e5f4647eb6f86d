package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
	"barnabas/scenarios/oracle"
	"barnabas/sim/rng"
)

// drawPlan draws a seed's plan.
func drawPlan(s *Scenario, seed uint64) *Plan {
	draw := rng.New(seed).Sub("harness").Stream("plan")
	p := newPlan(draw)
	s.Draw(draw, p)
	p.turnKnobs(rng.New(seed).Sub("harness").Stream("knobs"))
	p.settle()
	return p
}

// settle completes a plan once its scenario has drawn it.
func (p *Plan) settle() {
	p.Faults.Clients = p.Producers + p.Consumers + p.Transactional + p.Processors + p.Members
	p.Faults.Synced, p.Faults.Budget.PowerTogether = p.SyncEveryAppend, p.SyncEveryAppend
	p.Faults.Brokers = nil
	for id := range p.Brokers {
		p.Faults.Brokers = append(p.Faults.Brokers, faults.Node(id+1))
	}
}

// change makes the plan what the changes say.
func (p *Plan) change(c faults.Changes) {
	if c == (faults.Changes{}) {
		return
	}
	count := func(have *int, want int) {
		if want != 0 {
			*have = max(0, want)
		}
	}
	partitions := int(p.Partitions)
	count(&p.Brokers, c.Brokers)
	count(&partitions, c.Partitions)
	count(&p.Producers, c.Producers)
	count(&p.Consumers, c.Consumers)
	count(&p.Transactional, c.Transactional)
	count(&p.Processors, c.Processors)
	count(&p.Members, c.Members)
	count(&p.Legacy, c.Legacy)
	operators := len(p.Operators)
	count(&operators, c.Operators)
	p.Operators = p.Operators[:min(operators, len(p.Operators))]
	p.Settled = cmp.Or(c.Settle, p.Settled)
	p.Partitions = int32(partitions)
	p.Load.Partitions = p.Partitions
	p.Replicas = int16(min(int(p.Replicas), p.Brokers))
	p.MinInsync = min(p.MinInsync, int(p.Replicas))
	p.Load.RecordsMax = c.Records
	p.Load.Begin = env.Instant(c.Begin)
	p.Load.Pause = cmp.Or(c.Pause, p.Load.Pause)
	p.HealAt = cmp.Or(c.Heal, p.HealAt)
	if c != (faults.Changes{Beyond: c.Beyond}) {
		p.Least = Least{Acked: 1}
	}
	p.Load.Txns.OutputPartitions = min(p.Load.Txns.OutputPartitions, p.Partitions)
}

// Size is how large a seed's trial is, for whoever wants a smaller one.
type Size struct {
	Brokers, Partitions, Producers, Consumers             int
	Transactional, Processors, Members, Legacy, Operators int
	Pause, Heal, Settle                                   time.Duration
}

// SizeOf draws the seed's plan and tells its size with the changes.
func SizeOf(s *Scenario, seed uint64, c faults.Changes) Size {
	p := drawPlan(s, seed)
	p.change(c)
	return Size{Brokers: p.Brokers, Partitions: int(p.Partitions), Producers: p.Producers, Consumers: p.Consumers, Transactional: p.Transactional,
		Processors: p.Processors, Members: p.Members, Legacy: p.Legacy, Operators: len(p.Operators), Pause: p.Load.Pause, Heal: p.HealAt, Settle: p.Settled}
}

// describeState is every partition in ZooKeeper and every replica at this moment, a line each.
func (r *run) describeState() string {
	var b strings.Builder
	v := r.view.view()
	fmt.Fprintf(&b, "at %.3fs: controller %d\n", time.Duration(r.w.Now()).Seconds(), r.view.controller())
	for _, n := range append([]string{zkName}, brokerNames(r.c)...) {
		fmt.Fprintf(&b, "  %-4s %s, life %d\n", n, r.w.Status(n), r.w.Life(n))
	}
	for _, p := range v.Partitions {
		fmt.Fprintf(&b, "%s  leader %d epoch %d ISR %v replicas %v (partition epoch %d); %d committed\n", p.TP, p.Leader, p.LeaderEpoch, p.ISR, p.Replicas,
			p.PartitionEpoch, r.oracle.Committed(p.TP))
		replicas := slices.Clone(v.Replicas)
		slices.SortStableFunc(replicas, func(a, b oracle.Replica) int { return cmp.Compare(a.Broker, b.Broker) })
		for _, s := range replicas {
			if s.State.TP != p.TP {
				continue
			}
			extra := ""
			if len(s.State.ISR) > 0 {
				extra = fmt.Sprintf(" ISR %v", s.State.ISR)
			}
			if len(s.State.ISRMaximal) != len(s.State.ISR) {
				extra += fmt.Sprintf(" maximal %v", s.State.ISRMaximal)
			}
			for _, flag := range []struct {
				on   bool
				word string
			}{{s.State.Offline, "offline"}, {s.State.Closed, "closed"}, {s.State.Changing, "changing"}} {
				if flag.on {
					extra += " " + flag.word
				}
			}
			fmt.Fprintf(&b, "  b%d  %-8s epoch %d of leader %d: log [%d, %d) high watermark %d, last epoch in the log %d%s\n", s.Broker, s.State.Role,
				s.State.LeaderEpoch, s.State.LeaderID, s.State.LogStartOffset, s.State.LogEndOffset, s.State.HighWatermark, s.State.LatestEpoch, extra)
		}
	}
	return b.String()
}
