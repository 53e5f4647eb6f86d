package schedule

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"barnabas/faults"
)

func plan() Plan {
	p := Plan{
		Brokers: []faults.Node{1, 2, 3}, Roles: true,
		Start: 2 * time.Second, End: 62 * time.Second, Gap: 3 * time.Second,
		Budget: Budget{Impaired: 1, Settle: 2 * time.Second, PowerLosses: 2, PowerAlone: true, ZooKeeperAlone: true},
	}
	for k := range p.Weights {
		p.Weights[k] = 2
	}
	return p
}

func generate(seed uint64, p Plan) faults.Schedule {
	return Generate(rand.New(rand.NewPCG(seed, 0)), p)
}

// Goal: every schedule keeps to its window and budget, is in order, has a text form that reads back the same, and
// has the kinds that it must have.
func TestSchedulesKeepToThePlan(t *testing.T) {
	p := plan()
	p.Must = []faults.Kind{faults.Power, faults.ZooKeeperOutage}
	for seed := range uint64(300) {
		s := generate(seed, p)
		if excess := p.Budget.Check(s); len(excess) > 0 {
			t.Fatalf("seed %d: %+v", seed, excess)
		}
		var last time.Duration
		seen := map[faults.Kind]bool{}
		for _, f := range s {
			if f.At < p.Start || f.At+f.For > p.End || f.At < last {
				t.Fatalf("seed %d: %s, behind %v", seed, f, last)
			}
			last = f.At
			seen[f.Kind] = true
		}
		if !seen[faults.Power] || !seen[faults.ZooKeeperOutage] {
			t.Fatalf("seed %d: without what it must have:\n%s", seed, faults.File{Schedule: s}.Format())
		}
		file := faults.File{Header: faults.Header{Scenario: "x", Seed: seed}, Schedule: s}
		again, err := faults.Parse("x", file.Format())
		if err != nil || file.Header != again.Header || !reflect.DeepEqual(file.Schedule, again.Schedule) {
			t.Fatalf("seed %d: %v\n%s", seed, err, file.Format())
		}
	}
}

// Goal: seeds differ in which kinds they have and how many, every kind comes up, and none is in every seed.
func TestSwarmSwitchesKindsOffAndMakesOthersHeavy(t *testing.T) {
	const seeds = 300
	var with, heavy [faults.KindCount]int
	empty, total := 0, 0
	for seed := range uint64(seeds) {
		s := generate(seed, plan())
		var count [faults.KindCount]int
		for _, f := range s {
			count[f.Kind]++
		}
		for k, n := range count {
			if n > 0 {
				with[k]++
			}
			if n >= 4 {
				heavy[k]++
			}
		}
		if len(s) == 0 {
			empty++
		}
		total += len(s)
	}
	for k := range faults.KindCount {
		if ClassOf(k) == Beyond || k == faults.SwapDisks { // beyond the budget, which has one broker impaired at most
			if with[k] > 0 {
				t.Errorf("%s is in %d schedules", k, with[k])
			}
			continue
		}
		if with[k] < seeds/10 || with[k] > seeds*9/10 {
			t.Errorf("%s is in %d of %d schedules", k, with[k], seeds)
		}
		if ClassOf(k) != Destroys && heavy[k] == 0 { // two such losses are the budget
			t.Errorf("%s is heavy in none", k)
		}
	}
	if empty > 0 || total < 3*seeds {
		t.Errorf("%d empty schedules, %d faults in all", empty, total)
	}
	t.Logf("%.1f faults a schedule", float64(total)/seeds)
}

// Goal: a target is what about half of the faults strike, in text forms that read back.
func TestTargetIsStruckMost(t *testing.T) {
	p := plan()
	p.Target, p.Roles = faults.Controller, false
	struck, others := 0, 0
	for seed := range uint64(100) {
		s := generate(seed, p)
		for _, f := range s {
			switch {
			case f.Kind == faults.ZooKeeperRestart || f.Kind == faults.ZooKeeperOutage:
			case f.Node == faults.Controller || slices.Contains(f.From, faults.Controller) || slices.Contains(f.To, faults.Controller):
				struck++
			default:
				others++
			}
		}
		file := faults.File{Schedule: s}
		if again, err := faults.Parse("x", file.Format()); err != nil || file.Header != again.Header || !reflect.DeepEqual(file.Schedule, again.Schedule) {
			t.Fatalf("seed %d: %v\n%s", seed, err, file.Format())
		}
	}
	if struck < others*2/3 || others < struck/3 {
		t.Errorf("%d faults struck the target, %d others", struck, others)
	}
}

// Goal: a schedule depends on its stream alone.
func TestGenerateIsDeterministic(t *testing.T) {
	if !reflect.DeepEqual(generate(7, plan()), generate(7, plan())) {
		t.Error("seed 7 gave two schedules")
	}
	if reflect.DeepEqual(generate(7, plan()), generate(8, plan())) {
		t.Error("seeds 7 and 8 gave the same")
	}
}

// Goal: kinds without weight stay away, and a plan without any gives nothing.
func TestOnlyWeightedKindsComeUp(t *testing.T) {
	p := plan()
	p.Weights = [faults.KindCount]int{faults.Pause: 1}
	for seed := range uint64(50) {
		s := generate(seed, p)
		if len(s) == 0 {
			t.Fatalf("seed %d is empty", seed)
		}
		for _, f := range s {
			if f.Kind != faults.Pause {
				t.Fatalf("seed %d: %s", seed, f)
			}
		}
	}
	p.Weights = [faults.KindCount]int{}
	if s := generate(1, p); len(s) != 0 {
		t.Errorf("no weights gave %v", s)
	}
}

// Goal: each bound of the budget is found where it is exceeded, with its reason, and what just fits passes.
func TestBudgetNamesTheFaultsBeyondIt(t *testing.T) {
	b := Budget{Impaired: 1, Settle: time.Second, PowerLosses: 1, PowerAlone: true, ZooKeeperAlone: true}
	two := b
	two.Impaired = 2
	for text, want := range map[string]struct {
		budget Budget
		excess []Excess
	}{
		"1s crash node=1 for=1s\n3s crash node=2 for=1s":                              {b, nil},
		"1s crash node=1 for=1s\n2.9s crash node=2 for=1s":                            {b, []Excess{{1, "2 brokers impaired at once (1, 2), at most 1"}}},
		"1s crash node=1 for=3s\n2s pause node=1 for=1s":                              {b, nil},
		"1s crash node=1\n60s isolate node=2 for=1s":                                  {b, []Excess{{1, "2 brokers impaired at once (1, 2), at most 1"}}},
		"1s partition from=1,2 to=3 for=1s\n1s disk node=3 op=fsync fail for=1s":      {b, nil},
		"1s partition from=zk to=1,3 for=1s":                                          {b, []Excess{{0, "2 brokers impaired at once (1, 3), at most 1"}}},
		"1s crash node=leader for=1s\n1s partition from=2 to=others for=1s":           {b, []Excess{{1, "2 brokers impaired at once (leader, 2), at most 1"}}},
		"1s link from=1 to=2 delay=1s\n1s disk node=3 op=all slow=9\n1s crash node=2": {b, nil},
		"1s power node=1 keep=all for=1s\n9s power node=1 keep=all for=1s":            {b, []Excess{{1, "power loss 2 of at most 1"}}},
		"1s power node=1 keep=all for=3s\n2s zookeeper expire node=2":                 {two, []Excess{{1, "power loss of 1 while another broker is impaired (1, 2)"}}},
		"1s zookeeper outage for=3s\n2s crash node=2 for=1s":                          {b, []Excess{{1, "ZooKeeper down while brokers are impaired (2)"}}},
		"1s wipe node=1 for=1s\n9s lose-entry node=1 for=1s":                          {b, []Excess{{1, "power loss 2 of at most 1"}}},
		"1s swap-disks from=1 to=2 for=1s":                                            {b, []Excess{{0, "2 brokers impaired at once (1, 2), at most 1"}}},
		"1s blackout nodes=1,2 keep=all":                                              {b, []Excess{{0, why[faults.Blackout]}}},
		"1s disk node=1 flip=1":                                                       {b, []Excess{{0, why[faults.BitFlip]}}},
		"1s zookeeper pause for=3s\n2s crash node=2 for=1s":                           {b, []Excess{{1, "ZooKeeper down while brokers are impaired (2)"}}},
		"1s zookeeper restart\n2s crash node=2 for=1s\n9s crash node=zk for=1s":       {b, nil},
	} {
		file, err := faults.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := want.budget.Check(file.Schedule); !reflect.DeepEqual(got, want.excess) {
			t.Errorf("%s\n got %+v\nwant %+v", text, got, want.excess)
		}
	}
}

// Goal: beyond the promise everything comes up, and budgets are exceeded; within it a power loss of several comes up only
// where every append is synced.
func TestBeyondThePromise(t *testing.T) {
	p := plan()
	p.Beyond = true
	var with [faults.KindCount]int
	excess := 0
	for seed := range uint64(200) {
		s := generate(seed, p)
		for _, f := range s {
			with[f.Kind]++
		}
		excess += len(p.Budget.Check(s))
	}
	for k, n := range with {
		if n == 0 {
			t.Errorf("%s never came up", faults.Kind(k))
		}
	}
	if excess == 0 {
		t.Error("no schedule exceeds the budget")
	}
	p = plan()
	p.Synced, p.Budget.PowerTogether = true, true
	p.Weights = [faults.KindCount]int{faults.Blackout: 1, faults.BitFlip: 1}
	for seed := range uint64(50) {
		s := generate(seed, p)
		for _, f := range s {
			if f.Kind != faults.Blackout {
				t.Fatalf("seed %d: %s", seed, f)
			}
			if len(f.From) < 2 {
				t.Fatalf("seed %d: %s strikes fewer than two", seed, f)
			}
		}
		if len(s) == 0 {
			t.Fatalf("seed %d is empty", seed)
		}
	}
}

// Goal: the atlas has every kind, and what destroys or is beyond the promise is never taken for harmless.
func TestAtlas(t *testing.T) {
	for k := range faults.KindCount {
		f := faults.Fault{Kind: k, Node: 1, From: []faults.Node{1}, To: []faults.Node{2}}
		impairs := len(impairs(f)) > 0
		switch c := ClassOf(k); {
		case c == Harmless && impairs, (c == Impairs || c == Destroys) && !impairs:
			t.Errorf("%s is %s, and impairs somebody: %t", k, c, impairs)
		case c == Beyond && why[k] == "":
			t.Errorf("%s is beyond, and nobody says why", k)
		}
	}
}
