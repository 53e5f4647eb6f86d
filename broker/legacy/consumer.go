package legacy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// Options say how a Consumer behaves; zero values have Kafka's defaults.
type Options struct {
	Group     string   // group.id; may not hold a slash
	Topics    []string // what it reads, one thread each
	Whitelist string   // or it reads the topics whose whole name this regular expression matches (TopicFilter): those that come later, too
	Blacklist string   // or those that it does not match
	Internal  bool     // a whitelist or a blacklist may let Kafka's own topics through (exclude.internal.topics=false)
	Open      zookeeper.Opener
	Servers   []string      // zookeeper.connect, host:port each
	SessionMs int32         // zookeeper.session.timeout.ms; 0 means 6000
	Retries   int           // rebalance.max.retries; 0 means 4
	Backoff   time.Duration // rebalance.backoff.ms; 0 means 2 s
	// AutoCommit is auto.commit.interval.ms; 0 leaves committing to Commit, and to the moments when partitions are given up.
	AutoCommit time.Duration
	Fetch      client.ConsumerOptions
	Listener   Listener
}

// Listener is told, by the task that polls, what happens. All functions may be nil.
type Listener struct {
	// Assigned: the consumer owns the partition, and reads it from what is committed. claim tells one ownership from every other: the owner znode's czxid.
	Assigned func(tp wire.TopicPartition, claim int64)
	// Revoking: it reads the partition no more, and is about to take its claim away; when that is done another may have it at once.
	Revoking func(tp wire.TopicPartition)
	// Revoked: it does not any more. orderly is false where its session ended: it may have lost it before it knew.
	Revoked func(tp wire.TopicPartition, claim int64, orderly bool)
	// Fetched: the committed offset was read, -1 for none.
	Fetched func(tp wire.TopicPartition, offset int64, called, returned env.Instant)
	// Committing: a commit is about to be sent.
	Committing func(tp wire.TopicPartition, offset int64)
	// Committed: a commit has ended. It may have been done even with an error.
	Committed func(tp wire.TopicPartition, offset int64, called, returned env.Instant, err error)
}

// ErrRebalance is what Poll fails with when a consumer has tried in vain to get its partitions (ConsumerRebalanceFailedException).
var ErrRebalance = errors.New("can't rebalance")

// Consumer is one member of a group, with one thread for each topic. One task polls, commits and closes.
type Consumer struct {
	e  env.Env
	o  Options
	c  *client.Client
	id string // group_host-ms-uuid

	filter    *filter           // nil where it names its topics
	topics    []string          // what it reads, sorted
	session   zookeeper.Session // nil between two
	due       bool              // something has changed: rebalance
	topicsDue bool              // topics may have come or gone, of which the filter lets some through
	owned     []claim           // by partition
	k         *client.Consumer
	autoAt    env.Instant
	closed    bool
}

// claim is a partition that the consumer owns.
type claim struct {
	tp wire.TopicPartition
	id int64
	// doubtful: it was asked to be gone, and whether it is was not answered.
	doubtful bool
}

// New makes a consumer. host is its machine's name. It registers with the first Poll.
func New(e env.Env, c *client.Client, host string, o Options) (*Consumer, error) {
	if o.Group == "" || strings.ContainsRune(o.Group, '/') {
		return nil, fmt.Errorf("group %q: it names a znode", o.Group)
	}
	if o.SessionMs == 0 {
		o.SessionMs = 6000
	}
	if o.Retries == 0 {
		o.Retries = 4
	}
	if o.Backoff == 0 {
		o.Backoff = 2 * time.Second
	}
	f, err := filterOf(o)
	if err != nil {
		return nil, err
	}
	o.Topics = slices.Compact(slices.Sorted(slices.Values(o.Topics)))
	k := &Consumer{e: e, o: o, c: c, filter: f, topics: o.Topics, due: true}
	k.id = fmt.Sprintf("%s_%s-%d-%08x", o.Group, host, e.Now().UnixMilli(), e.Rand("legacy-consumer").Uint32())
	k.k = client.NewConsumer(c, o.Fetch)
	k.autoAt = e.Mono().Add(o.AutoCommit)
	return k, nil
}

// ID is the consumer's id, the name of its node in ids; its thread's is that with "-0" behind.
func (k *Consumer) ID() string { return k.id }

func (k *Consumer) thread() string { return k.id + "-0" }

// Poll returns what was fetched of the partitions that the consumer owns, waiting up to timeout; it takes part in rebalances, which may take longer.
// Errors: client.ErrClosed, ErrRebalance; another Poll tries again.
func (k *Consumer) Poll(timeout time.Duration) ([]client.Fetched, error) {
	if k.closed {
		return nil, client.ErrClosed
	}
	if err := k.ready(); err != nil {
		return nil, err
	}
	if k.o.AutoCommit > 0 && k.e.Mono() >= k.autoAt {
		k.autoAt = k.e.Mono().Add(k.o.AutoCommit)
		k.Commit() // what fails is committed with the next
	}
	return k.k.Poll(timeout)
}

// Position is where the consumer stands in a partition that it owns.
func (k *Consumer) Position(tp wire.TopicPartition) (int64, bool) { return k.k.Position(tp) }

// ready sees to the session, hears what ZooKeeper has told, and rebalances if that is due.
func (k *Consumer) ready() error {
	if k.session == nil {
		if err := k.register(); err != nil {
			return err
		}
	}
	k.hear()
	if k.session != nil && k.topicsDue {
		changed, err := k.readTopics()
		if err != nil && !passing(err) {
			return err
		}
		k.due = k.due || changed
	}
	if k.session == nil || !k.due {
		return nil
	}
	for range k.o.Retries {
		done, err := k.rebalance()
		if done {
			return nil
		}
		k.hear()
		if k.session == nil {
			return nil // the session is over: register again
		}
		if err != nil && !passing(err) {
			return err
		}
		k.e.Sleep(k.o.Backoff)
	}
	k.due = true
	return fmt.Errorf("%s after %d retries: %w", k.id, k.o.Retries, ErrRebalance)
}

// passing reports whether an error of ZooKeeper may pass by itself.
func passing(err error) bool {
	return errors.Is(err, zookeeper.ErrConnectionLoss) || errors.Is(err, zookeeper.ErrNoNode) || errors.Is(err, zookeeper.ErrNodeExists)
}

// hear takes the events that have come. Every change asks for a rebalance; the end of the session takes everything away.
func (k *Consumer) hear() {
	for {
		events := k.session.Events()
		if events.Len() == 0 {
			if events.Closed() {
				k.lost()
			}
			return
		}
		ev, ok := events.Get()
		if !ok {
			k.lost()
			return
		}
		switch {
		case ev.Type != zookeeper.EventSession && ev.Path == zookeeper.PathTopics:
			k.topicsDue = true
		case ev.Type != zookeeper.EventSession:
			k.due = true
		case ev.State == zookeeper.StateExpired || ev.State == zookeeper.StateClosed:
			k.lost()
			return
		}
	}
}

// lost gives up what went with the session. Source: ZKSessionExpireListener#handleNewSession.
func (k *Consumer) lost() {
	k.session.Close()
	k.session, k.due = nil, true
	for _, c := range k.owned {
		k.k.Unassign(c.tp)
		k.revoked(c, false)
	}
	k.owned = nil
}

// register opens a session and makes the consumer known in it.
func (k *Consumer) register() error {
	deadline := k.e.Mono().Add(time.Duration(k.o.SessionMs) * time.Millisecond)
	session, err := k.o.Open(k.e, k.o.Servers, k.o.SessionMs, deadline)
	if err != nil {
		return fmt.Errorf("session of consumer %s: %w", k.id, err)
	}
	k.session = session
	path := zookeeper.PathConsumerIDs(k.o.Group) + "/" + k.id
	data := encodeSubscription(k.topics, k.filter, k.e.Now().UnixMilli())
	for {
		_, _, err = session.Create(path, data, zookeeper.Ephemeral)
		switch {
		case errors.Is(err, zookeeper.ErrNoNode):
			err = ensure(session, zookeeper.PathConsumerIDs(k.o.Group))
			if err == nil {
				continue
			}
		case errors.Is(err, zookeeper.ErrNodeExists):
			if _, stat, e := session.Get(path, false); e == nil && stat.EphemeralOwner != session.ID() {
				k.e.Sleep(k.o.Backoff / 4) // of the session before, which is about to go
				if k.e.Mono() < deadline.Add(time.Duration(k.o.SessionMs)*time.Millisecond) {
					continue
				}
			} else {
				err = e // ours: an answer was lost
			}
		case errors.Is(err, zookeeper.ErrConnectionLoss) && k.e.Mono() < deadline:
			k.e.Sleep(k.o.Backoff / 4)
			continue
		}
		break
	}
	if err != nil {
		session.Close()
		k.session = nil
		return fmt.Errorf("register consumer %s: %w", k.id, err)
	}
	k.due, k.topicsDue = true, k.filter != nil
	return nil
}

// ensure makes a persistent znode and those above it.
func ensure(s zookeeper.Session, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if _, _, err := s.Create(path[:i], nil, zookeeper.Persistent); err != nil && !errors.Is(err, zookeeper.ErrNodeExists) {
			return err
		}
	}
	return nil
}

// Close commits, gives everything up and leaves the group.
func (k *Consumer) Close() {
	if k.closed {
		return
	}
	k.closed = true
	if k.session != nil {
		k.hear()
	}
	if k.session != nil {
		k.release()
	}
	if k.session != nil {
		k.session.Delete(zookeeper.PathConsumerIDs(k.o.Group)+"/"+k.id, zookeeper.AnyVersion) // else it goes with the session
		k.session.Close()
		k.session = nil
	}
	for _, c := range k.owned { // what could not be released in order
		k.revoked(c, false)
	}
	k.owned = nil
	k.k.Close()
}
