package scenarios

import (
	"os"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
	"barnabas/faults/schedule"
	"barnabas/reports"
)

// one is a schedule for each kind with one fault that has something to hit.
var one = [faults.KindCount]string{
	faults.Crash: "5s crash node=leader for=1s", faults.Power: "5s power node=leader keep=none for=1s", faults.Pause: "5s pause node=leader for=1s",
	faults.Partition: "5s partition from=leader to=others for=1s", faults.PartitionOneWay: "5s partition from=leader to=others oneway for=1s",
	faults.Isolate: "5s isolate node=leader for=1s", faults.SlowLink: "5s link from=leader to=others delay=20ms for=1s",
	faults.SlowDisk: "5s disk node=leader op=all slow=20 for=1s", faults.FailSync: "4s disk node=leader op=fsync fail for=5s",
	faults.ZooKeeperExpire: "5s zookeeper expire node=leader", faults.ZooKeeperRestart: "5s zookeeper restart", faults.ZooKeeperOutage: "5s zookeeper outage for=1s",
	faults.ZooKeeperCut: "5s zookeeper cut node=leader for=2s", faults.Clog: "5s clog from=leader to=others for=1s", faults.Reset: "5s reset from=leader to=others",
	faults.Refuse: "5s refuse node=leader for=2s\n5.1s reset from=leader to=others,clients", faults.Halves: "5s halves from=1,3 to=2,zk for=1s",
	faults.Ring: "5s ring order=1,2,3,4,5 for=2s", faults.StallDisk: "5s disk node=leader op=all stall for=500ms", faults.FailRead: "5s disk node=leader op=read fail for=1s",
	faults.FailWrite: "5s disk node=leader op=write fail for=1s", faults.FullDisk: "5s disk node=leader full for=1s", faults.Wipe: "5s wipe node=leader for=1s",
	faults.ClockOffset: "5s clock node=leader offset=-3s for=1s", faults.ClockDrift: "5s clock node=leader drift=20000 for=1s", faults.ClockJump: "5s clock node=leader jump=30s",
	faults.ClientCrash: "5s client crash number=1 for=1s", faults.FailDir: "5s disk node=leader log-dir=1 broken for=1s",
	faults.Blackout: "5s blackout nodes=1,2 keep=random for=1s", faults.SwapDisks: "5s swap-disks from=1 to=2 for=2s",
	faults.Loss: "5s loss from=leader to=others one-in=3 for=1s", faults.HalfOpen: "5s half-open from=leader to=others",
	faults.Bandwidth: "5s bandwidth from=leader to=others bytes=65536 for=1s", faults.HoldBack: "5s hold-back from=leader to=others for=2s",
	faults.TornWrite: "5s disk node=leader op=write torn for=1s", faults.Misdirect: "5s disk node=leader op=write misdirect for=1s",
	faults.BitFlip: "5s disk node=leader flip=3", faults.LoseEntry: "5s lose-entry node=leader for=1s", faults.ZooKeeperPause: "5s zookeeper pause for=1s",
	faults.ZooKeeperLoseWatch: "5s zookeeper lose-watches node=controller for=3s\n6s zookeeper restart\n6.5s zookeeper expire node=2",
	faults.ClientPause:        "5s client pause number=1 for=1s", faults.ClientTwin: "5s client twin number=1 for=1s",
}

// Goal: every kind of fault has something to hit, is counted as fired, and the broker bears it: within Kafka's promise,
// or beyond it held to the weaker one. Method: one fault of each kind, alone, against five brokers.
func TestEveryKindFires(t *testing.T) {
	skipUnderRace(t)
	for kind := range faults.KindCount {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			file, err := faults.Parse("one", []byte(one[kind]))
			if err != nil {
				t.Fatal(err)
			}
			file.Header.Changes = faults.Changes{Brokers: 5, Heal: 9 * time.Second, Partitions: 5}
			scenario := "leader-failover"
			if kind == faults.FailDir {
				scenario = "log-dir-failure"
			}
			if schedule.ClassOf(kind) == schedule.Beyond {
				file.Header.Changes.Beyond = 1
			}
			r := Run(Options{Scenario: find(t, scenario), Seed: 1, Schedule: &file}).Report
			if r.Verdict != reports.Pass {
				t.Errorf("\n%s", describe(r))
			}
			for _, f := range r.Fired {
				if f.Kind == kind.String() && f.Fired > 0 {
					return
				}
			}
			t.Errorf("it did not fire:\n%s", describe(r))
		})
	}
}

// Goal: the page of the catalogue has a line for every kind, with a text that is read as that kind.
func TestEveryKindIsOnThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			lines[strings.TrimSpace(cells[1])] = strings.Trim(strings.TrimSpace(cells[2]), "`")
		}
	}
	for kind := range faults.KindCount {
		file, err := faults.Parse("page", []byte("1s "+lines[kind.String()]))
		if err != nil || len(file.Schedule) != 1 || file.Schedule[0].Kind != kind {
			t.Errorf("%s: the page says %q: %v", kind, lines[kind.String()], err)
		}
	}
}

// Goal: the page has a line for every rare point and names every knob that seeds turn, and neither more than there are; every policy of scheduling is
// drawn. Method: the marks of the broker, and what the plans of many seeds set.
func TestRarePointsAndKnobsAreOnThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "**Rare points**")
	table, _, _ := strings.Cut(rest, "**Scheduling.**")
	points := 0
	for _, m := range env.Marks() {
		if name := strings.Replace(m.Name, "/rare ", "/", 1); name != m.Name {
			points++
			if strings.Count(table, "`"+name+"`") != 1 {
				t.Errorf("the rare point %s is not on the page", name)
			}
		}
	}
	if lines := strings.Count(table, "/"); lines != points+strings.Count(table, "zookeeper/server/") || points < 20 {
		t.Errorf("%d rare points, %d on the page", points, lines)
	}
	_, rest, _ = strings.Cut(string(page), "**Knobs.**")
	knobs, _, _ := strings.Cut(rest, "**Rare points**")
	turned, policies := map[string]bool{}, map[string]int{}
	for seed := range uint64(60) {
		for _, s := range []string{"steady", "leader-failover"} {
			r := newRun(Options{Scenario: find(t, s), Seed: seed})
			r.prepare()
			for _, setting := range r.report.Settings {
				if strings.Contains(setting.Name, ".") {
					turned[setting.Name] = true
				}
				if policy, _, _ := strings.Cut(setting.Value, "/"); setting.Name == "scheduling" {
					policies[policy]++
				}
			}
			r.w.Close()
		}
	}
	for name := range turned {
		if !strings.Contains(knobs, "`"+name+"`") {
			t.Errorf("the knob %s is not on the page", name)
		}
	}
	if len(policies) != 3 || policies["random"] < policies["priority"] || policies["fifo"] < 5 {
		t.Errorf("scheduling policies %v", policies)
	}
	if len(turned) < 20 {
		t.Errorf("only %d knobs are turned", len(turned))
	}
}

// Goal: every rare point strikes, and all that they do together is right at any time. Method: scenarios with all points on, until none is left.
func TestEveryRarePointStrikesAndIsRight(t *testing.T) {
	skipUnderRace(t)
	env.CountMarks(true)
	defer env.CountMarks(false)
	var rest []string
	for seed := range uint64(5) {
		for _, name := range []string{"exactly-once", "moving-replicas", "coordinator-failover", "compaction"} {
			if r := Run(Options{Scenario: find(t, name), Seed: seed, AllRare: true}).Report; r.Verdict != reports.Pass {
				t.Fatalf("\n%s", describe(r))
			}
		}
		rest = nil
		for _, m := range env.Marks() {
			if strings.Contains(m.Name, "/rare ") && m.Hits == 0 {
				rest = append(rest, m.Name)
			}
		}
		if len(rest) == 0 {
			return
		}
	}
	t.Errorf("never struck: %v", rest)
}

// Goal: what Kafka promises nothing against does not happen by itself, and with the promise left it does, and the card
// says which of the two it was.
func TestBeyondIsWithheldUnlessAskedFor(t *testing.T) {
	skipUnderRace(t)
	file, err := faults.Parse("x", []byte("5s disk node=2 flip=1\n6s blackout nodes=1,2,3 keep=none for=1s"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(beyond int) *reports.Run {
		file.Header.Changes = faults.Changes{Brokers: 3, Heal: 9 * time.Second, Beyond: beyond}
		return Run(Options{Scenario: find(t, "steady"), Seed: 2, Schedule: &file}).Report
	}
	for beyond, want := range []string{"withheld", "applied"} {
		r := run(beyond)
		if verdict := []reports.Verdict{reports.Vacuous, reports.Pass}[beyond]; r.Verdict != verdict { // all withheld proves nothing
			t.Errorf("\n%s", describe(r))
		}
		for _, f := range r.Faults {
			if f.Outcome != want {
				t.Errorf("beyond=%d: %s was %s (%s)", beyond, f.Text, f.Outcome, f.Why)
			}
		}
		if card := describe(r); strings.Contains(card, "beyond what Kafka promises") != (beyond == 1) {
			t.Errorf("the card does not say what was promised:\n%s", card)
		}
	}
}

// Goal: who may be on the way out of the ISR is no other copy: while the other members are cut off from ZooKeeper, where their sessions run
// out, no broker loses its data, and when they are back one may.
func TestTheOnlyCopyIsWithheld(t *testing.T) {
	file, err := faults.Parse("x", []byte("5s partition from=2,3 to=zk for=1s\n5.5s power node=1 keep=none for=1s\n9s power node=1 keep=none for=1s"))
	if err != nil {
		t.Fatal(err)
	}
	file.Header.Changes = faults.Changes{Brokers: 3, Heal: 14 * time.Second}
	r := Run(Options{Scenario: find(t, "steady"), Seed: 2, Schedule: &file}).Report
	if r.Verdict != reports.Pass {
		t.Errorf("\n%s", describe(r))
	}
	var outcomes []string
	for _, f := range r.Faults {
		outcomes = append(outcomes, f.Outcome)
		if f.Outcome == "withheld" && !strings.Contains(f.Why, "the only copy") {
			t.Errorf("%s was withheld since %s", f.Text, f.Why)
		}
	}
	if strings.Join(outcomes, " ") != "applied withheld applied" {
		t.Errorf("%s\n%s", outcomes, describe(r))
	}
}
