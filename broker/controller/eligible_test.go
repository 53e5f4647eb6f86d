package controller

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"barnabas/broker/zookeeper"
)

// How many random walks go through each of the worlds, and how far everything is explored; make soak-eligible goes further.
var (
	walkSeeds    = flag.Uint64("walk-seeds", 600, "random walks of TestEligible through each of its worlds")
	exploreDepth = flag.Int("explore-depth", 7, "steps within which TestEligibleExhaustively explores everything")
)

// step is something that may happen now, to a broker and perhaps with another.
type step struct {
	name  string
	i, k  int // k is -1 if it says nothing
	rough bool
	do    func(*world)
}

func (s step) String() string {
	if s.k < 0 {
		return fmt.Sprintf("%s %d", s.name, s.i)
	}
	return fmt.Sprintf("%s %d %d", s.name, s.i, s.k)
}

// steps lists what may happen, in an order that depends on the world alone. What a power loss leaves is picked, or the least
// if pick is nil.
func (w *world) steps(pick func(n int) int) []step {
	var out []step
	for i := range w.b.brokers {
		out = append(out, w.brokerSteps(i)...)
		out = append(out, w.roughSteps(i, pick)...)
	}
	return append(out, w.controllerSteps()...)
}

// brokerSteps are what a broker does if nothing is wrong with it.
func (w *world) brokerSteps(i int) []step {
	var out []step
	n := &w.nodes[i]
	add := func(name string, do func(*world)) { out = append(out, step{name, i, -1, false, do}) }
	if w.leads(i) {
		if len(n.log) < w.b.records {
			add("append", func(w *world) {
				w.nodes[i].log = append(slices.Clone(w.nodes[i].log), w.nodes[i].leaderEpoch)
				w.advance(i)
			})
		}
		out = append(out, w.leaderSteps(i)...)
	}
	if w.fetches(i) {
		add("fetch", func(w *world) { w.fetch(i) })
	}
	if len(n.inbox) > 0 {
		add("deliver", func(w *world) { w.deliver(i) })
	}
	if n.running && !n.registered {
		add("register", func(w *world) { w.register(i, false) })
	}
	if !n.running && n.registered {
		add("session ends", func(w *world) { w.nodes[i].registered = false })
	}
	if !n.running && !n.registered {
		add("start", func(w *world) {
			n := &w.nodes[i]
			n.running, n.clean, n.broken = true, false, false
			w.register(i, true)
		})
	}
	if n.broken && n.running && !w.failed[i] && w.view[int32(i)].Epoch == n.reg.Epoch {
		add("controller hears of log directory", func(w *world) { w.failed[i] = true; w.elect(); w.shrink([]int32{int32(i)}) })
	}
	return out
}

// roughSteps are what may befall it.
func (w *world) roughSteps(i int, pick func(n int) int) []step {
	var out []step
	n := &w.nodes[i]
	add := func(name string, k int, do func(*world)) { out = append(out, step{name, i, k, true, do}) }
	if n.running && w.settings < w.b.settings {
		for k := 1; k <= min(w.b.brokers, 3); k++ {
			if k != n.minISR {
				add("min.insync.replicas", k, func(w *world) {
					w.nodes[i].minISR = k
					w.settings++
					if w.leads(i) {
						w.advance(i)
					}
				})
			}
		}
	}
	if n.running && w.crashes < w.b.crashes {
		add("kill", -1, func(w *world) { w.crashes++; w.end(i) })
		if n.registered && w.state.Leader != int32(i) {
			add("stop", -1, func(w *world) {
				w.crashes++
				w.nodes[i].clean = true
				w.end(i)
				w.nodes[i].registered = false
			})
		}
		if n.registered {
			add("session expires", -1, func(w *world) { w.crashes++; w.nodes[i].registered = false })
		}
	}
	if w.power < w.b.losses && !n.clean {
		left := 0
		if pick != nil {
			left = pick(len(n.log) + 1)
		}
		add("power loss leaves", left, func(w *world) {
			w.power++
			if w.nodes[i].running {
				w.end(i)
			}
			w.powerLoss(i, left)
		})
	}
	if n.running && !n.broken && w.failures < w.b.failures {
		add("log directory fails", -1, func(w *world) { w.failures++; w.breakLog(i) })
	}
	return out
}

func (w *world) leaderSteps(i int) []step {
	var out []step
	n := &w.nodes[i]
	add := func(name string, k int32, do func(*world)) { out = append(out, step{name, i, int(k), false, do}) }
	if n.pending == nil {
		for _, f := range n.isr {
			if f != int32(i) {
				add("leader drops", f, func(w *world) {
					w.propose(i, keep(w.nodes[i].isr, func(id int32) bool { return id != f }), -1, false)
				})
			}
		}
		for _, f := range n.replicas {
			if f != int32(i) && !slices.Contains(n.isr, f) && n.ends[f] >= max(n.hw, n.start) {
				add("leader adds", f, func(w *world) { w.propose(i, append(slices.Clone(w.nodes[i].isr), f), f, false) })
			}
		}
		if n.number > 0 && len(n.isr) < n.number && len(n.isr) >= min(n.minISR, len(n.replicas)) {
			add("leader asks for an empty elr", -1, func(w *world) {
				w.propose(i, slices.Clone(w.nodes[i].isr), -1, true)
				w.advance(i)
			})
		}
		return out
	}
	c := n.pending
	if c.answer == nil && !c.refused && !c.stalled && w.view[int32(i)].Epoch == n.reg.Epoch {
		add("controller decides for", -1, func(w *world) { w.judge(int32(i)) })
	}
	if c.answer != nil || c.refused {
		add("answer", -1, func(w *world) { w.answered(i) })
		if c.answer != nil {
			add("answer is lost", -1, func(w *world) { w.nodes[i].pending.answer = nil })
		}
	}
	return out
}

func (w *world) controllerSteps() []step {
	var out []step
	add := func(name string, k int, rough bool, do func(*world)) { out = append(out, step{name, k, -1, rough, do}) }
	for i := range w.b.brokers {
		b, known := w.view[int32(i)]
		if n := &w.nodes[i]; known != n.registered || known && b.Epoch != n.reg.Epoch {
			add("controller looks", 0, false, (*world).look)
			break
		}
	}
	if w.settings < w.b.settings {
		for k := 1; k <= min(w.b.brokers, 3); k++ {
			if k != w.minISR {
				add("min.insync.replicas at the controller", k, true, func(w *world) { w.minISR = k; w.settings++ })
			}
		}
	}
	if w.reigns < w.b.reigns {
		add("new controller", 0, true, func(w *world) { w.reigns++; w.reign(false) })
		if w.b.foreign {
			add("new controller of Kafka", 0, true, func(w *world) { w.reigns++; w.reign(true) })
		}
	}
	if w.moved >= w.b.moves || !w.kafkas && w.succession().bereft(w.now()) {
		return out
	}
	for i := range w.b.brokers {
		id := int32(i)
		rest := keep(w.state.ISR, func(m int32) bool { return m != id })
		if slices.Contains(w.replicas, id) && len(w.replicas) > 1 && len(rest) > 0 {
			add("reassign without", i, true, func(w *world) { w.moved++; w.drop(id, rest) })
		}
		if !slices.Contains(w.replicas, id) && w.online(id) {
			add("reassign with", i, true, func(w *world) { w.moved++; w.take(id) })
		}
	}
	return out
}

// walk lets steps happen at random until the promise is broken, or void. Every other one begins with a leader alone in the ISR.
func walk(seed uint64, b bounds, length int) (w *world, trail []string) {
	r := rand.New(rand.NewPCG(seed, 1))
	foreign := r.Uint32()
	w = newWorld(b, func(i int) bool { return b.foreign && foreign>>(2*i)&3 == 0 })
	if seed%2 == 1 {
		w.leaveAlone()
	}
	for range length {
		steps := w.steps(r.IntN)
		if len(steps) == 0 {
			break
		}
		// Most of the time what is under way arrives: else nothing ever comes to pass.
		s := steps[r.IntN(len(steps))]
		for range 2 {
			if s.rough {
				s = steps[r.IntN(len(steps))]
			}
		}
		trail = append(trail, s.String())
		s.do(w)
		if w.inspect(); w.void || w.violation != "" {
			break
		}
	}
	return w, trail
}

// worlds are the bounds of the random walks: ours alone, and ours among Kafka's.
func worlds(wrong mistake) []bounds {
	return []bounds{
		{brokers: 3, records: 5, losses: 2, failures: 1, crashes: 5, settings: 3, reigns: 3, moves: 2, messages: 3, wrong: wrong},
		{brokers: 4, records: 5, losses: 3, failures: 1, crashes: 6, settings: 3, reigns: 4, moves: 3, messages: 3, wrong: wrong},
		{brokers: 3, records: 5, losses: 2, failures: 1, crashes: 5, settings: 3, reigns: 4, moves: 1, messages: 3, wrong: wrong, foreign: true},
	}
}

// Goal: nothing that a leader has committed is lost while one of ISR and ELR keeps its data. Method: random walks through
// worlds in which requests are late or lost, settings reach everybody at another time, machines lose power, processes and
// sessions end, directories fail, controllers change, some to Kafka's, and replicas are reassigned. That heirs have led, and that
// promises lasted, shows that the walks lead somewhere.
func TestEligible(t *testing.T) {
	for k, b := range worlds(0) {
		heirs, whole := 0, 0
		for seed := range *walkSeeds {
			w, trail := walk(seed, b, 120)
			if w.violation != "" {
				t.Fatalf("world %d, seed %d: %s\n%s", k, seed, w.violation, strings.Join(trail, "\n"))
			}
			heirs += w.heirsLed
			if !w.void {
				whole++
			}
		}
		t.Logf("world %d: heirs led %d times, the promise lasted in %d walks", k, heirs, whole)
		if least := int(*walkSeeds / 50); heirs < least || whole < least {
			t.Errorf("world %d: heirs led %d times, the promise lasted in %d of %d walks", k, heirs, whole, *walkSeeds)
		}
	}
}

// Goal: the model can tell right from wrong. Method: each rule left out by itself must lead to a violation.
func TestEligibleMistakesAreFound(t *testing.T) {
	for _, wrong := range mistakes {
		t.Run(wrong.name, func(t *testing.T) {
			for seed := range uint64(5000) {
				for k, b := range worlds(wrong.mistake) {
					if w, trail := walk(seed, b, 120); w.violation != "" {
						t.Logf("world %d, seed %d, after %d steps: %s", k, seed, len(trail), w.violation)
						return
					}
				}
			}
			t.Error("not found")
		})
	}
}

// explore visits every world that can be reached within so many steps, and returns how many, and the way to the first
// violation.
func explore(start *world, depth int) (visited int, trail []string, violation string) {
	type visit struct {
		w     *world
		from  *visit
		by    step
		depth int
	}
	seen := map[string]bool{start.key(): true}
	queue := []*visit{{w: start}}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		visited++
		for _, s := range v.w.steps(nil) {
			next := v.w.clone()
			s.do(next)
			next.inspect()
			if next.void {
				continue
			}
			if next.violation != "" {
				for trail = []string{s.String()}; v.from != nil; v = v.from {
					trail = append(trail, v.by.String())
				}
				slices.Reverse(trail)
				return visited, trail, next.violation
			}
			if key := next.key(); v.depth+1 < depth && !seen[key] {
				seen[key] = true
				queue = append(queue, &visit{next, v, s, v.depth + 1})
			}
		}
		v.w = nil
	}
	return visited, nil, ""
}

// exhaustible are two brokers to which little happens; with a new controller, or a process that ends.
func exhaustible(wrong mistake) bounds {
	return bounds{brokers: 2, records: 3, losses: 1, crashes: 1, settings: 1, reigns: 1, messages: 2, wrong: wrong}
}

// Goal: TestEligible's, where chance has no part. Method: everything that can happen to two brokers within some steps, from a
// whole ISR and from one that a broker has just left.
func TestEligibleExhaustively(t *testing.T) {
	for _, alone := range []bool{false, true} {
		w := newWorld(exhaustible(0), func(int) bool { return false })
		if alone {
			w.leaveAlone()
		}
		visited, trail, violation := explore(w, *exploreDepth)
		t.Logf("%d worlds", visited)
		if violation != "" {
			t.Fatalf("%s\n%s", violation, strings.Join(trail, "\n"))
		}
	}
}

// Goal: exploration reaches as far as mistakes do that two brokers and few steps can show. Method: they are made.
func TestEligibleExhaustivelyFindsMistakes(t *testing.T) {
	for _, wrong := range mistakes {
		if !wrong.ofTwo {
			continue
		}
		w := newWorld(exhaustible(wrong.mistake), func(int) bool { return false })
		w.leaveAlone()
		visited, trail, violation := explore(w, *exploreDepth)
		t.Logf("%s: %d worlds, %s: %s", wrong.name, visited, violation, strings.Join(trail, ", "))
		if violation == "" {
			t.Errorf("%s is not found within %d steps", wrong.name, *exploreDepth)
		}
	}
}

// Goal: who is elected. Method: cases of one partition with replicas 1, 2 and 3, min.insync.replicas 2, and the ISR [1] with the ELR 2
// and 3, all in epochs 11, 12 and 13.
func TestSuccession(t *testing.T) {
	up := func(intact int64) life { return life{Epoch: 20, Since: 20, Intact: intact, Heeds: true} }
	kept, lost := up(5), up(20)
	for _, c := range []struct {
		name    string
		brokers map[int32]life
		noELR   bool
		unclean bool
		leader  int32
		isr     []int32
		elr     []int32
	}{
		{"the last member is back with its data", map[int32]life{1: kept, 2: kept}, false, false, 1, []int32{1}, []int32{2, 3}},
		{"it is down, and may have them", map[int32]life{2: kept, 3: kept}, false, false, -1, nil, nil},
		{"it is down, and anybody may lead", map[int32]life{3: kept}, false, true, 3, []int32{3}, []int32{1, 2}},
		{"it has lost them, and an heir is there", map[int32]life{1: lost, 3: kept}, false, false, 3, []int32{3}, []int32{2}},
		{"two are", map[int32]life{1: lost, 2: kept, 3: kept}, false, false, 2, []int32{2, 3}, nil},
		{"one has lost them too", map[int32]life{1: lost, 2: lost, 3: kept}, false, false, 3, []int32{3}, nil},
		{"the heirs are down", map[int32]life{1: lost}, false, false, -1, nil, nil},
		{"one is down, one has lost them", map[int32]life{1: lost, 2: lost}, false, false, -1, nil, nil},
		{"they are, and anybody may lead", map[int32]life{1: lost}, false, true, 1, []int32{1}, nil},
		{"all have lost them", map[int32]life{1: lost, 2: lost, 3: lost}, false, false, 1, []int32{1}, nil},
		{"there is no heir", map[int32]life{1: lost, 2: kept}, true, false, 1, []int32{1}, nil},
		{"an heir of Kafka leads and has no list", map[int32]life{1: lost, 2: {Epoch: 20, Since: 20, Intact: 5}}, false, false, 2, []int32{2}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := succession{replicas: []int32{1, 2, 3}, minISR: 2, brokers: c.brokers, failed: func(int32) bool { return false }}
			now := &zookeeper.PartitionState{Leader: noLeader, ISR: []int32{1}, ISREpochs: map[int32]int64{1: 11}}
			if !c.noELR {
				now.ELR, now.ELRMin = map[int32]int64{2: 12, 3: 13}, 2
			}
			e := electorate{replicas: s.replicas, unclean: c.unclean, live: func(id int32) bool { _, there := c.brokers[id]; return there }}
			next, ok := s.elect(now, e, electOffline)
			if !ok {
				if c.leader >= 0 {
					t.Fatalf("nobody is elected, want %d", c.leader)
				}
				return
			}
			got := s.follow(now, next)
			if elr := sortedKeys(got.ELR); got.Leader != c.leader || !slices.Equal(got.ISR, c.isr) || !slices.Equal(elr, c.elr) || got.Recovery != zookeeper.Recovered {
				t.Errorf("leader %d, isr %v, elr %v, want %d, %v, %v", got.Leader, got.ISR, elr, c.leader, c.isr, c.elr)
			}
			if (got.ELRMin == 2) != (len(c.elr) > 0) || got.ISREpochs[c.leader] != 20 {
				t.Errorf("elr min %d, epochs %v", got.ELRMin, got.ISREpochs)
			}
		})
	}
}

// Goal: who is on the list, and who is elected from an ISR of two, where the walks do not come: unclean leaders, a failure that no
// controller has seen end, a lost member beside others. Method: one state, and what follows.
func TestSuccessionOfTwo(t *testing.T) {
	b := life{Epoch: 20, Since: 20, Intact: 5, Heeds: true}
	lost := life{Epoch: 20, Since: 20, Intact: 20, Heeds: true}
	s := succession{replicas: []int32{1, 2, 3}, minISR: 2, brokers: map[int32]life{1: b, 2: b, 3: b}, failed: func(int32) bool { return false }}
	now := &zookeeper.PartitionState{Leader: 1, ISR: []int32{1, 2}, ISREpochs: map[int32]int64{1: 11, 2: 12}}
	alone := *now
	alone.ISR = []int32{1}
	if got := s.follow(now, alone); got.ELR[2] != 12 || len(got.ELR) != 1 || got.ELRMin != 2 {
		t.Errorf("2 leaves: elr %v min %d, want 2 in epoch 12", got.ELR, got.ELRMin)
	}
	s.failed = func(id int32) bool { return id == 2 }
	if got := s.follow(now, alone); len(got.ELR) > 0 || got.ELRMin != 0 {
		t.Errorf("2 leaves with its log directory: elr %v min %d, want none", got.ELR, got.ELRMin)
	}
	s.failed = func(int32) bool { return false }
	unclean := *now
	unclean.Leader, unclean.ISR, unclean.Recovery = 3, []int32{3}, zookeeper.Recovering
	if got := s.follow(now, unclean); len(got.ELR) > 0 || got.ELRMin != 0 {
		t.Errorf("3 leads uncleanly: elr %v min %d, want none", got.ELR, got.ELRMin)
	}
	s.brokers = map[int32]life{1: lost, 2: b}
	e := electorate{replicas: s.replicas, live: func(id int32) bool { _, up := s.brokers[id]; return up }}
	now.Leader = noLeader
	if next, ok := s.elect(now, e, electOffline); !ok || next.Leader != 2 || !slices.Equal(next.ISR, []int32{2}) {
		t.Errorf("1 has lost its data: leader %d, isr %v, want 2 alone", next.Leader, next.ISR)
	}
	s.brokers = map[int32]life{1: lost}
	if next, ok := s.elect(now, e, electOffline); ok {
		t.Errorf("1 has lost its data, 2 is down: leader %d, want none", next.Leader)
	}
	now.Leader = 2
	s.brokers = map[int32]life{1: lost, 2: b}
	if next, ok := s.elect(now, e, electPreferred); ok {
		t.Errorf("1 has lost its data: leader %d by preference", next.Leader)
	}
}
