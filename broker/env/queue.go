package env

// Queue is a bounded first-in first-out queue between tasks of one node.
type Queue[T any] struct {
	mu       Mutex
	notEmpty Cond
	notFull  Cond
	items    []T
	head     int
	limit    int
	closed   bool
}

// NewQueue makes a queue that holds at most limit items; limit ≤ 0 means no bound.
func NewQueue[T any](t Tasks, limit int) *Queue[T] {
	mu := t.NewMutex()
	return &Queue[T]{mu: mu, notEmpty: t.NewCond(mu), notFull: t.NewCond(mu), limit: limit}
}

// Put appends v, waiting while the queue is full. It reports false if the queue is closed.
func (q *Queue[T]) Put(v T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.limit > 0 && len(q.items)-q.head >= q.limit {
		q.notFull.Wait()
	}
	if q.closed {
		return false
	}
	q.push(v)
	return true
}

// TryPut appends v without waiting. It reports false if the queue is full or closed.
func (q *Queue[T]) TryPut(v T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || (q.limit > 0 && len(q.items)-q.head >= q.limit) {
		return false
	}
	q.push(v)
	return true
}

// Get takes the oldest item, waiting for one. It reports false once the queue is closed and drained.
func (q *Queue[T]) Get() (T, bool) { return q.GetUntil(Never) }

// GetUntil is Get with a deadline. It reports false at the deadline too; Closed tells the two apart.
func (q *Queue[T]) GetUntil(deadline Instant) (T, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.items) {
		if q.closed || !q.notEmpty.WaitUntil(deadline) {
			if q.head < len(q.items) {
				break // an item came with the deadline
			}
			var zero T
			return zero, false
		}
	}
	return q.pop(), true
}

// Len is the number of items waiting.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head
}

// Closed reports whether Close was called.
func (q *Queue[T]) Closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// Close refuses further items and wakes everybody. Items already in the queue can still be taken.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notEmpty.Broadcast()
	q.notFull.Broadcast()
}

func (q *Queue[T]) push(v T) {
	q.items = append(q.items, v)
	q.notEmpty.Signal()
}

func (q *Queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > 64 && q.head*2 > len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.notFull.Signal()
	return v
}
