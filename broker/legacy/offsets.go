package legacy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// Commit commits where the consumer stands in every partition that it owns. The first error is returned; the others are tried all the same.
func (k *Consumer) Commit() error {
	var first error
	for _, c := range slices.Clone(k.owned) {
		if err := k.commit(c.tp); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// commit writes the position of a partition. The session that owns it is the one that commits: a consumer that has lost one can do neither.
func (k *Consumer) commit(tp wire.TopicPartition) error {
	at, ok := k.k.Position(tp)
	if !ok || at < 0 || k.session == nil {
		return nil
	}
	if k.o.Listener.Committing != nil {
		k.o.Listener.Committing(tp, at)
	}
	called := k.e.Mono()
	err := k.write(zookeeper.PathConsumerOffset(k.o.Group, tp), strconv.AppendInt(nil, at, 10))
	if k.o.Listener.Committed != nil {
		k.o.Listener.Committed(tp, at, called, k.e.Mono(), err)
	}
	return err
}

// write sets a persistent znode, making it and those above it where they are missing.
func (k *Consumer) write(path string, data []byte) error {
	_, err := k.session.Set(path, data, zookeeper.AnyVersion)
	if !errors.Is(err, zookeeper.ErrNoNode) {
		return err
	}
	if err := ensure(k.session, path); err != nil {
		return err
	}
	_, err = k.session.Set(path, data, zookeeper.AnyVersion)
	return err
}

// committed reads what is committed, -1 for nothing.
func (k *Consumer) committed(tp wire.TopicPartition) (int64, error) {
	path := zookeeper.PathConsumerOffset(k.o.Group, tp)
	data, _, err := k.session.Get(path, false)
	if errors.Is(err, zookeeper.ErrNoNode) || err == nil && len(data) == 0 {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	offset, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return -1, fmt.Errorf("%s: %q is not an offset", path, data)
	}
	return offset, nil
}

// subscription is the content of a member's node: TopicCount#getTopicCountMap.
type subscription struct {
	Version      int            `json:"version"`
	Subscription map[string]int `json:"subscription"` // topic, or the one expression of a filter → threads
	Pattern      string         `json:"pattern"`
	Timestamp    string         `json:"timestamp"` // ms
}

// encodeSubscription is the node of a member that reads the topics, or those that the filter lets through.
func encodeSubscription(topics []string, f *filter, nowMs int64) []byte {
	s := subscription{Version: 1, Subscription: map[string]int{}, Pattern: patternStatic, Timestamp: strconv.FormatInt(nowMs, 10)}
	if f != nil {
		topics, s.Pattern = []string{f.regex}, f.pattern
	}
	for _, t := range topics {
		s.Subscription[t] = 1
	}
	data, err := json.Marshal(s) // maps are written in the order of their keys
	if err != nil {
		panic(fmt.Sprintf("legacy: %v", err)) // strings and numbers
	}
	return data
}

// threadsMax bounds what another's node may ask for.
const threadsMax = 1000

// decodeSubscription tells a member's threads by topic. all are the topics that there are; it is asked for a member with a filter alone.
func decodeSubscription(data []byte, internal bool, all func() ([]string, error)) (map[string]int, error) {
	var s subscription
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("subscription: %w", err)
	}
	if s.Version != 1 || s.Pattern != patternStatic && s.Pattern != patternWhitelist && s.Pattern != patternBlacklist {
		return nil, fmt.Errorf("subscription of version %d and pattern %q: not 1, and static, white_list or black_list", s.Version, s.Pattern)
	}
	for topic, n := range s.Subscription { // unordered: any error will do
		if n < 0 || n > threadsMax {
			return nil, fmt.Errorf("subscription: %d threads of %s", n, topic)
		}
	}
	if s.Pattern == patternStatic || len(s.Subscription) == 0 {
		return s.Subscription, nil
	}
	if len(s.Subscription) > 1 {
		return nil, fmt.Errorf("subscription: a %s of %d expressions", s.Pattern, len(s.Subscription))
	}
	topics, err := all()
	if err != nil {
		return nil, err
	}
	threads := map[string]int{}
	for regex, n := range s.Subscription { // unordered: there is one
		f, err := newFilter(s.Pattern, regex, internal)
		if err != nil {
			return nil, fmt.Errorf("subscription: %w", err)
		}
		for _, topic := range f.of(topics) {
			threads[topic] = n
		}
	}
	return threads, nil
}
