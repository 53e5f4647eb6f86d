package shrink

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/faults"
)

// A leap changes everything at once: a few records, some kinds of clients, some faults, and the time these take. Most leaps
// miss, but each costs a small part of what one run of the whole trial does, and the one that hits makes all that follows
// as cheap. What fails only now and then is found that way, too: hundreds of tiny runs take as long as a few large ones.
const (
	leapsMax     = 5  // that hit
	leapBatch    = 32 // cases judged together
	leapBatches  = 60 // at most
	leapBudget   = 20 // runs of what there is, for all that miss: then it is one step at a time
	leapWays     = 2  // other ways in which a hit should fail, so that it was not mere luck
	leapFallback = 3  // batches after a lucky hit: then luck will do
)

// leapTo is how much smaller the leaps are, batch after batch: most are far ones.
var leapTo = []float64{0.08, 0.08, 0.2, 0.08, 0.08, 0.2, 0.08, 0.08, 0.7}

// leap leaps as long as it hits.
func (s *shrinker) leap(step string) {
	r := rand.New(rand.NewPCG(1, 2))
	for range leapsMax {
		c, ok := s.leapOnce(r)
		if !ok || s.o.Stop() {
			return
		}
		s.o.Size.Named = 0 // that was in another run
		s.accept(c, step)
	}
}

// leapOnce looks for a smaller case, the cheapest of each batch first. One that fails in one way only is taken if nothing
// better turns up.
func (s *shrinker) leapOnce(r *rand.Rand) (lucky Case, ok bool) {
	more, whole := leapFallback, s.cost(s.best)
	for n, spent := 0, 0.0; spent < leapBudget*whole && n < leapBatches && more > 0 && !s.o.Stop(); n++ {
		batch := s.leaps(r, leapTo[n%len(leapTo)]*whole)
		for _, c := range batch {
			spent += s.cost(c)
		}
		for len(batch) > 0 {
			i := s.o.Judge(batch, 0)
			if i < 0 || s.o.Stop() {
				break
			}
			if s.o.Ways(batch[i]) >= leapWays {
				return batch[i], true
			}
			if !ok || s.cost(batch[i]) < s.cost(lucky) {
				lucky, ok = batch[i], true
			}
			batch = batch[i+1:]
		}
		if ok {
			more--
		}
	}
	return lucky, ok
}

// leaps draws a batch of cases that cost less than the limit, in the order of their cost.
func (s *shrinker) leaps(r *rand.Rand, limit float64) []Case {
	var batch []Case
	for range 10 * leapBatch {
		if c := s.drawLeap(r); s.cost(c) < limit && len(batch) < leapBatch {
			s.salt++
			c.Changes.Redraw = s.salt
			batch = append(batch, c)
		}
	}
	slices.SortStableFunc(batch, func(a, b Case) int { return cmp.Compare(s.cost(a), s.cost(b)) })
	return batch
}

// drawLeap draws one case. Each of its sides, but for the records, is left as it is half of the time, or seldom.
func (s *shrinker) drawLeap(r *rand.Rand) Case {
	c := s.best
	sides := 2 + 4*r.IntN(2)
	coin := func() bool { return r.IntN(sides) > 0 }
	if coin() {
		s.drawClients(r, &c)
	}
	if coin() {
		c.Changes.Partitions = 1
	}
	if coin() {
		c.Changes.Settle = min(time.Second, s.o.Size.Settle)
	}
	if coin() {
		c.Schedule = some(r, c.Schedule)
	}
	switch named := s.o.Size.Named; {
	case named > 0 && r.IntN(4) == 0:
		s.late(r, &c, named)
		return c
	case coin():
		s.closeUp(r, &c)
	}
	have := value(s.best.Changes.Records, s.o.Size.Records)
	if n := 4 << r.IntN(5); n < have {
		c.Changes.Records = n
		if r.IntN(2) == 0 { // spread over the time, not all at its beginning
			heal := cmp.Or(c.Changes.Heal, s.o.Size.Heal) - c.Changes.Begin
			c.Changes.Pause = (heal * time.Duration(max(1, s.handing(c))) / time.Duration(n)).Round(time.Millisecond)
		}
	}
	return c
}

// drawClients keeps about half of the kinds of clients, and of many of a kind one or two.
func (s *shrinker) drawClients(r *rand.Rand, c *Case) {
	kinds := s.clients()
	always := 1 + r.IntN(len(kinds)-1) // operators come first, and alone they do nothing
	for i, k := range kinds {
		switch {
		case k.have == 0:
		case i != always && r.IntN(2) == 0:
			*k.at(&c.Changes) = faults.None
		case k.have > 2 && r.IntN(2) == 0:
			*k.at(&c.Changes) = 1 + r.IntN(2)
		}
	}
}

// handing is how many clients hand records over.
func (s *shrinker) handing(c Case) int {
	return value(c.Changes.Producers, s.o.Size.Producers) + value(c.Changes.Transactional, s.o.Size.Transactional)
}

// some are a few faults, or half of them: neighbours in time, or any.
func some(r *rand.Rand, all faults.Schedule) faults.Schedule {
	n := len(all)
	k := min(n, r.IntN(5))
	if r.IntN(3) == 0 {
		k = n / 2
	}
	if r.IntN(2) == 0 {
		from := r.IntN(n - k + 1)
		return slices.Clone(all[from : from+k])
	}
	picked := r.Perm(n)[:k]
	slices.Sort(picked)
	var out faults.Schedule
	for _, i := range picked {
		out = append(out, all[i])
	}
	return out
}

// closeUp leaves out the time before the first fault and after the last. The clients begin at once, or about when some
// fault does.
func (s *shrinker) closeUp(r *rand.Rand, c *Case) {
	heal, n := cmp.Or(c.Changes.Heal, s.o.Size.Heal), len(c.Schedule)
	if n == 0 {
		c.Changes.Heal, c.Changes.Begin = min(heal, []time.Duration{3, 6}[r.IntN(2)]*time.Second), 0
		return
	}
	c.Schedule = slices.Clone(c.Schedule)
	by := max(0, c.Schedule[0].At-2*time.Second)
	end := time.Duration(0)
	for i := range c.Schedule {
		f := &c.Schedule[i]
		end = max(end, min(until(*f), heal)-by)
		f.At -= by
	}
	after := []time.Duration{200 * time.Millisecond, 2 * time.Second}[r.IntN(2)]
	c.Changes.Heal = min(heal, (end + after).Round(100*time.Millisecond))
	if c.Changes.Begin = 0; r.IntN(2) == 0 {
		c.Changes.Begin = (c.Schedule[r.IntN(n)].At - time.Duration(r.IntN(3))*200*time.Millisecond).Round(100 * time.Millisecond)
	}
}

// late lets the clients begin only just before the failure strikes, as fast as ever, and leaves out faults that were over.
func (s *shrinker) late(r *rand.Rand, c *Case, named time.Duration) {
	begin := (named - []time.Duration{100, 500, 2000}[r.IntN(3)]*time.Millisecond).Round(100 * time.Millisecond)
	if begin <= c.Changes.Begin || begin >= s.heal() {
		return
	}
	c.Changes.Begin = begin
	before := begin - time.Duration(r.IntN(3))*time.Second
	c.Schedule = slices.DeleteFunc(slices.Clone(c.Schedule), func(f faults.Fault) bool { return until(f) < before })
}

// cost is about how long a case runs, in no unit: what everybody does a second, and the records.
func (s *shrinker) cost(c Case) float64 {
	brokers := float64(value(c.Changes.Brokers, s.o.Size.Brokers))
	clients, n := 0, s.o.Size
	for _, k := range [][2]int{{c.Changes.Consumers, n.Consumers}, {c.Changes.Legacy, n.Legacy}, {c.Changes.Members, n.Members},
		{c.Changes.Processors, n.Processors}, {c.Changes.Transactional, n.Transactional}, {c.Changes.Producers, n.Producers}} {
		clients += value(k[0], k[1])
	}
	seconds := (cmp.Or(c.Changes.Heal, n.Heal) + cmp.Or(c.Changes.Settle, n.Settle)).Seconds() + 2
	partitions := float64(value(c.Changes.Partitions, n.Partitions))
	records := float64(n.Records) * (cmp.Or(c.Changes.Heal, n.Heal) - c.Changes.Begin).Seconds() / max(1, n.Heal.Seconds())
	if bound := float64(c.Changes.Records); bound > 0 {
		records = min(records, bound)
	}
	return seconds*(brokers*(2+partitions/4)+float64(clients)) + max(0, records)
}
