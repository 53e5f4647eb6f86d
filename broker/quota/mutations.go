package quota

import (
	"time"

	"barnabas/broker/env"
)

// Mutations bounds the partitions that one request has the controller create and delete. A strict one refuses what comes when the
// tokens of the user's client are used up; a permissive one, for clients that do not know the refusal, only holds them back.
// Its nil value bounds nothing. Safe for use by many tasks.
//
// Source: ControllerMutationQuota (KIP-599).
type Mutations struct {
	q            *Clients
	user, client string
	strict       bool
	until        env.Instant // guarded by q.mu; 0: not held back
}

// Mutations is the bound of one request of a user's client; nil if no bound is set for anybody.
func (q *Clients) Mutations(user, client string, strict bool) *Mutations {
	if q == nil || !q.Any() {
		return nil
	}
	return &Mutations{q: q, user: user, client: client, strict: strict}
}

// Take takes a token for each partition that is about to be created or deleted. With a strict bound, and less than none left, it takes
// nothing and is false: THROTTLING_QUOTA_EXCEEDED. Whoever has none less than none may overdraw, however much he wants.
func (m *Mutations) Take(partitions int) (ok bool) {
	if m == nil {
		return true
	}
	now := m.q.e.Mono()
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	bound, who := m.q.find(Mutation, m.user, m.client)
	if bound == 0 {
		return true
	}
	b := m.q.buckets[who.entity]
	if b == nil {
		m.q.sweep(now)
		b = &bucket{}
		m.q.buckets[who.entity] = b
	}
	burst := bound * m.q.mutations.span().Seconds()
	b.refill(bound, burst, now)
	if m.strict && b.tokens < 0 {
		m.until = now.Add(b.debt(bound))
		return false
	}
	b.tokens -= float64(partitions)
	if !m.strict && b.tokens < 0 {
		m.until = now.Add(b.debt(bound))
	}
	return true
}

// Throttle is for how much longer the client must be held back: 0 if it did not exceed its bound.
func (m *Mutations) Throttle() time.Duration {
	if m == nil {
		return 0
	}
	now := m.q.e.Mono()
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	return max(0, m.until.Sub(now))
}

// bucket holds tokens, which come back at the rate of the bound; there are never more than a burst. A new one is full.
//
// Worked example, 10 tokens a second in 11 windows of one: 110 can be spent at once, and 200; then there are -90, which takes nine seconds.
// Source: TokenBucket.
type bucket struct {
	tokens float64
	at     env.Instant
	used   bool
}

func (b *bucket) refill(bound, burst float64, now env.Instant) {
	if !b.used {
		b.tokens, b.used = burst, true
	}
	b.tokens, b.at = min(burst, b.tokens+bound*now.Sub(b.at).Seconds()), now
}

// debt is how long it takes until there is no token less than none.
func (b *bucket) debt(bound float64) time.Duration {
	return time.Duration(-b.tokens / bound * float64(time.Second)).Round(time.Millisecond)
}
