package log_test

import (
	"math"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
)

// reconcile finds out what a crash left.
func (r *compactRun) reconcile(e env.Env, l *log.Log) {
	end := l.EndOffset()
	least := r.end()
	if r.lossy {
		least = r.durable
	}
	least = min(least, r.cutting)
	r.batches = append(r.batches, r.adding...)
	r.adding = nil
	for _, b := range r.batches { // a cut takes whole batches
		if b.base < least && b.next > least {
			least = b.base
		}
	}
	if end < least {
		r.fatal("lost what was durable: ends at %d, at least %d", end, least)
	}
	r.cut(end, end)
	r.durable = max(min(r.durable, end), min(l.RecoveryPoint(), end))
	r.cutting, r.lossy = math.MaxInt64, false
	r.cleaned = min(r.cleaned, end)
	r.unclean = end < r.hw && r.cleaned > 0
	if r.unclean {
		return
	}
	r.hw = min(r.hw, end)
	l.SetHighWatermark(r.hw)
	r.check(e, l)
	for i := len(r.batches) - 1; i >= 0; i-- { // the last batch of a producer is known
		if b := r.batches[i]; b.producer >= 0 && b.marker == "" {
			info, err := l.AppendAsLeader(r.bytes(b), 0, log.AppendOptions{})
			r.must(err)
			if !info.Duplicate || info.LastOffset != b.next-1 {
				r.fatal("batch %+v is not known: %+v", b, info)
			}
			r.did["duplicate"]++
			break
		}
	}
}

// fates says of each offset whether its record was committed (or never in a transaction), aborted or is open yet. With
// foretold, what a marker said that was cut off since holds: after a restart a cleaner goes by markers that are not
// replicated, as Kafka's does, and when such a one is lost its coordinator says the same again.
func (r *compactRun) fates(foretold bool) (fate map[int64]string, stable, undecided int64) {
	fate, stable, undecided = map[int64]string{}, r.hw, r.hw
	for i, b := range r.batches {
		f, decided := "committed", int64(-1)
		if b.txn && b.marker == "" {
			f = "open"
			for _, m := range r.batches[i:] {
				if m.producer == b.producer && m.marker != "" {
					f, decided = m.marker, m.base
					break
				}
			}
			if said, ok := r.decided[b.producer]; ok && foretold && f == "open" {
				f = said
			}
			if f == "open" {
				undecided = min(undecided, b.base)
			}
			if f == "open" || decided >= r.hw {
				stable = min(stable, b.base)
			}
		}
		for o := b.base; o < b.next; o++ {
			fate[o] = f
		}
	}
	return fate, stable, undecided
}

// check reads everything and compares.
func (r *compactRun) check(e env.Env, l *log.Log) {
	r.did["checked"]++
	fate, stable, undecided := r.fates(false)
	// After a restart, a marker that is not replicated counts: what it says is decided, and will be sent again.
	got := l.LastStableOffset(r.hw)
	if got < stable || got > undecided {
		r.fatal("last stable offset is %d, want %d or up to %d", got, stable, undecided)
	}
	stable = got
	foretold, _, reach := r.fates(true)
	want := map[int64]keyed{}
	last := map[string]int64{} // of each key, of what is decided
	for _, b := range r.batches {
		for i, rec := range b.records {
			o := b.base + int64(i)
			want[o] = rec
			if o < reach && foretold[o] != "abort" {
				last[rec.key] = o
			}
		}
	}
	has := r.read(l, 0, r.end(), false)
	for _, o := range sortedKeys(has) {
		if has[o] != want[o] {
			r.fatal("offset %d holds %+v, was %+v", o, has[o], want[o])
		}
	}
	now := e.Now().UnixMilli()
	for o, rec := range want { // unordered: each is judged by itself
		_, there := has[o]
		switch {
		case there:
		case o >= r.cleaned || o >= reach:
			r.fatal("offset %d, %+v, is gone though no cleaner came so far (%d, decided %d)", o, rec, r.cleaned, reach)
		case foretold[o] == "abort" || last[rec.key] > o:
		case rec.value != "":
			r.fatal("offset %d, %+v, the last of its key, is gone", o, rec)
		case r.firstAt[o] == 0 || now < r.firstAt[o]+r.retain.Milliseconds():
			r.fatal("tombstone %d of %s is gone at %d, first met at %d, retention %s", o, rec.key, now, r.firstAt[o], r.retain)
		default:
			r.did["tombstone gone"]++
		}
	}
	committed := r.read(l, 0, stable, true)
	has = r.read(l, 0, r.end(), false) // a cleaner may be at work
	for o := range has {               // unordered: each is judged by itself
		if _, seen := committed[o]; o < stable && seen != (fate[o] != "abort") {
			r.fatal("offset %d, %s: seen by read_committed: %t", o, fate[o], seen)
		}
	}
	if from := r.rand.Int64N(r.end() + 1); from < stable { // from anywhere
		for o := range r.read(l, from, stable, true) { // unordered: each is judged by itself
			if fate[o] == "abort" {
				r.fatal("offset %d was aborted, read_committed from %d shows it", o, from)
			}
		}
	}
}

func sortedKeys(m map[int64]keyed) []int64 {
	var keys []int64
	for k := range m { // unordered: sorted below
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// read reads as a consumer does: whole batches from an offset on, leaving out what the aborted transactions say.
func (r *compactRun) read(l *log.Log, from, upper int64, committed bool) map[int64]keyed {
	out := map[int64]keyed{}
	for next := from; ; {
		s, err := l.Read(next, int32(1+r.rand.IntN(1500)), upper, true)
		r.must(err)
		data, err := s.Bytes()
		r.must(err)
		var aborted []log.AbortedTxn
		if committed {
			aborted, err = l.AbortedTransactions(s, next)
			r.must(err)
			slices.SortFunc(aborted, func(a, b log.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
		}
		s.Release()
		if len(data) == 0 {
			return out
		}
		aborting := map[int64]bool{}
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			r.must(err)
			r.must(b.Check())
			data = rest
			if b.BaseOffset() < next && b.LastOffset() < next {
				r.fatal("batch %d-%d read from %d", b.BaseOffset(), b.LastOffset(), next)
			}
			for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
				aborting[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			next = b.NextOffset()
			if m, ok, _ := b.EndTxn(); b.IsControl() {
				if ok && m.Type == record.ControlAbort {
					delete(aborting, b.ProducerID())
				}
				continue
			}
			if b.IsTransactional() && aborting[b.ProducerID()] {
				continue
			}
			it := record.NewIterator(b, 0)
			for it.Next() {
				rec := it.Record()
				if rec.Offset >= from {
					out[rec.Offset] = keyed{string(rec.Key), string(rec.Value), rec.Timestamp}
				}
			}
			r.must(it.Err())
		}
	}
}
