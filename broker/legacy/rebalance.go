package legacy

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// rebalance gives up what the consumer has, and claims what it is to have by what it sees. It is done unless a claim is another's still.
//
// Source: ZKRebalancerListener#rebalance.
func (k *Consumer) rebalance() (done bool, err error) {
	k.due = false // what changes from here on asks for another
	if k.topicsDue {
		if _, err := k.readTopics(); err != nil {
			k.due = true
			return false, err
		}
	}
	if err := k.release(); err != nil {
		k.due = true
		return false, err
	}
	mine, err := k.share()
	if err != nil {
		k.due = true
		return false, err
	}
	var claims []claim
	for _, tp := range mine {
		c, err := k.claim(tp)
		if err == nil {
			claims = append(claims, c)
			continue
		}
		for _, c := range claims { // all or nothing
			k.unclaim(c)
		}
		k.due = true
		return false, err
	}
	for i, c := range claims {
		if err := k.begin(c); err != nil {
			for _, c := range claims[i:] {
				k.unclaim(c)
			}
			k.due = true
			return false, err
		}
	}
	return true, nil
}

// share works out which partitions are this consumer's: of each topic its run, as the range assignor cuts it over all members' threads in the order of
// their names. It asks to be told when members or partitions change.
func (k *Consumer) share() ([]wire.TopicPartition, error) {
	names, _, err := k.session.Children(zookeeper.PathConsumerIDs(k.o.Group), true)
	if err != nil {
		return nil, err
	}
	var all []string // topics: read once, and only where a member has a filter
	allTopics := func() (_ []string, err error) {
		if all == nil {
			all, _, err = k.session.Children(zookeeper.PathTopics, false)
		}
		return all, err
	}
	readers := map[string][]string{} // by topic: threads
	for _, name := range names {
		data, _, err := k.session.Get(zookeeper.PathConsumerIDs(k.o.Group)+"/"+name, false)
		if errors.Is(err, zookeeper.ErrNoNode) {
			continue // gone since: the watch tells
		}
		if err != nil {
			return nil, err
		}
		topics, err := decodeSubscription(data, k.o.Internal, allTopics)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", zookeeper.PathConsumerIDs(k.o.Group), name, err)
		}
		for topic, threads := range topics { // unordered: sorted below
			for i := range threads {
				readers[topic] = append(readers[topic], fmt.Sprintf("%s-%d", name, i))
			}
		}
	}
	var mine []wire.TopicPartition
	for _, topic := range k.topics {
		threads := readers[topic]
		slices.Sort(threads)
		at := slices.Index(threads, k.thread())
		data, _, err := k.session.Get(zookeeper.PathTopic(topic), true)
		switch {
		case errors.Is(err, zookeeper.ErrNoNode):
			if _, _, err := k.session.Exists(zookeeper.PathTopic(topic), true); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		case at < 0:
			return nil, fmt.Errorf("%s is not among the members: %w", k.id, zookeeper.ErrNoNode)
		}
		assignment, err := zookeeper.DecodeTopic(topic, data)
		if err != nil {
			return nil, err
		}
		for _, p := range Share(len(assignment.Partitions), at, len(threads)) {
			mine = append(mine, wire.TopicPartition{Topic: topic, Partition: p})
		}
	}
	return mine, nil
}

// Share is the run of the at-th of n threads, of partitions from 0: the first partitions%n threads have one more. 5 partitions and 2 threads: 0-2, 3-4.
// Source: kafka.consumer.RangeAssignor.
func Share(partitions, at, n int) (run []int32) {
	each, more := partitions/n, partitions%n
	start, count := each*at+min(at, more), each
	if at < more {
		count++
	}
	for p := start; p < start+count; p++ {
		run = append(run, int32(p))
	}
	return run
}

// claim writes the consumer's name to the partition's owner znode. ErrNodeExists says that another owns it.
func (k *Consumer) claim(tp wire.TopicPartition) (claim, error) {
	path := zookeeper.PathConsumerOwner(k.o.Group, tp)
	_, stat, err := k.session.Create(path, []byte(k.thread()), zookeeper.Ephemeral)
	if errors.Is(err, zookeeper.ErrNoNode) {
		if err := ensure(k.session, path[:len(path)-len(fmt.Sprintf("/%d", tp.Partition))]); err != nil {
			return claim{}, err
		}
		_, stat, err = k.session.Create(path, []byte(k.thread()), zookeeper.Ephemeral)
	}
	if err == nil && stat.Czxid == 0 || errors.Is(err, zookeeper.ErrNodeExists) || errors.Is(err, zookeeper.ErrConnectionLoss) {
		// The server sends no Stat, or an earlier answer was lost.
		data, found, e := k.session.Get(path, false)
		if e == nil && string(data) == k.thread() && found.EphemeralOwner == k.session.ID() {
			return claim{tp: tp, id: found.Czxid}, nil
		}
		if e != nil && err == nil {
			err = e
		}
	}
	if err != nil {
		return claim{}, fmt.Errorf("claim %s: %w", tp, err)
	}
	return claim{tp: tp, id: stat.Czxid}, nil
}

var markClaimOfAnother = env.NewMark("claim-of-another")

// unclaim takes the consumer's name away again. What fails goes with the session, at the latest. A claim that was taken away before, without
// an answer, may be another's by now.
//
// DEVIATION(ZookeeperConsumerConnector): Kafka's old consumer deletes whatever is there when it tries again, and so its successor's claim.
func (k *Consumer) unclaim(c claim) error {
	if c.doubtful {
		_, found, err := k.session.Get(zookeeper.PathConsumerOwner(k.o.Group, c.tp), false)
		if err == nil && found.Czxid != c.id {
			markClaimOfAnother.Hit()
			return nil
		}
		if errors.Is(err, zookeeper.ErrNoNode) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	err := k.session.Delete(zookeeper.PathConsumerOwner(k.o.Group, c.tp), zookeeper.AnyVersion)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil
	}
	return err
}

// begin reads a partition that is claimed, from the committed offset.
func (k *Consumer) begin(c claim) error {
	called := k.e.Mono()
	offset, err := k.committed(c.tp)
	if err != nil {
		return err
	}
	k.owned = append(k.owned, c)
	if k.o.Listener.Fetched != nil {
		k.o.Listener.Fetched(c.tp, offset, called, k.e.Mono())
	}
	if k.o.Listener.Assigned != nil {
		k.o.Listener.Assigned(c.tp, c.id)
	}
	if offset < 0 {
		offset = client.Earliest // auto.offset.reset=smallest
	}
	k.k.Assign(c.tp, offset)
	return nil
}

// release stops reading, commits, and takes the claims away. Source: ZKRebalancerListener#closeFetchers, #releasePartitionOwnership.
func (k *Consumer) release() error {
	for len(k.owned) > 0 {
		c := k.owned[0]
		if err := k.commit(c.tp); err != nil && errors.Is(err, zookeeper.ErrConnectionLoss) {
			return err
		}
		k.k.Unassign(c.tp)
		if k.o.Listener.Revoking != nil {
			k.o.Listener.Revoking(c.tp)
		}
		if err := k.unclaim(c); err != nil {
			k.owned[0].doubtful = true
			return err
		}
		k.owned = k.owned[1:]
		k.revoked(c, true)
	}
	return nil
}

func (k *Consumer) revoked(c claim, orderly bool) {
	if k.o.Listener.Revoked != nil {
		k.o.Listener.Revoked(c.tp, c.id, orderly)
	}
}
