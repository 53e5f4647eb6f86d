package scenarios

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/faults"
	"barnabas/reports"
	"barnabas/sim/trace"
)

var (
	seedsFlag = flag.Uint64("seeds", 2, "seeds of every scenario in TestEveryScenarioPasses")
	zooFlag   = flag.Uint64("zoo", 0, "TestZoo looks for each bug in seeds 1 to so many, 500 is what is promised; 0: from the seed in finders on, which is quicker")
)

// Collecting less often, as the command does, saves a tenth.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	os.Exit(m.Run())
}

func describe(r *reports.Run) string {
	var b strings.Builder
	reports.Card(&b, r)
	return b.String()
}

// Goal: the broker as it is keeps its promises in every scenario, each run does what it is there for, and its seed decides all of it.
// Method: a few seeds each; the first is run twice, and the hashes must agree. Under the race detector, which takes twenty times as long, one
// in six scenarios, and of each one: a world's tasks run one at a time, so what there is to find is what worlds share.
func TestEveryScenarioPasses(t *testing.T) {
	for i, s := range Catalog() {
		t.Run(s.Name, func(t *testing.T) {
			if underRace && i%6 != 1 {
				t.Skip("others do for the race detector")
			}
			t.Parallel()
			seeds := *seedsFlag
			if underRace || s.Name == "large-cluster" {
				seeds = 1
			}
			for seed := uint64(1); seed <= seeds; seed++ {
				first := Run(Options{Scenario: s, Seed: seed})
				if first.Report.Verdict != reports.Pass {
					t.Fatalf("\n%s", describe(first.Report))
				}
				if underRace || seed > 1 || s.Name == "large-cluster" {
					continue // the second run would race no differently, and a large cluster's is like any other's
				}
				if again := Run(Options{Scenario: s, Seed: seed}); again.Report.Hash != first.Report.Hash {
					t.Fatalf("seed %d gave the hashes %s and %s", seed, first.Report.Hash, again.Report.Hash)
				}
			}
		})
	}
}

// Goal: other worlds in the same process, more threads or recording the trace change nothing. Method: one seed alone,
// and among others on other goroutines.
func TestHashDependsOnTheSeedAlone(t *testing.T) {
	s := find(t, "leader-failover")
	alone := Run(Options{Scenario: s, Seed: 7}).Report.Hash
	if other := Run(Options{Scenario: s, Seed: 8}).Report.Hash; other == alone {
		t.Error("two seeds gave the same hash")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	hashes := make([]string, 4)
	var wg sync.WaitGroup
	for i := range hashes {
		wg.Add(1)
		go func() {
			defer wg.Done()
			o := Options{Scenario: s, Seed: 7}
			if i%2 == 1 {
				o.Trace = trace.Options{Last: 1000}
			}
			hashes[i] = Run(o).Report.Hash
		}()
	}
	wg.Wait()
	for i, h := range hashes {
		if h != alone {
			t.Errorf("run %d among others gave %s, alone it gave %s", i, h, alone)
		}
	}
}

// foundElsewhere are bugs that a test below finds, TestZoo of broker/log: they need a disk at close range.
var foundElsewhere = bug.TornTailAccepted | bug.AppendAfterIOError | bug.FsyncIgnored

// zooRange is how many seeds from a finder's on TestZoo looks at: a change of the broker shifts every random choice, and with them the
// seeds that find.
const zooRange = 150

// finders says which scenario is to find each bug, and from which seed on to look: one that found it lately.
var finders = map[string]struct {
	scenario string
	from     uint64
}{
	"ack-before-isr":      {"leader-failover", 1},
	"truncate-to-hw":      {"leader-failover", 1},
	"read-above-hw":       {"isr-shrink", 1},
	"dup-on-retry":        {"leader-failover", 1},
	"unclean-election":    {"leader-failover", 1},
	"group-two-owners":    {"group-churn", 1},
	"offset-early-expire": {"offsets-expire", 10},
	"commit-unread":       {"group-churn", 2},
	"min-isr-ignored":     {"isr-shrink", 1},
	"tombstone-early":     {"compaction", 1},

	"producer-state-dropped": {"power-loss", 2},
	"unclean-restart":        {"controller-power-loss", 6},

	"single-epoch-lookup": {"rapid-elections", 4},
	"no-fetch-epoch":      {"slow-zookeeper", 8},
	"epoch-not-persisted": {"rapid-elections", 1},
	"hw-before-truncate":  {"leader-failover", 1},
	"stale-isr-expand":    {"reboot-in-isr", 2},
	"no-broker-epoch":     {"bounced-broker", 4},
	"zk-unfenced":         {"slow-zookeeper", 1},
	"shrink-unconfirmed":  {"expiring-sessions", 1},
	"loss-unseen":         {"last-member", 1},
	"overtaken-control":   {"overtaken-control", 20},

	"txn-no-epoch-bump":    {"zombie-producer", 2},
	"txn-late-produce":     {"zombie-producer", 2},
	"txn-offsets-unfenced": {"exactly-once", 2},
	"lso-race":             {"bank", 3},
	"txn-index-together":   {"bank", 4},
}

// Goal: every bug of the zoo is found, as a broken promise, and a found one fails in the same way again from its
// schedule. Method: seed after seed with the switch on, until one fails.
func TestZoo(t *testing.T) {
	skipUnderRace(t)
	for _, animal := range bug.Zoo {
		if animal.Set&foundElsewhere != 0 {
			continue
		}
		t.Run(animal.Name, func(t *testing.T) {
			t.Parallel()
			finder := finders[animal.Name]
			s, first, last := find(t, finder.scenario), finder.from, finder.from+zooRange
			if *zooFlag > 0 {
				first, last = 1, *zooFlag
			}
			for seed := first; seed <= last; seed++ {
				found := Run(Options{Scenario: s, Seed: seed, Bugs: animal.Set})
				if found.Report.Verdict == reports.Pass || found.Report.Verdict == reports.Vacuous {
					continue
				}
				if found.Report.Verdict != reports.Safety {
					t.Fatalf("found as another thing than a broken promise:\n%s", describe(found.Report))
				}
				again := Run(Options{Scenario: s, Seed: seed, Bugs: animal.Set, Schedule: &faults.File{Schedule: found.Schedule}})
				if again.Report.Hash != found.Report.Hash || again.Report.Reason != found.Report.Reason {
					t.Fatalf("the replay is another run:\n%s\n%s", describe(found.Report), describe(again.Report))
				}
				t.Logf("found by %s at seed %d: %s", s.Name, seed, found.Report.Reason)
				return
			}
			t.Errorf("not found by %s in seeds %d to %d", s.Name, first, last)
		})
	}
}

// Goal: last-member does what it is there for: eligible leader replicas lead in most of its runs; and where nobody keeps lists of them, no
// last member is harmed. Method: some seeds, with the key and without.
func TestHeirsLeadWhereListsAreKept(t *testing.T) {
	skipUnderRace(t)
	s := *find(t, "last-member")
	draw := s.Draw
	for _, keeps := range []bool{true, false} {
		s.Draw = func(r *rand.Rand, p *Plan) {
			draw(r, p)
			p.Configure = append(p.Configure, func(c *config.Broker) { c.EligibleLeaderReplicas = keeps })
		}
		led := 0
		for seed := uint64(1); seed <= 5; seed++ {
			r := Run(Options{Scenario: &s, Seed: seed}).Report
			if r.Counts.Heirs > 0 {
				led++
			}
			if r.Verdict != reports.Pass && (keeps || r.Verdict != reports.Vacuous) {
				t.Errorf("\n%s", describe(r))
			}
		}
		if keeps && led < 3 || !keeps && led > 0 {
			t.Errorf("lists are kept: %v; heirs led in %d of 5 runs", keeps, led)
		}
	}
}

// Goal: a run whose clients do nothing is no pass. Method: a scenario without producers.
func TestRunWithoutWorkloadIsVacuous(t *testing.T) {
	s := &Scenario{Name: "idle", Summary: "nobody writes", Draw: func(r *rand.Rand, p *Plan) {
		find(t, "leader-failover").Draw(r, p)
		p.Producers = 0
	}}
	if r := Run(Options{Scenario: s, Seed: 1}).Report; r.Verdict != reports.Vacuous {
		t.Errorf("\n%s", describe(r))
	}
}

// Goal: faults that were planned and never hit anything make a run vacuous. Method: a scenario that demands a fault
// kind that nobody drew.
func TestRunWithoutItsFaultIsVacuous(t *testing.T) {
	s := &Scenario{Name: "unharmed", Summary: "nothing happens", Draw: func(r *rand.Rand, p *Plan) {
		p.Least.Fired = []faults.Kind{faults.Power}
	}}
	if r := Run(Options{Scenario: s, Seed: 1}).Report; r.Verdict != reports.Vacuous || !strings.Contains(r.Reason, "power") {
		t.Errorf("\n%s", describe(r))
	}
}

// Goal: a partition that never heals is a failure of liveness, and says what is missing.
func TestFaultThatNeverHealsIsLiveness(t *testing.T) {
	skipUnderRace(t)
	file, err := faults.Parse("test", []byte("5.000s isolate node=2 for=forever\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Options{Scenario: find(t, "steady"), Seed: 3, Schedule: &file}).Report
	if r.Verdict != reports.Liveness || !strings.Contains(r.Reason, "ISR") && !strings.Contains(r.Reason, "serve") {
		t.Errorf("\n%s", describe(r))
	}
}

// Goal: scenarios are found by name, and an unknown one is answered with what there is.
func TestFind(t *testing.T) {
	if _, err := Find("leader-failver"); err == nil || !strings.Contains(err.Error(), "leader-failover") {
		t.Error(err)
	}
	var names []string
	for _, s := range Catalog() {
		if s.Summary == "" || slices.Contains(names, s.Name) {
			t.Errorf("%s: no summary, or twice", s.Name)
		}
		names = append(names, s.Name)
	}
}

func find(t testing.TB, name string) *Scenario {
	t.Helper()
	s, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkLeaderFailover is the speed of the simulator with checking: virtual seconds, events and checked operations a
// wall second, on one core, and the heap in use. The clients rest a little less between operations than the scenario has them do, so that over
// seeds 1 to 20 they do 200 a virtual second, the times counted in which nobody leads.
func BenchmarkLeaderFailover(b *testing.B) {
	s := *find(b, "leader-failover")
	draw := s.Draw
	s.Draw = func(r *rand.Rand, p *Plan) {
		draw(r, p)
		p.Load.Pause = p.Load.Pause * 73 / 100
	}
	var virtual, load time.Duration
	var events, ops uint64
	var heap uint64
	b.ReportAllocs()
	for seed := uint64(1); b.Loop(); seed++ {
		r := Run(Options{Scenario: &s, Seed: seed}).Report
		if r.Verdict != reports.Pass {
			b.Fatalf("\n%s", describe(r))
		}
		virtual += r.Virtual
		load += time.Duration(len(r.Slices)) * reports.SliceLength
		events += r.Events
		ops += uint64(r.Counts.OK + r.Counts.Failed + r.Counts.Unknown)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = max(heap, m.HeapInuse)
	}
	wall := b.Elapsed().Seconds()
	b.ReportMetric(virtual.Seconds()/wall, "virtual-s/s")
	b.ReportMetric(float64(events)/wall, "events/s")
	b.ReportMetric(float64(ops)/load.Seconds(), "ops/virtual-s")
	b.ReportMetric(float64(heap)/1e6, "heap-MB")
}

// Goal: memory does not grow with the number of seeds run. Method: the heap after many runs is that after a few.
func TestMemoryDoesNotGrowWithSeeds(t *testing.T) {
	skipUnderRace(t)
	if testing.Short() {
		t.Skip("several runs")
	}
	s := find(t, "steady")
	inUse := func(seeds uint64) uint64 {
		for seed := range seeds {
			Run(Options{Scenario: s, Seed: seed})
		}
		for range 3 { // pools give up what they hold in two
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	few := inUse(8)
	many := inUse(8)
	if many > few+256<<10 {
		t.Errorf("%s after 8 runs, %s after 8 more", megabytes(few), megabytes(many))
	}
}

// skipUnderRace spares the race detector what runs the same code as the others, many times over.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("many runs of the same code")
	}
}

func megabytes(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
