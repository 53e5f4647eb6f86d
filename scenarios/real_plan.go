package scenarios

import (
	"cmp"
	"time"

	"barnabas/faults"
)

// realPlan draws a seed's plan for the real world.
func realPlan(o RealOptions) *Plan {
	p := drawPlan(o.Scenario, o.Seed)
	p.ReadyBy, p.ConvergeMax = max(p.ReadyBy, 30*time.Second), max(p.ConvergeMax, 60*time.Second)
	if o.Scenario.Real != nil {
		o.Scenario.Real(p)
	}
	if o.Schedule != nil {
		p.change(o.Schedule.Header.Changes)
	}
	if o.Schedule != nil && o.Schedule.Header.Changes.Beyond > 0 {
		p.goBeyond()
	}
	if o.Brokers > 0 {
		p.brokers(o.Brokers)
		p.Replicas = int16(min(int(p.Replicas), p.Brokers))
		p.MinInsync = min(p.MinInsync, int(p.Replicas))
	}
	if o.For > 0 {
		p.last(o.For)
	}
	if o.Processes == nil {
		p.Load.Topic, p.Load.Negotiate = o.Topic, true
		p.Load.Begin = 0
		p.Operators, p.Churn = nil, Churn{}
		p.Least = Least{Acked: p.Least.Acked, Read: p.Least.Read, Transactions: p.Least.Transactions, Processed: p.Least.Processed}
	}
	return p
}

// last makes faults and load last for d, and what is expected of the run fit that.
func (p *Plan) last(d time.Duration) {
	whole := p.HealAt - p.Faults.Start
	p.HealAt = p.Faults.Start + d
	p.Faults.End = p.HealAt
	if d >= whole {
		return
	}
	part := float64(d) / float64(whole)
	p.Least.ISRChanges, p.Least.Elections, p.Least.Racks = 0, 0, 0 // what leads to them may be planned for later
	for _, n := range []*int{&p.Least.Acked, &p.Least.Read, &p.Least.Commits, &p.Least.Owned, &p.Least.Operations, &p.Least.Transactions, &p.Least.Processed} {
		if *n > 0 {
			*n = max(1, int(float64(*n)*part/2)) // half: a short run begins slowly
		}
	}
}

// RealBudget is how long a run takes at most: each of its phases is bounded.
func RealBudget(o RealOptions) time.Duration {
	p := realPlan(o)
	return 2*p.ReadyBy + (p.HealAt - p.Faults.Start) + p.ConvergeMax + p.Settled + p.endMax() + retentionRest + 2*p.Load.Txns.Timeout + 20*time.Second + p.DrainMax + 40*time.Second
}

// endMax bounds the end of the clients.
func (p *Plan) endMax() time.Duration { return 2*p.Load.DeliveryTimeout + 10*time.Second }

// RealBrokers is how many brokers the run will have.
func RealBrokers(o RealOptions) int { return realPlan(o).Brokers }

// changes are what makes the trial another than the seed's own.
func (r *realRun) changes() faults.Changes {
	c := faults.Changes{}
	if r.o.Schedule != nil {
		c = r.o.Schedule.Header.Changes
	}
	c.Brokers = cmp.Or(r.o.Brokers, c.Brokers)
	if r.o.For > 0 {
		c.Heal = r.plan.HealAt
	}
	return c
}
