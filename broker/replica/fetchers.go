package replica

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
)

// fetcherKey names a fetcher: the broker it fetches from, and its number below num.replica.fetchers.
type fetcherKey struct {
	leader int32
	number int
}

func (k fetcherKey) compare(other fetcherKey) int {
	return cmp.Or(cmp.Compare(k.leader, other.leader), cmp.Compare(k.number, other.number))
}

// fetcherNumber spreads partitions over the fetchers of one broker.
func fetcherNumber(tp wire.TopicPartition, fetchers int) int {
	if fetchers <= 1 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(tp.Topic))
	return int((h.Sum32()*31 + uint32(tp.Partition)) % uint32(fetchers))
}

// follow begins fetching a partition from its leader, at once. The caller holds changes.
func (m *Manager) follow(p *partition.Partition, topicID [16]byte, a partition.Assignment) {
	m.fetch(a.Leader, &following{tp: p.TP(), topicID: topicID, p: p, leaderEpoch: a.LeaderEpoch})
}

// fetch gives a partition to the fetcher that it belongs to now. The caller holds changes.
func (m *Manager) fetch(leader int32, n *following) {
	key := fetcherKey{leader, fetcherNumber(n.tp, m.o.Config.Live().NumReplicaFetchers)}
	m.mu.Lock()
	if m.stopped || m.leaving {
		m.mu.Unlock()
		return
	}
	f := m.fetchers[key]
	if f == nil {
		f = newFetcher(m, key)
		m.fetchers[key] = f
		m.tasks.Go("fetcher-"+strconv.Itoa(int(key.leader))+"-"+strconv.Itoa(key.number), f.run)
	}
	m.mu.Unlock()
	f.add(n)
}

// ResizeFetchers gives every partition to the fetcher that it belongs to by the present num.replica.fetchers. An answer that is on its way
// to its old one is of no use by then, or comes to nothing where the new one has been faster.
//
// Source: AbstractFetcherManager#resizeThreadPool.
func (m *Manager) ResizeFetchers() {
	m.changes.Lock()
	defer m.changes.Unlock()
	fetchers := m.o.Config.Live().NumReplicaFetchers
	for _, f := range m.sortedFetchers() {
		for _, n := range f.takeOthers(fetchers) {
			markFetcherChanged.Hit()
			m.fetch(f.key.leader, n)
		}
	}
	m.closeIdleFetchers()
	m.o.Env.Emit(env.Event{Kind: evFetchersResized, V: [4]int64{int64(fetchers), int64(len(m.sortedFetchers()))}})
}

var evFetchersResized = env.NewKind("fetchers-resized", env.Info, "per-leader", "all")

// takeOthers removes the partitions that do not belong here with so many fetchers, and returns them as new: the task may be busy with them.
func (f *fetcher) takeOthers(fetchers int) (others []*following) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = slices.DeleteFunc(f.parts, func(n *following) bool {
		if fetcherNumber(n.tp, fetchers) == f.key.number {
			return false
		}
		others = append(others, n.anew(n.topicID))
		return true
	})
	return others
}

// setTopicID puts a new one in the partition's place: the task may be busy with the old.
func (f *fetcher) setTopicID(tp wire.TopicPartition, topicID [16]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.find(tp); ok {
		f.parts[i] = f.parts[i].anew(topicID)
		f.wake.Broadcast()
	}
}

// unfollow ends the fetching of a partition, from wherever. An answer that is on its way is not looked at.
func (m *Manager) unfollow(tp wire.TopicPartition) {
	for _, f := range m.sortedFetchers() {
		f.remove(tp)
	}
}

// fetchAs lets a partition that is being fetched be fetched by this topic id from now on, or with the zero one by its name
// (AbstractFetcherThread#maybeUpdateTopicIds).
func (m *Manager) fetchAs(tp wire.TopicPartition, topicID [16]byte) {
	for _, f := range m.sortedFetchers() {
		f.setTopicID(tp, topicID)
	}
}

// closeIdleFetchers ends the fetchers that have no partition left. The caller holds changes, so none is added meanwhile.
func (m *Manager) closeIdleFetchers() {
	for _, f := range m.takeFetchers((*fetcher).idle) {
		f.close()
	}
}

// takeFetchers removes the fetchers for which pick holds from the map, and returns them.
func (m *Manager) takeFetchers(pick func(*fetcher) bool) []*fetcher {
	all := m.sortedFetchers()
	taken := slices.DeleteFunc(all, func(f *fetcher) bool { return !pick(f) })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range taken {
		delete(m.fetchers, f.key)
	}
	return taken
}

func (m *Manager) sortedFetchers() []*fetcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.fetchers, fetcherKey.compare)
}

// sorted lists a map's values in the order of their keys.
func sorted[K comparable, V any](all map[K]V, compare func(a, b K) int) []V {
	list := make([]V, 0, len(all))
	for _, key := range slices.SortedFunc(maps.Keys(all), compare) {
		list = append(list, all[key])
	}
	return list
}

// following is a partition that a fetcher fetches, in one leader epoch.
type following struct {
	tp          wire.TopicPartition
	topicID     [16]byte
	p           *partition.Partition
	leaderEpoch int32
	due         env.Instant // not to be fetched before
	caughtUp    bool        // it has all that was committed at the last answer
	early       int         // how often, in a row, the leader did not know yet that it leads
	compared    bool        // the leader has found our log to be one with its own

	// Of the round under way; the fetcher's task alone looks at it.
	asked partition.FetchPosition
}

// anew is the same partition, of which nothing is under way. The caller holds the lock.
func (n *following) anew(topicID [16]byte) *following {
	return &following{tp: n.tp, topicID: topicID, p: n.p, leaderEpoch: n.leaderEpoch, due: n.due}
}

// add begins with a partition, in place of one of the same name.
func (f *fetcher) add(n *following) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.find(n.tp)
	if ok {
		f.parts[i] = n
	} else {
		f.parts = slices.Insert(f.parts, i, n)
	}
	f.wake.Broadcast()
}

// remove ends with a partition.
func (f *fetcher) remove(tp wire.TopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.find(tp); ok {
		f.parts = slices.Delete(f.parts, i, i+1)
	}
}

// drop ends with this very one, if it has not been replaced.
func (f *fetcher) drop(n *following) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.find(n.tp); ok && f.parts[i] == n {
		f.parts = slices.Delete(f.parts, i, i+1)
	}
}

// delay backs off with these (replica.fetch.backoff.ms).
func (f *fetcher) delay(list ...*following) {
	due := f.m.o.Env.Mono().Add(f.m.o.Config.ReplicaFetchBackoff)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range list {
		n.due = due
	}
}

// tooEarly backs off with one whose leader has not heard of the election yet: it will in a moment.
//
// DEVIATION(KIP-320): Kafka's follower rests for replica.fetch.backoff.ms, and with it all that waits for acks=all. Ours asks
// again after earlyBackoff, then twice as long each time, up to that.
func (f *fetcher) tooEarly(n *following) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pause := min(earlyBackoff<<min(n.early, 10), f.m.o.Config.ReplicaFetchBackoff)
	n.early++
	n.due = f.m.o.Env.Mono().Add(pause)
}

const earlyBackoff = 10 * time.Millisecond

func (f *fetcher) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.parts) == 0
}

// find is where tp is among the parts, or belongs. The caller holds the lock.
func (f *fetcher) find(tp wire.TopicPartition) (int, bool) {
	return slices.BinarySearchFunc(f.parts, tp, func(n *following, tp wire.TopicPartition) int { return n.tp.Compare(tp) })
}
