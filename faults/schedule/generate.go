package schedule

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/faults"
)

// Plan is what Generate draws from.
type Plan struct {
	Brokers []faults.Node
	// Clients is how many clients there are to crash.
	Clients int
	// Roles lets faults strike the leader and the controller by name, besides brokers by their ids.
	Roles bool
	// Target is a role (faults.Leader, faults.Controller) that half of the faults strike, wherever a kind strikes one
	// broker. Zero, as any other node, is none.
	Target faults.Node
	// LogDirs is how many log directories each broker has.
	LogDirs int
	// Start and End bound the faults: none begins before Start, and all have healed by End.
	Start, End time.Duration
	// Weights say how often a kind comes up, before the seed's swarm changes them; 0 leaves it out.
	Weights [faults.KindCount]int
	// Gap is the typical time from one fault to the next; the seed makes it up to 3 times shorter or longer.
	Gap time.Duration
	// Must are kinds that the swarm never switches off, and of which each schedule has at least one fault, unless the
	// budget leaves no room for it.
	Must   []faults.Kind
	Budget Budget
	// Synced tells that brokers sync every append, so that no power loss takes what was acked.
	Synced bool
	// Beyond lets the schedule exceed the budget, and have kinds that Kafka promises nothing against.
	Beyond bool
}

// fits tells whether the plan's promise allows the schedule.
func (p *Plan) fits(s faults.Schedule) bool { return p.Beyond || len(p.Budget.Check(s)) == 0 }

// allows tells whether a kind may come up at all.
func (p *Plan) allows(k faults.Kind) bool {
	return p.Beyond || ClassOf(k) != Beyond || k == faults.Blackout && p.Synced
}

// Span is how long faults of a kind last: from Min to Max, short ones as likely as long ones on a logarithmic scale.
type Span struct{ Min, Max time.Duration }

// Spans of the kinds that last. They reach over the time-outs of Kafka's defaults in the scenarios, both ways.
var spans = [faults.KindCount]Span{
	faults.Crash:              {500 * time.Millisecond, 8 * time.Second},
	faults.Power:              {time.Second, 8 * time.Second},
	faults.Pause:              {200 * time.Millisecond, 8 * time.Second},
	faults.Partition:          {500 * time.Millisecond, 8 * time.Second},
	faults.PartitionOneWay:    {500 * time.Millisecond, 8 * time.Second},
	faults.Isolate:            {500 * time.Millisecond, 8 * time.Second},
	faults.SlowLink:           {time.Second, 8 * time.Second},
	faults.SlowDisk:           {time.Second, 8 * time.Second},
	faults.FailSync:           {200 * time.Millisecond, 3 * time.Second},
	faults.FailDir:            {time.Second, 8 * time.Second},
	faults.ZooKeeperOutage:    {time.Second, 10 * time.Second},
	faults.ZooKeeperCut:       {500 * time.Millisecond, 8 * time.Second},
	faults.Clog:               {100 * time.Millisecond, 6 * time.Second},
	faults.Refuse:             {500 * time.Millisecond, 6 * time.Second},
	faults.Halves:             {500 * time.Millisecond, 8 * time.Second},
	faults.Ring:               {time.Second, 8 * time.Second},
	faults.StallDisk:          {100 * time.Millisecond, 6 * time.Second},
	faults.FailRead:           {200 * time.Millisecond, 3 * time.Second},
	faults.FailWrite:          {200 * time.Millisecond, 3 * time.Second},
	faults.FullDisk:           {200 * time.Millisecond, 4 * time.Second},
	faults.Wipe:               {500 * time.Millisecond, 8 * time.Second},
	faults.ClockOffset:        {time.Second, 8 * time.Second},
	faults.ClockDrift:         {time.Second, 8 * time.Second},
	faults.Blackout:           {time.Second, 6 * time.Second},
	faults.SwapDisks:          {time.Second, 6 * time.Second},
	faults.Loss:               {time.Second, 8 * time.Second},
	faults.Bandwidth:          {time.Second, 6 * time.Second},
	faults.HoldBack:           {time.Second, 10 * time.Second},
	faults.TornWrite:          {200 * time.Millisecond, 3 * time.Second},
	faults.Misdirect:          {500 * time.Millisecond, 3 * time.Second},
	faults.LoseEntry:          {500 * time.Millisecond, 8 * time.Second},
	faults.ZooKeeperPause:     {200 * time.Millisecond, 8 * time.Second},
	faults.ZooKeeperLoseWatch: {time.Second, 8 * time.Second},
	faults.ClientPause:        {500 * time.Millisecond, 10 * time.Second},
	faults.ClientTwin:         {500 * time.Millisecond, 8 * time.Second},
	faults.ClientCrash:        {200 * time.Millisecond, 4 * time.Second},
}

const (
	placeTries     = 20  // for a fault among others, before it is left out
	placeTriesMust = 500 // for one that must be there
)

// Generate draws a schedule. The same stream and plan give the same schedule.
func Generate(r *rand.Rand, p Plan) faults.Schedule {
	g := &generator{r: r, p: p, weights: swarm(r, p)}
	if r.IntN(4) == 0 && len(p.Brokers) > 0 {
		g.victim = &p.Brokers[r.IntN(len(p.Brokers))] // a seed that picks on one broker
	}
	for _, kind := range p.Must {
		if !p.allows(kind) {
			continue
		}
		g.place(kind, placeTriesMust)
	}
	gap := float64(p.Gap) * math.Pow(3, 2*r.Float64()-1)
	if gap > 0 {
		for range int(float64(p.End-p.Start) / gap) {
			if kind, ok := g.kind(); ok {
				g.place(kind, placeTries)
			}
		}
	}
	return g.out
}

// swarm redraws the weights for one seed: a third of the kinds is off, and some of the others are heavy.
func swarm(r *rand.Rand, p Plan) (weights [faults.KindCount]int) {
	var possible []faults.Kind
	on := false
	for k := range faults.KindCount {
		must := slices.Contains(p.Must, k)
		factor := []int{0, 0, 0, 1, 1, 1, 1, 3, 9}[r.IntN(9)]
		if must {
			factor = max(1, factor)
		}
		weights[k] = p.Weights[k] * factor
		if !p.allows(k) {
			weights[k] = 0
			continue
		}
		on = on || weights[k] > 0 || must
		if p.Weights[k] > 0 {
			possible = append(possible, k)
		}
	}
	if !on && len(possible) > 0 {
		weights[possible[r.IntN(len(possible))]] = 1
	}
	return weights
}

// generator is one Generate under way.
type generator struct {
	r       *rand.Rand
	p       Plan
	weights [faults.KindCount]int
	victim  *faults.Node // all faults strike this one; nil: any
	out     faults.Schedule
}

// kind draws a kind by its weight.
func (g *generator) kind() (faults.Kind, bool) {
	total := 0
	for _, w := range g.weights {
		total += w
	}
	if total == 0 {
		return 0, false
	}
	n := g.r.IntN(total)
	for k, w := range g.weights {
		if n < w {
			return faults.Kind(k), true
		}
		n -= w
	}
	return 0, false
}

// place draws faults of the kind until one fits the window and the budget, and puts it into the schedule.
func (g *generator) place(kind faults.Kind, tries int) {
	for range tries {
		f := g.fault(kind)
		if f.At < g.p.Start || f.At+f.For > g.p.End || g.idle(f) {
			continue
		}
		i, _ := slices.BinarySearchFunc(g.out, f.At, func(a faults.Fault, at time.Duration) int { return cmp.Compare(a.At, at) })
		with := slices.Insert(slices.Clone(g.out), i, f)
		if g.p.fits(with) {
			g.out = with
			return
		}
	}
}

// idle reports whether the fault would find nothing to do: who is down or paused cannot be paused or killed once more.
func (g *generator) idle(f faults.Fault) bool {
	if !stops(f.Kind) {
		return false
	}
	return slices.ContainsFunc(g.out, func(o faults.Fault) bool {
		return stops(o.Kind) && o.Node == f.Node && f.At < o.At+o.For && o.At < f.At+f.For
	})
}

// stops reports whether the process does not run while the fault lasts.
func stops(k faults.Kind) bool {
	switch k {
	case faults.Crash, faults.Power, faults.Pause, faults.Wipe, faults.LoseEntry:
		return true
	}
	return false
}

// fault draws one fault of the kind, anywhere in the window.
func (g *generator) fault(kind faults.Kind) faults.Fault {
	f := faults.Fault{Kind: kind}
	window := g.p.End - g.p.Start
	if s := spans[kind]; s.Max > 0 {
		f.For = g.between(s.Min, max(s.Min, min(s.Max, window))).Round(time.Millisecond)
	}
	f.At = (g.p.Start + time.Duration(g.r.Float64()*float64(max(0, window-f.For)))).Truncate(time.Millisecond)
	switch kind {
	case faults.Crash, faults.Pause, faults.Isolate, faults.FailSync, faults.ZooKeeperExpire,
		faults.ZooKeeperCut, faults.Refuse, faults.StallDisk, faults.FailRead, faults.FailWrite, faults.FullDisk, faults.Wipe:
		f.Node = g.target()
	case faults.TornWrite, faults.Misdirect, faults.LoseEntry, faults.ZooKeeperLoseWatch:
		f.Node = g.target()
	case faults.BitFlip:
		f.Node = g.target()
		f.Bits = int(g.between(1, 20))
	case faults.Blackout:
		f.From = g.several()
		f.Keep = []faults.Keep{faults.KeepRandom, faults.KeepRandom, faults.KeepNone}[g.r.IntN(3)]
	case faults.SwapDisks:
		order := g.r.Perm(len(g.p.Brokers))
		f.From, f.To = []faults.Node{g.p.Brokers[order[0]]}, []faults.Node{g.p.Brokers[order[len(order)-1]]}
	case faults.Loss:
		f.From, f.To = g.sides()
		f.OneIn = int(g.between(2, 100))
	case faults.Bandwidth:
		f.From, f.To = g.sides()
		f.Bytes = int(g.between(4<<10, 1<<20))
	case faults.HalfOpen:
		if f.From, f.To = g.sides(); g.r.IntN(2) == 0 {
			f.From, f.To = f.To, f.From
		}
	case faults.HoldBack:
		if f.From, f.To = g.sides(); g.r.IntN(3) == 0 {
			f.From, f.To = f.To, f.From
		}
	case faults.Power:
		f.Node = g.target()
		if g.r.IntN(5) == 0 {
			f.Keep = faults.KeepNone
		}
	case faults.FailDir:
		f.Node = g.target()
		f.Dir = 1 + g.r.IntN(max(1, g.p.LogDirs))
	case faults.SlowDisk:
		f.Node = g.target()
		f.Slow = int(g.between(5, 500))
	case faults.Partition, faults.PartitionOneWay:
		f.From, f.To = g.sides()
		if kind == faults.PartitionOneWay && g.r.IntN(2) == 0 {
			f.From, f.To = f.To, f.From
		}
	case faults.Clog, faults.Reset:
		f.From, f.To = g.sides()
	case faults.Halves:
		f.From, f.To = g.halves()
	case faults.Ring:
		for _, i := range g.r.Perm(len(g.p.Brokers)) {
			f.From = append(f.From, g.p.Brokers[i])
		}
	case faults.ClockOffset, faults.ClockJump:
		f.Node = g.target()
		f.Wall = g.either(g.between(50*time.Millisecond, 2*time.Hour).Round(time.Millisecond))
	case faults.ClockDrift:
		f.Node = g.target()
		f.Drift = int(g.either(g.between(50, 300_000)))
	case faults.ClientCrash, faults.ClientPause, faults.ClientTwin:
		f.Client = 1 + g.r.IntN(max(1, g.p.Clients))
	case faults.SlowLink:
		f.From, f.To = g.sides()
		f.Delay = g.between(5*time.Millisecond, 500*time.Millisecond).Round(time.Millisecond)
	}
	return f
}

// between draws from low to high, evenly on a logarithmic scale.
func (g *generator) between(low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Pow(float64(high)/float64(low), g.r.Float64()))
}

// either turns d the other way half of the time.
func (g *generator) either(d time.Duration) time.Duration {
	if g.r.IntN(2) == 0 {
		return -d
	}
	return d
}

// halves draws two sides of brokers, neither empty, and puts ZooKeeper and the clients on one of them, or on none.
func (g *generator) halves() (from, to []faults.Node) {
	order := g.r.Perm(len(g.p.Brokers))
	cut := 1 + g.r.IntN(max(1, len(order)-1))
	for i, at := range order {
		if i < cut {
			from = append(from, g.p.Brokers[at])
		} else {
			to = append(to, g.p.Brokers[at])
		}
	}
	for _, n := range []faults.Node{faults.ZooKeeper, faults.Clients} {
		switch g.r.IntN(3) {
		case 0:
			from = append(from, n)
		case 1:
			to = append(to, n)
		}
	}
	return faults.SortNodes(from), faults.SortNodes(to)
}

// several draws more than one broker, half of the time all, and now and then ZooKeeper too.
func (g *generator) several() []faults.Node {
	n := len(g.p.Brokers)
	if n > 2 && g.r.IntN(2) == 0 {
		n = 2 + g.r.IntN(n-2)
	}
	var nodes []faults.Node
	for _, i := range g.r.Perm(len(g.p.Brokers))[:n] {
		nodes = append(nodes, g.p.Brokers[i])
	}
	if g.r.IntN(3) == 0 {
		nodes = append(nodes, faults.ZooKeeper)
	}
	return faults.SortNodes(nodes)
}

// target draws the node that a fault strikes.
func (g *generator) target() faults.Node {
	if g.p.Target.IsRole() && g.r.IntN(2) == 0 {
		return g.p.Target
	}
	if g.p.Roles {
		switch g.r.IntN(6) {
		case 0, 1:
			return faults.Leader
		case 2:
			return faults.Controller
		}
	}
	return g.broker()
}

func (g *generator) broker() faults.Node {
	if g.victim != nil {
		return *g.victim
	}
	return g.p.Brokers[g.r.IntN(len(g.p.Brokers))]
}

// sides draws a broker, and whom it loses: mostly all other brokers, now and then one of them, sometimes ZooKeeper and
// the clients too, rarely ZooKeeper alone.
func (g *generator) sides() (from, to []faults.Node) {
	one := g.target()
	from = []faults.Node{one}
	kind := g.r.IntN(8)
	if kind == 0 {
		return from, []faults.Node{faults.ZooKeeper}
	}
	if one.IsRole() {
		to = []faults.Node{faults.Others}
	}
	for _, b := range g.p.Brokers {
		if b != one && !one.IsRole() {
			to = append(to, b)
		}
	}
	if kind <= 2 && len(to) > 1 {
		i := g.r.IntN(len(to))
		to = to[i : i+1 : i+1]
	}
	if g.r.IntN(3) == 0 || len(to) == 0 {
		to = append(to, faults.ZooKeeper)
	}
	if g.r.IntN(6) == 0 {
		to = append(to, faults.Clients)
	}
	return from, faults.SortNodes(to)
}
