package replica

import (
	"barnabas/broker/config"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// setThrottles takes from a topic's configuration which of its replicas here are throttled (TopicConfigHandler#updateThrottledList).
func (m *Manager) setThrottles(topic string, c config.Topic) {
	if q := m.o.LeaderThrottle; q != nil {
		q.SetTopic(topic, c.LeaderThrottledReplicas, m.o.Config.BrokerID)
	}
	if q := m.o.FollowerThrottle; q != nil {
		q.SetTopic(topic, c.FollowerThrottledReplicas, m.o.Config.BrokerID)
	}
}

// throttled reports whether a partition is not to be fetched now: it is throttled, has not caught up, and enough has been fetched
// (ReplicaFetcherThread#shouldFollowerThrottle).
func (f *fetcher) throttled(n *following) bool {
	q := f.m.o.FollowerThrottle
	return q != nil && !n.caughtUp && q.Throttled(n.tp) && q.Exceeded()
}

// took notes what an answer brought: whether the follower has all that is committed, and the bytes of a throttled one.
func (f *fetcher) took(n *following, rp *kmsg.FetchResponseTopicPartition, bytes int) {
	n.caughtUp = n.p.Log().EndOffset() >= rp.HighWatermark
	if q := f.m.o.FollowerThrottle; q != nil && bytes > 0 && q.Throttled(n.tp) {
		q.Record(int64(bytes))
	}
}
