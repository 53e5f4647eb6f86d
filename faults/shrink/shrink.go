package shrink

import (
	"cmp"
	"slices"
	"time"

	"barnabas/faults"
)

// Case is one trial: the seed's, with this schedule and these changes.
type Case struct {
	Schedule faults.Schedule
	Changes  faults.Changes
}

// Size is how large the trial is before anything is changed.
type Size struct {
	Brokers, Partitions, Producers, Consumers             int
	Transactional, Processors, Members, Legacy, Operators int
	Records                                               int // that were handed over
	Pause, Heal, Settle                                   time.Duration
	Seen                                                  time.Duration // when it was seen to fail
	Named                                                 time.Duration // when the first operation was called that the failure names; 0: none
}

// Options say how.
type Options struct {
	Size Size
	// Judge runs the cases, in their order as far as it can, and returns the index of the first that fails as the
	// original did, and does so in that many other ways, too. -1: none does. Stop: no time is left, and whatever it says
	// is taken as none.
	Judge func(cases []Case, ways int) int
	Stop  func() bool
	// Ways counts in how many other ways the case fails, up to as many as a case should.
	Ways func(Case) int
	// Smaller is told of each smaller case that still fails, and by what step; may be nil.
	Smaller func(c Case, step string)
}

// Each case is tried in a few ways besides its own; in more if failing is a matter of luck and trying is cheap.
const redraws, redrawsMax = 3, 40

// Shrink returns the smallest case that was found. The start must fail.
func Shrink(start Case, o Options) Case {
	s := &shrinker{o: o, best: start, salt: start.Changes.Redraw}
	s.whole = s.cost(start)
	s.endWhenSeen("an earlier end")
	for {
		before := s.best
		for i, p := range passes {
			if o.Stop() {
				return s.best
			}
			p.run(s, p.name)
			if s.rounds == 0 && i == 1 {
				s.ways, s.counted = o.Ways(s.best), true // now that it is cheap
			}
		}
		if s.rounds++; !dropped(before, s.best) && s.rounds > 1 {
			return s.best // other times alone are not worth another round
		}
	}
}

// dropped tells whether there is less of anything but time.
func dropped(before, after Case) bool {
	a, b := before.Changes, after.Changes
	for _, c := range []*faults.Changes{&a, &b} {
		c.Pause, c.Begin, c.Heal, c.Settle, c.Redraw = 0, 0, 0, 0, 0
	}
	return len(after.Schedule) < len(before.Schedule) || a != b
}

// passes, the cheapening ones first: what they drop need not be run again a hundred times. A load that is small makes all
// that follows quick, so a few bold tries at it come before the others.
var passes = []struct {
	name string
	run  func(*shrinker, string)
}{
	{"a smaller load", (*shrinker).dropBoldly},
	{"a leap", (*shrinker).leap},
	{"a later beginning", (*shrinker).beginLater},
	{"fewer clients", (*shrinker).dropClients},
	{"fewer partitions", (*shrinker).dropPartitions},
	{"fewer faults", (*shrinker).dropFaults},
	{"an earlier end", (*shrinker).endEarlier},
	{"fewer records", (*shrinker).dropRecords},
	{"shorter faults", (*shrinker).shortenFaults},
	{"everything earlier", (*shrinker).moveEarlier},
	{"fewer brokers", (*shrinker).dropBrokers},
	{"rounder numbers", (*shrinker).round},
}

type shrinker struct {
	o       Options
	best    Case
	rounds  int     // of passes that are done
	counted bool    // ways is known
	ways    int     // in how many others a smaller one must fail, too
	salt    uint64  // of the last redraw
	whole   float64 // cost of the trial as it was
}

// try takes the first of the cases that fails, in its own way or a redrawn one; false if none does.
func (s *shrinker) try(step string, cases ...Case) bool {
	if len(cases) == 0 || s.o.Stop() {
		return false
	}
	var all []Case
	for _, c := range cases {
		all = append(all, c)
		more := redraws
		if s.ways < leapWays && s.counted {
			more = max(redraws, min(redrawsMax, int(s.whole/s.cost(c)/2)))
		}
		for range more {
			s.salt++
			c.Changes.Redraw = s.salt
			all = append(all, c)
		}
	}
	i := s.o.Judge(all, s.ways)
	if i < 0 || s.o.Stop() {
		return false
	}
	s.accept(all[i], step)
	return true
}

func (s *shrinker) accept(c Case, step string) {
	s.best = c
	if s.o.Smaller != nil {
		s.o.Smaller(c, step)
	}
}

// endWhenSeen drops what came after the failure was seen: up to then the run stays the same one.
func (s *shrinker) endWhenSeen(step string) {
	at := (s.o.Size.Seen + 200*time.Millisecond).Round(100 * time.Millisecond)
	if at >= s.heal() || s.o.Stop() {
		return
	}
	c := s.best
	c.Changes.Heal = at
	c.Schedule = slices.DeleteFunc(slices.Clone(c.Schedule), func(f faults.Fault) bool { return f.At > s.o.Size.Seen })
	if s.o.Judge([]Case{c}, 0) == 0 && !s.o.Stop() {
		s.accept(c, step)
	}
}

// dropBoldly asks for a small part of the load at once, spread over the same time.
func (s *shrinker) dropBoldly(step string) {
	have := s.o.Size.Records
	if s.best.Changes.Records > 0 || have < 64 {
		return
	}
	var cases []Case
	for _, part := range []int{64, 16, 4} {
		c := s.best
		c.Changes.Records = max(have/part, 1)
		c.Changes.Pause = (s.o.Size.Pause * time.Duration(part)).Round(time.Millisecond)
		cases = append(cases, c)
	}
	s.try(step, cases...)
}

// dropFaults is ddmin: halves, quarters, and so on, to single faults.
func (s *shrinker) dropFaults(step string) {
	for pieces := 1; len(s.best.Schedule) > 0; {
		n := len(s.best.Schedule)
		pieces = min(pieces, n)
		var cases []Case
		for i := range pieces {
			c := s.best
			c.Schedule = slices.Delete(slices.Clone(c.Schedule), i*n/pieces, (i+1)*n/pieces)
			cases = append(cases, c)
		}
		switch {
		case s.try(step, cases...):
			pieces = max(1, pieces-1)
		case pieces == n:
			return
		default:
			pieces *= 2
		}
		if s.o.Stop() {
			return
		}
	}
}

// clients are the kinds of whoever is at work, with how many there are and where a change of that goes.
func (s *shrinker) clients() []struct {
	have int
	at   func(*faults.Changes) *int
} {
	n, c := s.o.Size, s.best.Changes
	return []struct {
		have int
		at   func(*faults.Changes) *int
	}{
		{value(c.Operators, n.Operators), func(c *faults.Changes) *int { return &c.Operators }},
		{value(c.Consumers, n.Consumers), func(c *faults.Changes) *int { return &c.Consumers }},
		{value(c.Legacy, n.Legacy), func(c *faults.Changes) *int { return &c.Legacy }},
		{value(c.Members, n.Members), func(c *faults.Changes) *int { return &c.Members }},
		{value(c.Processors, n.Processors), func(c *faults.Changes) *int { return &c.Processors }},
		{value(c.Transactional, n.Transactional), func(c *faults.Changes) *int { return &c.Transactional }},
		{value(c.Producers, n.Producers), func(c *faults.Changes) *int { return &c.Producers }},
	}
}

// dropClients leaves kinds of clients out, all but one kind at first, and then has fewer of each kind.
func (s *shrinker) dropClients(step string) {
	kinds := s.clients()
	var cases []Case
	for i, only := range kinds[1:] {
		c := s.best
		for j, k := range kinds {
			if j != i+1 && k.have > 0 {
				*k.at(&c.Changes) = faults.None
			}
		}
		if only.have > 0 && c.Changes != s.best.Changes {
			cases = append(cases, c)
		}
	}
	s.try(step, cases...)
	for i := range kinds {
		k := s.clients()[i]
		cases = nil
		for _, n := range smaller(k.have, 0) {
			c := s.best
			if *k.at(&c.Changes) = n; n == 0 {
				*k.at(&c.Changes) = faults.None
			}
			cases = append(cases, c)
		}
		s.try(step, cases...)
	}
}

func (s *shrinker) dropPartitions(step string) {
	var cases []Case
	for _, n := range smaller(value(s.best.Changes.Partitions, s.o.Size.Partitions), 1) {
		c := s.best
		c.Changes.Partitions = n
		cases = append(cases, c)
	}
	s.try(step, cases...)
}

// endEarlier heals as soon as the last fault is over, or as the last one has begun.
func (s *shrinker) endEarlier(step string) {
	heal := s.heal()
	var cases []Case
	last, end := time.Duration(0), time.Duration(0)
	for _, f := range s.best.Schedule {
		last = max(last, f.At)
		end = max(end, min(until(f), heal))
	}
	for _, at := range []time.Duration{last + 200*time.Millisecond, end, end + time.Second, end + 4*time.Second, (end + heal) / 2} {
		if at = at.Round(100 * time.Millisecond); at > 0 && at < heal {
			c := s.best
			c.Changes.Heal = at
			cases = append(cases, c)
		}
	}
	s.try(step, cases...)
}

// beginLater lets the clients start just before the operation that the failure names, just before a fault, or between.
func (s *shrinker) beginLater(step string) {
	heal := s.heal()
	moments := slices.Clone(s.best.Schedule)
	if s.rounds == 0 && s.o.Size.Named > 0 { // later it is another one's time
		moments = append(moments, faults.Fault{At: s.o.Size.Named})
	}
	var cases []Case
	for _, f := range slices.Backward(moments) {
		for _, before := range []time.Duration{0, 300 * time.Millisecond, time.Second} {
			if at := (f.At - before).Round(100 * time.Millisecond); at > s.best.Changes.Begin && at < heal {
				c := s.best
				c.Changes.Begin = at
				cases = append(cases, c)
			}
		}
	}
	s.try(step, cases[:min(len(cases), 24)]...)
}

// dropRecords bounds the records, and spreads what is left over the time by longer pauses: it looks for the power of two
// that is enough, and then halves the gap between what is enough and what is not.
func (s *shrinker) dropRecords(step string) {
	least := 0 // so few are not enough
	for first := true; ; first = false {
		have := value(s.best.Changes.Records, s.o.Size.Records)
		if have-least <= 1 {
			return
		}
		numbers := []int{(least + have) / 2}
		if first {
			numbers = smaller(have, 1)
		}
		if s.try(step, s.withRecords(numbers, have)...) {
			if first {
				least = s.best.Changes.Records / 2
			}
			continue
		}
		least = numbers[len(numbers)-1]
	}
}

// withRecords are cases of so many records, one after the other as fast as they came or over the same time.
func (s *shrinker) withRecords(numbers []int, have int) (cases []Case) {
	pause := cmp.Or(s.best.Changes.Pause, s.o.Size.Pause)
	for _, n := range numbers {
		slow := time.Duration(float64(pause) * float64(have) / float64(n)).Round(time.Millisecond)
		for _, p := range []time.Duration{s.best.Changes.Pause, slow} {
			c := s.best
			c.Changes.Records, c.Changes.Pause = n, p
			cases = append(cases, c)
		}
	}
	return cases
}

// shortenFaults halves how long each fault lasts, one after the other.
func (s *shrinker) shortenFaults(step string) {
	for i := 0; i < len(s.best.Schedule); i++ {
		for range 4 {
			f := s.best.Schedule[i]
			if !f.Kind.Lasts() || f.For == faults.Forever || f.For <= 200*time.Millisecond && f.For != faults.UntilEnd {
				break
			}
			lasts := f.For
			if lasts == faults.UntilEnd {
				lasts = max(s.heal()-f.At, 400*time.Millisecond)
			}
			c := s.edit(i, func(f *faults.Fault) { f.For = (lasts / 2).Round(10 * time.Millisecond) })
			if !s.try(step, c) {
				break
			}
		}
	}
}

// moveEarlier shifts everything towards the first moment, and closes gaps between faults.
func (s *shrinker) moveEarlier(step string) {
	for i := 0; i < len(s.best.Schedule); i++ {
		previous := time.Second // nothing is there before
		if i > 0 {
			previous = s.best.Schedule[i-1].At
		}
		at := s.best.Schedule[i].At
		var cases []Case
		for _, to := range []time.Duration{max(previous, 2*time.Second), (previous + at) / 2} {
			if by := at - to.Round(100*time.Millisecond); by >= 200*time.Millisecond {
				cases = append(cases, s.shift(i, by))
			}
		}
		s.try(step, cases...)
	}
}

// shift moves the faults from i on, the heal, and a beginning that lies behind the gap, earlier.
func (s *shrinker) shift(i int, by time.Duration) Case {
	c := s.best
	c.Schedule = slices.Clone(c.Schedule)
	gap := c.Schedule[i].At - by
	for j := i; j < len(c.Schedule); j++ {
		c.Schedule[j].At -= by
	}
	c.Changes.Heal = s.heal() - by
	if c.Changes.Begin > gap {
		c.Changes.Begin = max(c.Changes.Begin-by, 0)
	}
	return c
}

// dropBrokers leaves out the brokers with the highest ids, and their faults.
func (s *shrinker) dropBrokers(step string) {
	var cases []Case
	for n := 2; n < value(s.best.Changes.Brokers, s.o.Size.Brokers); n++ {
		c := s.best
		c.Changes.Brokers = n
		c.Schedule = without(c.Schedule, n)
		cases = append(cases, c)
	}
	s.try(step, cases...)
}

// without leaves brokers above n out of a schedule, and faults that are about nobody else.
func without(schedule faults.Schedule, n int) faults.Schedule {
	var out faults.Schedule
	keep := func(side []faults.Node) []faults.Node {
		return slices.DeleteFunc(slices.Clone(side), func(node faults.Node) bool { return int(node) > n })
	}
	for _, f := range schedule {
		sides := len(f.From) > 0
		f.From, f.To = keep(f.From), keep(f.To)
		least := 1
		if f.Kind == faults.Ring {
			least = 3
		}
		if int(f.Node) > n || sides && (len(f.From) < least || len(f.To) == 0 && f.Kind != faults.Ring) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// round makes times easy to read.
func (s *shrinker) round(step string) {
	for i := 0; i < len(s.best.Schedule); i++ {
		f := s.best.Schedule[i]
		for _, unit := range []time.Duration{time.Second, 100 * time.Millisecond} {
			c := s.edit(i, func(f *faults.Fault) {
				f.At = f.At.Round(unit)
				if f.For != faults.Forever && f.For > unit/2 {
					f.For = f.For.Round(unit)
				}
			})
			if g := c.Schedule[min(i, len(c.Schedule)-1)]; g.At == f.At && g.For == f.For || s.try(step, c) {
				break
			}
		}
	}
}

// edit changes one fault.
func (s *shrinker) edit(i int, change func(*faults.Fault)) Case {
	c := s.best
	c.Schedule = slices.Clone(c.Schedule)
	change(&c.Schedule[i])
	slices.SortStableFunc(c.Schedule, func(a, b faults.Fault) int { return int(a.At - b.At) })
	return c
}

func (s *shrinker) heal() time.Duration {
	if s.best.Changes.Heal > 0 {
		return s.best.Changes.Heal
	}
	return s.o.Size.Heal
}

func until(f faults.Fault) time.Duration {
	if f.Kind.Lasts() && (f.For == faults.UntilEnd || f.For == faults.Forever) {
		return 1<<63 - 1
	}
	return f.At + f.For
}

// value is what a changed count is, given what it was.
func value(changed, was int) int {
	switch changed {
	case 0:
		return was
	case faults.None:
		return 0
	}
	return changed
}

// smaller are numbers below n, the smallest first, each about twice the one before: 1, 2, 4, … n-1.
func smaller(n, least int) []int {
	var out []int
	for v := least; v < n; v = max(v+1, v*2) {
		out = append(out, v)
	}
	if last := n - 1; last > least && last > 2 && n <= 64 && out[len(out)-1] < last {
		out = append(out, last)
	}
	return out
}
