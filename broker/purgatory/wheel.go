package purgatory

import "container/heap"

// The hierarchical timing wheel (org.apache.kafka.server.util.timer.TimingWheel).
//
// Time is counted in ticks. A wheel of size n with buckets u ticks wide holds what expires within the next n·u ticks;
// what expires later is in its overflow wheel, whose buckets are n·u ticks wide. Adding and removing cost O(levels),
// whatever the number of entries; only buckets, not entries, are in the heap that tells when to wake next.
//
// Worked example, n = 3, u = 1, now = 0:
//
//	level 1, u=1   [0,0] [1,1] [2,2]
//	level 2, u=3   [0,2] [3,5] [6,8]
//	level 3, u=9   [0,8] [9,17] [18,26]
//
// An entry for tick 2 goes into [2,2]. One for tick 5 is out of level 1's reach (0+3), so it goes into [3,5] of level 2, which
// expires at tick 3. When the clock gets there, level 1 covers 3, 4 and 5, the bucket is emptied, and the entry goes
// down into [5,5]. An entry for tick 14 starts in [9,17] of level 3. At tick 9 level 1 covers 9 to 11 and level 2 covers 9
// to 17: it comes down into [12,14]. At tick 12 it comes down into [14,14], and at tick 14 it expires.
//
// A bucket of a level stands for the ticks [k·u, k·u+u) of the current turn alone, for those of turns before have
// expired: so a bucket never mixes two turns.

// entry is one deadline in the wheel. It belongs to its waiter and is in at most one bucket.
type entry struct {
	at         int64 // the tick at which it expires
	bucket     *bucket
	prev, next *entry
	waiter     *Waiter
}

// bucket is a circular list of entries that leave their wheel at the same tick.
type bucket struct {
	root   entry
	expiry int64 // tick at which it is emptied; unqueued if it is not in the heap
	n      int
}

const unqueued = -1

func (b *bucket) insert(e *entry) {
	e.bucket = b
	e.prev, e.next = b.root.prev, &b.root
	e.prev.next, b.root.prev = e, e
	b.n++
}

// remove takes e out of its bucket, if it is in one. The bucket stays where it is: empty ones are dropped when they
// come up.
func (e *entry) remove() {
	if e.bucket == nil {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.bucket.n--
	e.bucket, e.prev, e.next = nil, nil, nil
}

// level is one wheel of the hierarchy.
type level struct {
	unit     int64 // ticks a bucket covers
	now      int64 // the clock, rounded down to unit
	buckets  []bucket
	overflow *level
}

func newLevel(unit int64, size int, now int64) *level {
	l := &level{unit: unit, now: now - now%unit, buckets: make([]bucket, size)}
	for i := range l.buckets {
		b := &l.buckets[i]
		b.root.prev, b.root.next, b.expiry = &b.root, &b.root, unqueued
	}
	return l
}

func (l *level) span() int64 { return l.unit * int64(len(l.buckets)) }

func (l *level) advance(tick int64) {
	for ; l != nil && tick >= l.now+l.unit; l = l.overflow {
		l.now = tick - tick%l.unit
	}
}

// wheel is the whole hierarchy with its clock. Not safe for concurrent use.
type wheel struct {
	first *level
	due   bucketHeap // buckets that hold, or held, entries
	n     int        // entries
}

func newWheel(size int, now int64) *wheel { return &wheel{first: newLevel(1, size, now)} }

// add puts e in. It reports false, and leaves e out, if e.at has come already.
func (w *wheel) add(e *entry) bool {
	l := w.first
	if e.at <= l.now {
		return false
	}
	for e.at >= l.now+l.span() {
		if l.overflow == nil {
			l.overflow = newLevel(l.span(), len(l.buckets), l.now)
		}
		l = l.overflow
	}
	turn := e.at / l.unit
	b := &l.buckets[turn%int64(len(l.buckets))]
	if b.expiry == unqueued {
		b.expiry = turn * l.unit
		heap.Push(&w.due, b)
	}
	b.insert(e)
	w.n++
	return true
}

// remove takes e out, if it is in.
func (w *wheel) remove(e *entry) {
	if e.bucket != nil {
		e.remove()
		w.n--
	}
}

// next is the tick at which something must be done; ok is false if nothing ever must.
func (w *wheel) next() (tick int64, ok bool) {
	for len(w.due) > 0 && w.due[0].n == 0 {
		heap.Pop(&w.due).(*bucket).expiry = unqueued
	}
	if len(w.due) == 0 {
		return 0, false
	}
	return w.due[0].expiry, true
}

// advance moves the clock to tick and hands over what has expired, in the order of the ticks.
func (w *wheel) advance(tick int64, expired func(*entry)) {
	for {
		next, ok := w.next()
		if !ok || next > tick {
			break
		}
		b := heap.Pop(&w.due).(*bucket)
		b.expiry = unqueued
		w.first.advance(next)
		for b.n > 0 {
			e := b.root.next
			w.remove(e)
			if !w.add(e) {
				expired(e)
			}
		}
	}
	w.first.advance(tick)
}

// bucketHeap is a min-heap by expiry.
type bucketHeap []*bucket

func (h bucketHeap) Len() int           { return len(h) }
func (h bucketHeap) Less(i, j int) bool { return h[i].expiry < h[j].expiry }
func (h bucketHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *bucketHeap) Push(x any)        { *h = append(*h, x.(*bucket)) }
func (h *bucketHeap) Pop() any {
	old := *h
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return b
}
