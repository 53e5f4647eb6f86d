package shrink

import (
	"slices"
	"testing"
	"time"

	"barnabas/faults"
)

// Goal: of a large trial only what the failure needs is left. Method: a made-up failure that needs one crash of broker 2
// while broker 1 is cut off, one producer, a consumer, and seven records.
func TestShrinkKeepsWhatTheFailureNeeds(t *testing.T) {
	file, err := faults.Parse("x", []byte(`4s pause node=3 for=2s
5.123s isolate node=1 for=6s
6s link from=1 to=2 delay=5ms for=8s
7.777s crash node=2 for=4s
9s disk node=1 op=all slow=9 for=3s
15s power node=3 keep=none for=2s
20s crash node=2 for=1s
`))
	if err != nil {
		t.Fatal(err)
	}
	size := Size{Brokers: 5, Partitions: 3, Producers: 4, Consumers: 2, Members: 3, Operators: 2,
		Records: 2000, Pause: 25 * time.Millisecond, Heal: 26 * time.Second, Settle: 8 * time.Second, Seen: 12 * time.Second}
	fails := func(c Case) bool {
		var cut, crash *faults.Fault
		for i := range c.Schedule {
			switch f := &c.Schedule[i]; f.Kind {
			case faults.Isolate:
				cut = f
			case faults.Crash:
				if cut != nil && f.At > cut.At && f.At < cut.At+cut.For {
					crash = f
				}
			}
		}
		return crash != nil && value(c.Changes.Records, size.Records) >= 7 && value(c.Changes.Consumers, size.Consumers) >= 1 && value(c.Changes.Producers, size.Producers) >= 1
	}
	tried := 0
	got := Shrink(Case{Schedule: file.Schedule}, Options{Size: size, Stop: func() bool { return false }, Ways: func(Case) int { return 3 }, Judge: func(cases []Case, _ int) int {
		tried += len(cases)
		return slices.IndexFunc(cases, fails)
	}})
	if !fails(got) {
		t.Fatalf("%+v does not fail", got)
	}
	c := got.Changes
	if len(got.Schedule) != 2 || c.Records != 7 || c.Producers != 1 || c.Consumers != 1 || c.Members != faults.None || c.Operators != faults.None || c.Partitions != 1 || c.Brokers != 2 || c.Heal == 0 || c.Heal > 8*time.Second {
		t.Errorf("left: %+v\n%s", c, faults.File{Schedule: got.Schedule}.Format())
	}
	if got.Schedule[0].At > 3*time.Second {
		t.Errorf("the first fault is still at %s", got.Schedule[0].At)
	}
	if tried > 2000 {
		t.Errorf("%d cases tried", tried)
	}
	t.Logf("%d cases: %s\n%s", tried, c, faults.File{Schedule: got.Schedule}.Format())
}

// Goal: what fails only now and then becomes small, too, at the price of some dozens of whole trials: hundreds of small ones
// are tried, not a few large ones. Method: a made-up failure that needs one fault of thirty and four records, and comes about
// in one way of thirty; what is tried is added up as its share of the whole trial's time and load.
func TestShrinkOfWhatFailsNowAndThen(t *testing.T) {
	var all faults.Schedule
	for i := range 30 {
		all = append(all, faults.Fault{At: 4*time.Second + time.Duration(i)*700*time.Millisecond, Kind: faults.Crash, Node: faults.Node(1 + i%5), For: time.Second})
	}
	all[17].Kind = faults.Pause
	size := Size{Brokers: 5, Partitions: 5, Producers: 4, Consumers: 2, Records: 2000, Pause: 25 * time.Millisecond, Heal: 26 * time.Second, Settle: 8 * time.Second, Seen: 26 * time.Second}
	fails := func(c Case) bool {
		salt := c.Changes.Redraw*0x9e3779b97f4a7c15 + uint64(len(c.Schedule))<<40 + uint64(c.Changes.Records)<<20
		return salt>>32%30 == 0 && value(c.Changes.Records, size.Records) >= 4 && slices.ContainsFunc(c.Schedule, func(f faults.Fault) bool { return f.Kind == faults.Pause })
	}
	spent := 0.0
	start := Case{Schedule: all}
	for !fails(start) {
		start.Changes.Redraw++
	}
	got := Shrink(start, Options{Size: size, Stop: func() bool { return false }, Ways: func(Case) int { return 0 }, Judge: func(cases []Case, _ int) int {
		for i, c := range cases {
			heal := c.Changes.Heal
			if heal == 0 {
				heal = size.Heal
			}
			spent += float64(heal)/float64(size.Heal)/2 + float64(value(c.Changes.Records, size.Records))/float64(size.Records)/2
			if fails(c) {
				return i
			}
		}
		return -1
	}})
	if len(got.Schedule) > 1 || got.Changes.Records > 20 {
		t.Errorf("left: %d faults, %s", len(got.Schedule), got.Changes)
	}
	if spent > 100 {
		t.Errorf("as long as %.0f whole trials", spent)
	}
	t.Logf("as long as %.0f whole trials: %d faults, %s", spent, len(got.Schedule), got.Changes)
}

// Goal: leaving out brokers leaves no fault that names them.
func TestWithoutNamesNobodyWhoIsGone(t *testing.T) {
	file, err := faults.Parse("x", []byte("1s partition from=1 to=2,3 for=1s\n2s halves from=3 to=1,zk for=1s\n3s ring order=1,2,3 for=1s\n4s crash node=3\n5s crash node=leader\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := string(faults.File{Schedule: without(file.Schedule, 2)}.Format())
	if want := "1.000s partition from=1 to=2 for=1s\n5.000s crash node=leader\n"; got != want {
		t.Errorf("left:\n%s", got)
	}
}
