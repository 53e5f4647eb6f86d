package api

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Session epochs with a meaning of their own (FetchMetadata).
const (
	sessionInitialEpoch int32 = 0  // a full request that would like a session
	sessionFinalEpoch   int32 = -1 // a full request without one, which ends the one it names
)

// fetchSession is what a broker remembers of a fetcher's partitions, so that each request names only what has changed,
// and each answer only what is new (KIP-227).
//
// Source: FetchSession.
type fetchSession struct {
	id         int32
	privileged bool // a follower's: it can take a client's place in a full cache
	byID       bool // partitions are named by topic id (v13 and later)
	created    env.Instant
	lastUsed   atomic.Int64 // env.Instant
	size       atomic.Int32 // partitions when it was last used
	room       atomic.Pointer[[]fetchPart]

	mu    env.Mutex
	epoch int32 // that the next request must bring
	// parts in the order in which they are read; one that gave records goes to the end, so that all have their turn.
	parts []*sessionPart
	index map[sessionKey]*sessionPart
}

// sessionKey names a partition as the requests of the session do: by topic id, or by name.
type sessionKey struct {
	id        [16]byte
	topic     string
	partition int32
}

// sessionPart is one partition of a session: what the fetcher asked for last, and what it was told last (CachedPartition).
type sessionPart struct {
	key       sessionKey
	topic     string // "" while the topic id is not known here
	asked     kmsg.FetchRequestTopicPartition
	hw        int64 // -1: before the first answer, and after an error
	lastStart int64 // log start offset
	gone      bool  // removed from the session; an older request may still hold it
	gave      bool  // records, in the answer that is being made
}

// tp is the partition by name, as far as the name is known.
func (p *sessionPart) tp() wire.TopicPartition {
	return wire.TopicPartition{Topic: p.topic, Partition: p.key.partition}
}

// nextSessionEpoch counts from 1 up and around; 0 and -1 have meanings of their own (FetchMetadata#nextEpoch).
func nextSessionEpoch(epoch int32) int32 {
	if epoch < 0 || epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}

// update takes what an incremental request says (FetchSession#update). The caller holds mu.
func (s *fetchSession) update(req *kmsg.FetchRequest) {
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, number := range t.Partitions {
			s.forget(keyOf(s.byID, t.Topic, t.TopicID, number))
		}
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, asked := range t.Partitions {
			key := keyOf(s.byID, t.Topic, t.TopicID, asked.Partition)
			if p := s.index[key]; p != nil {
				p.asked = asked
				continue
			}
			s.add(&sessionPart{key: key, topic: key.topic, asked: asked, hw: -1, lastStart: -1})
		}
	}
}

func keyOf(byID bool, topic string, id [16]byte, number int32) sessionKey {
	if byID {
		return sessionKey{id: id, partition: number}
	}
	return sessionKey{topic: topic, partition: number}
}

func (s *fetchSession) add(p *sessionPart) {
	s.parts = append(s.parts, p)
	s.index[p.key] = p
}

func (s *fetchSession) forget(key sessionKey) {
	p := s.index[key]
	if p == nil {
		return
	}
	delete(s.index, key)
	p.gone = true
	for i := range s.parts {
		if s.parts[i] == p {
			s.parts = append(s.parts[:i], s.parts[i+1:]...)
			return
		}
	}
}

// told remembers what an answer says of a partition, and reports whether the answer must name it: there are records,
// watermark or log start have moved, it failed, or its log diverges (CachedPartition#maybeUpdateResponseData).
func (p *sessionPart) told(out *kmsg.FetchResponseTopicPartition, records int32) (must bool) {
	must = records > 0 || p.hw != out.HighWatermark || p.lastStart != out.LogStartOffset || out.PreferredReadReplica >= 0 ||
		out.DivergingEpoch.Epoch >= 0 || out.DivergingEpoch.EndOffset >= 0
	p.hw, p.lastStart = out.HighWatermark, out.LogStartOffset
	if out.ErrorCode != 0 {
		p.hw, must = -1, true
	}
	return must
}

// rotate puts the parts that gave records behind the others, in their order; gave says how many. The caller holds mu.
func (s *fetchSession) rotate(gave int) {
	if gave == 0 {
		return
	}
	parts := make([]*sessionPart, 0, len(s.parts))
	for _, last := range []bool{false, true} {
		for _, p := range s.parts {
			if p.gave == last {
				parts = append(parts, p)
			}
		}
	}
	for _, p := range parts {
		p.gave = false
	}
	s.parts = parts
}

// sessionCache holds the sessions of one broker, and decides who goes when there are too many.
//
// Source: FetchSessionCacheShard. One shard: the lock is held for a lookup and a few comparisons.
type sessionCache struct {
	e       env.Env
	slots   int           // max.incremental.fetch.session.cache.slots
	evictMs time.Duration // min.incremental.fetch.session.eviction.ms
	ids     *rand.Rand

	mu       env.Mutex
	sessions map[int32]*fetchSession
}

// sessionEviction is how long a session may rest, or must have been there, before another takes its place
// (min.incremental.fetch.session.eviction.ms: not a key, but a constant of 120 s in Kafka).
const sessionEviction = 120 * time.Second

func newSessionCache(e env.Env, slots int) *sessionCache {
	return &sessionCache{e: e, slots: slots, evictMs: sessionEviction, ids: e.Rand("fetch-sessions"), mu: e.NewMutex(), sessions: map[int32]*fetchSession{}}
}

// get finds a session by id, nil if there is none.
func (c *sessionCache) get(id int32) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

// touch says that the session is in use, with so many partitions.
func (s *fetchSession) touch(now env.Instant, size int) {
	s.lastUsed.Store(int64(now))
	s.size.Store(int32(size))
}

// remove ends a session, if there is one of that id.
func (c *sessionCache) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, id)
}

// create makes a session, or returns nil if there is no room for it (maybeCreateSession).
func (c *sessionCache) create(privileged, byID bool, parts []*sessionPart) *fetchSession {
	now := c.e.Mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= c.slots && !c.evict(privileged, len(parts), now) {
		return nil
	}
	s := &fetchSession{privileged: privileged, byID: byID, created: now, mu: c.e.NewMutex(),
		epoch: nextSessionEpoch(sessionInitialEpoch), index: map[sessionKey]*sessionPart{}}
	s.touch(now, len(parts))
	for _, p := range parts {
		if s.index[p.key] == nil {
			s.add(p)
		}
	}
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = c.ids.Int32()
	}
	c.sessions[s.id] = s
	return s
}

// evict makes room for a session of so many partitions, if it is worth more than another: that which has rested longest, if for
// longer than the eviction time; else the least (clients before followers, small ones before large) of those that are old enough.
// A client's session cannot drive out a follower's that is in use. The caller holds mu. Source: tryEvict.
func (c *sessionCache) evict(privileged bool, size int, now env.Instant) bool {
	var stale, least *fetchSession
	for _, s := range c.sessions { // unordered: the least is one, whatever the order
		if used := s.lastUsed.Load(); now.Sub(env.Instant(used)) > c.evictMs && (stale == nil || used < stale.lastUsed.Load() || used == stale.lastUsed.Load() && s.id < stale.id) {
			stale = s
		}
		old := now.Sub(s.created) > c.evictMs
		if (old || privileged && !s.privileged) && (least == nil || s.worth(least.privileged, int(least.size.Load()), least.id) < 0) {
			least = s
		}
	}
	switch {
	case stale != nil:
		delete(c.sessions, stale.id)
	case least != nil && least.worth(privileged, size, 0) <= 0:
		delete(c.sessions, least.id)
	default:
		return false
	}
	return true
}

// worth compares a session with another by privilege, size and id (EvictableKey). With id 0, one that does not exist yet, equals are
// equal.
func (s *fetchSession) worth(privileged bool, size int, id int32) int {
	switch {
	case s.privileged != privileged:
		if s.privileged {
			return 1
		}
		return -1
	case int(s.size.Load()) != size:
		return int(s.size.Load()) - size
	case id == 0:
		return 0
	case s.id < id:
		return -1
	}
	return 1
}

var rareForgotten = env.NewRare("fetch-session-forgotten")

// sessionOf finds what a request with a session's epoch goes on with, nil with the error to answer. use is called with its lock held.
//
// Errors: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR. Source: FetchManager#newContext.
func (c *sessionCache) sessionOf(req *kmsg.FetchRequest, use func(*fetchSession)) (*fetchSession, *kerr.Error) {
	s := c.get(req.SessionID)
	if s != nil && rareForgotten.Strikes(c.e) { // as when another took its place
		c.remove(s.id)
		s = nil
	}
	if s == nil {
		return nil, kerr.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != req.SessionEpoch:
		return nil, kerr.InvalidFetchSessionEpoch
	case s.byID != (req.Version >= 13):
		return nil, kerr.FetchSessionTopicIDError
	}
	s.update(req)
	s.epoch = nextSessionEpoch(s.epoch)
	use(s)
	return s, nil
}

// partsKept is the most parts that a session keeps room for between requests.
const partsKept = 1024

// takeRoom is room for the parts of a request, kept from the one before.
func (s *fetchSession) takeRoom() []fetchPart {
	if kept := s.room.Swap(nil); kept != nil && cap(*kept) >= len(s.parts) {
		return *kept
	}
	return make([]fetchPart, 0, len(s.parts))
}

// giveRoom takes back the parts of a request that is answered.
func (s *fetchSession) giveRoom(parts []fetchPart) {
	if cap(parts) <= partsKept {
		clear(parts) // nothing stays alive for it
		parts = parts[:0]
		s.room.Store(&parts)
	}
}

// answered decides which parts the answer names, and puts those with records last. It reports false if another request of the session
// has overtaken this one (IncrementalFetchContext#updateAndGenerateResponseData).
func (s *fetchSession) answered(f *fetching) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != f.epoch {
		return false
	}
	gave := 0
	for i := range f.parts {
		part := &f.parts[i]
		n := part.result.Slice.Len
		part.silent = !part.cached.told(part.out, n)
		if n > 0 {
			part.cached.gave = true
			gave++
		}
	}
	s.rotate(gave)
	f.resp.SessionID = s.id
	return true
}

// makeSession makes a session of a full request that asks for one, and returns its id: 0 if there is no room.
func (f *fetching) makeSession() int32 {
	parts := make([]*sessionPart, len(f.parts))
	for i := range f.parts {
		part := &f.parts[i]
		p := &sessionPart{key: keyOf(f.version >= 13, part.tp.Topic, part.id, part.tp.Partition), topic: part.tp.Topic, asked: *part.asked}
		p.told(part.out, part.result.Slice.Len)
		parts[i] = p
	}
	if s := f.api.sessions.create(f.replica, f.version >= 13, parts); s != nil {
		return s.id
	}
	return 0
}
