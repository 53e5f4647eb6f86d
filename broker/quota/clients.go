package quota

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
)

// Kind is what a client quota bounds.
type Kind uint8

const (
	// Produce bounds the bytes of produce requests a second.
	Produce Kind = iota
	// Fetch bounds the bytes of fetch responses a second.
	Fetch
	// Request bounds the time that requests take, in percent of one core.
	Request
	// Mutation bounds the partitions a second that the controller creates and deletes (Mutations).
	Mutation
	kinds
)

// keys are the names under which the bounds are kept (QuotaConfigs).
var keys = [kinds]string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}

// Keys lists the names of all bounds, sorted.
func Keys() []string {
	return slices.Sorted(slices.Values(keys[:]))
}

// Validate checks one bound as it is to be set: a positive number of a known name; bytes are whole ones.
//
// DEVIATION(KIP-546): with ZooKeeper, Kafka keeps bounds of 0 and less, and holds the client back for good. With KRaft it refuses them, too.
func Validate(key string, value float64) error {
	if !slices.Contains(Keys(), key) {
		return fmt.Errorf("invalid configuration key %s", key)
	}
	if !(value > 0) {
		return fmt.Errorf("quota %s must be greater than 0", key)
	}
	if (key == keys[Produce] || key == keys[Fetch]) && value != float64(int64(value)) {
		return fmt.Errorf("%s must be a whole number of bytes, and is %g", key, value)
	}
	return nil
}

// Default, as a user, client id or address of an Entity, stands for all that have no entry of their own (the default entity).
const Default = "<default>"

// Entity is whom bounds are set for: a user, a client id, a client id of a user, or an IP address; "" where it does not say.
type Entity struct {
	User, ClientID, IP string
}

// Clients is the client quotas of one broker. Safe for use by many tasks.
//
// Who is bound by what (KIP-55): the most specific entry with a bound of that kind wins, user before client id. All that an entry of one
// user binds share it; so do all of one client id; what a default binds has it each for itself.
type Clients struct {
	e                  env.Env
	windows, mutations Windows     // of rates, and of mutations
	any                atomic.Bool // some bound is set

	mu      env.Mutex
	bounds  map[Entity][kinds]float64 // 0: none
	rates   map[meter]*Rate
	buckets map[Entity]*bucket // of mutations
	swept   env.Instant
}

// meter is who shares a rate.
type meter struct {
	kind   Kind
	entity Entity
}

// NewClients makes quotas without bounds. Rates are taken over windows, and mutations may come in bursts of what their windows allow
// (controller.quota.window.num and its size).
func NewClients(e env.Env, windows, mutations Windows) *Clients {
	return &Clients{e: e, windows: windows, mutations: mutations, mu: e.NewMutex(), bounds: map[Entity][kinds]float64{},
		rates: map[meter]*Rate{}, buckets: map[Entity]*bucket{}}
}

// Replace takes what is kept for all entities in place of all bounds. A value that is no number is passed over: it was refused when
// it was set.
func (q *Clients) Replace(all map[Entity]map[string]string) {
	next := map[Entity][kinds]float64{}
	for entity, configs := range all { // unordered: each on its own
		var bounds [kinds]float64
		for kind, key := range keys {
			if v, err := strconv.ParseFloat(configs[key], 64); err == nil && v > 0 {
				bounds[kind] = v
				next[entity] = bounds
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bounds = next
	q.any.Store(len(next) > 0)
}

// Any reports whether any bound is set. It takes no lock.
func (q *Clients) Any() bool { return q.any.Load() }

// Bound is the bound of a user's client, and ok is false if there is none.
func (q *Clients) Bound(kind Kind, user, client string) (bound float64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bound, _ = q.find(kind, user, client)
	return bound, bound > 0
}

// find is the bound, and who shares it. The caller holds mu. Source: DefaultQuotaCallback#quotaMetricTags, findQuota.
func (q *Clients) find(kind Kind, user, client string) (bound float64, m meter) {
	both, one, id := Entity{User: user, ClientID: client}, Entity{User: user}, Entity{ClientID: client}
	for _, step := range [...]struct{ entry, shared Entity }{
		{both, both}, {Entity{User: user, ClientID: Default}, both}, {Entity{User: user}, one},
		{Entity{User: Default, ClientID: client}, both}, {Entity{User: Default, ClientID: Default}, both}, {Entity{User: Default}, one},
		{Entity{ClientID: client}, id}, {Entity{ClientID: Default}, id},
	} {
		if step.entry == (Entity{}) {
			continue
		}
		if b := q.bounds[step.entry][kind]; b > 0 {
			return b, meter{kind, step.shared}
		}
	}
	return 0, meter{}
}

// Most is how much one request may bring at once: what the bound allows in all windows but one. It has no bound without one.
// Source: ClientQuotaManager#getMaxValueInQuotaWindow.
func (q *Clients) Most(kind Kind, user, client string) float64 {
	bound, ok := q.Bound(kind, user, client)
	if !ok {
		return float64(Unlimited)
	}
	return bound * (q.windows.span() - q.windows.Length).Seconds()
}

// Record counts a value for a user's client, and returns for how long it must be held back: 0 while it stays below its bound. A
// request is never held back for longer than the windows last.
func (q *Clients) Record(kind Kind, user, client string, value float64) time.Duration {
	now := q.e.Mono()
	q.mu.Lock()
	defer q.mu.Unlock()
	bound, m := q.find(kind, user, client)
	if bound == 0 {
		return 0
	}
	r := q.rates[m]
	if r == nil {
		q.sweep(now)
		r = NewRate(q.windows)
		q.rates[m] = r
	}
	r.Record(value, now)
	excess := r.Excess(bound, now)
	if kind == Request { // KIP-124: no longer than a window
		return min(excess, q.windows.Length)
	}
	return min(excess, q.windows.span())
}

// Unrecord takes back what Record counted: what it was for is not sent.
func (q *Clients) Unrecord(kind Kind, user, client string, value float64) {
	now := q.e.Mono()
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, m := q.find(kind, user, client); q.rates[m] != nil {
		q.rates[m].Record(-value, now)
	}
}

// sweepEvery is how long rates that nobody uses may stay.
const sweepEvery = time.Minute

// sweep forgets rates of which nothing is left, and buckets that would be full. The caller holds mu.
func (q *Clients) sweep(now env.Instant) {
	if now.Sub(q.swept) < sweepEvery {
		return
	}
	q.swept = now
	maps.DeleteFunc(q.rates, func(_ meter, r *Rate) bool { return r.Idle(now) })
	maps.DeleteFunc(q.buckets, func(_ Entity, b *bucket) bool { return b.tokens >= 0 && now.Sub(b.at) >= q.mutations.span() })
}
