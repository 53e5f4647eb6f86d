package controller

import (
	"fmt"
	"maps"
	"slices"

	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
)

// assign spreads the replicas of a new topic over the brokers (AdminUtils#assignReplicasToBrokers): leaders go round
// the brokers, followers are shifted further with every round, so that a broker's followers are not all on one other
// broker. If every broker has a rack, no rack gets a second replica before all have one.
//
// Example: brokers 0 to 4, start 0, shift 0, 3 replicas: [0 1 2] [1 2 3] [2 3 4] [3 4 0] [4 0 1], and in the next round
// [0 2 3] [1 3 4] …
//
// DEVIATION(AdminUtils): Kafka draws start and shift at random; start is here the broker with the fewest
// preferred leaderships and shift the number of topics, so that small topics spread evenly too.
func (m *machine) assign(partitions int32, factor int16) (map[int32]zookeeper.ReplicaAssignment, error) {
	brokers := m.brokerIDs()
	switch { // the order is Kafka's
	case partitions <= 0:
		return nil, refusal(kerr.InvalidPartitions, "Number of partitions must be larger than 0.")
	case factor <= 0:
		return nil, refusal(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0.")
	case int(factor) > len(brokers):
		return nil, refusal(kerr.InvalidReplicationFactor, "Replication factor: %d larger than available brokers: %d.", factor, len(brokers))
	}
	if err := mayFit(partitions, int(factor)); err != nil {
		return nil, err
	}
	brokers, racks := m.roundOfBrokers()
	return spread(brokers, racks, round{count: partitions, factor: int(factor), start: m.leastLeading(brokers), shift: len(m.topics)}), nil
}

// assignMore spreads new partitions of a topic so that they go on where its first ones ended
// (AdminZkClient#createNewPartitionsAssignment): start and shift are the position of partition 0's first replica among the brokers, or of the
// next one if it is down. As in Kafka it is the position by id, in whatever order the racks have them go round.
func (m *machine) assignMore(first zookeeper.ReplicaAssignment, from, count int32) (map[int32]zookeeper.ReplicaAssignment, error) {
	brokers, racks := m.roundOfBrokers()
	if len(first.Replicas) > len(brokers) {
		return nil, refusal(kerr.InvalidReplicationFactor, "Replication factor: %d larger than available brokers: %d.", len(first.Replicas), len(brokers))
	}
	if err := mayFit(from+count, len(first.Replicas)); err != nil {
		return nil, err
	}
	start := max(0, slices.IndexFunc(m.brokerIDs(), func(id int32) bool { return id >= first.Replicas[0] }))
	return spread(brokers, racks, round{from: from, count: count, factor: len(first.Replicas), start: start, shift: start}), nil
}

// mayFit refuses numbers of partitions that are far beyond what a znode holds, before memory and the time of everybody else who asks for
// something is spent on working out where they should be.
func mayFit(partitions int32, factor int) error {
	if most := zookeeper.PartitionsMax(factor); partitions > most {
		return refusal(kerr.InvalidPartitions, "Number of partitions must be no larger than %d with %d replicas each, since ZooKeeper could not hold them.", most, factor)
	}
	return nil
}

// roundOfBrokers is the live brokers in the order to go round in, and the rack of each; each has one of its own unless all
// tell one.
//
// DEVIATION(AdminUtils): where only some brokers tell their rack, Kafka creates no topic and no partition (UNKNOWN_SERVER_ERROR, "Not all
// brokers have rack information"), so that nobody can while racks are set on one broker after the other.
func (m *machine) roundOfBrokers() ([]int32, map[int32]string) {
	brokers, racks := m.brokerIDs(), map[int32]string{}
	for _, id := range brokers {
		if m.brokers[id].Rack != "" {
			racks[id] = m.brokers[id].Rack
		}
	}
	if len(racks) == len(brokers) {
		return alternateRacks(brokers, racks), racks
	}
	for _, id := range brokers {
		racks[id] = fmt.Sprint(id)
	}
	return brokers, racks
}

// round says which partitions to spread: count of them, the first numbered from.
type round struct {
	from, count          int32
	factor, start, shift int
}

// spread is assign's arithmetic: brokers in the order to go round in, and the rack of each.
func spread(brokers []int32, racks map[int32]string, r round) map[int32]zookeeper.ReplicaAssignment {
	n := len(brokers)
	rackCount := len(slices.Compact(slices.Sorted(maps.Values(racks))))
	step := 1
	if rackCount < n {
		step = rackCount
	}
	assignment := map[int32]zookeeper.ReplicaAssignment{}
	shift := r.shift
	for p := r.from; p < r.from+r.count; p++ {
		if p > 0 && int(p)%n == 0 {
			shift++
		}
		first := (int(p) + r.start) % n
		replicas := []int32{brokers[first]}
		used := map[string]bool{racks[brokers[first]]: true}
		for k := 0; len(replicas) < r.factor; k++ {
			id := brokers[(first+1+(shift*step+k)%(n-1))%n]
			newRack := !used[racks[id]] || len(used) == rackCount
			if newRack && !slices.Contains(replicas, id) {
				replicas = append(replicas, id)
				used[racks[id]] = true
			}
		}
		assignment[p] = zookeeper.ReplicaAssignment{Replicas: replicas}
	}
	return assignment
}

// alternateRacks orders brokers so that neighbours are in different racks (AdminUtils#getRackAlternatedBrokerList).
//
// Example: rack1: 0 3, rack2: 1 4, rack3: 2 5 gives 0 1 2 3 4 5.
func alternateRacks(brokers []int32, racks map[int32]string) []int32 {
	byRack := map[string][]int32{}
	for _, id := range brokers {
		byRack[racks[id]] = append(byRack[racks[id]], id)
	}
	var order []int32
	names := slices.Sorted(maps.Keys(byRack))
	for round := 0; len(order) < len(brokers); round++ {
		for _, name := range names {
			if round < len(byRack[name]) {
				order = append(order, byRack[name][round])
			}
		}
	}
	return order
}

// leastLeading is the position in brokers of the one that is the first replica of the fewest partitions.
func (m *machine) leastLeading(brokers []int32) int {
	count := map[int32]int{}
	for _, p := range m.partitions() {
		if len(p.assignment.Replicas) > 0 {
			count[p.assignment.Replicas[0]]++
		}
	}
	best := 0
	for i, id := range brokers {
		if count[id] < count[brokers[best]] {
			best = i
		}
	}
	return best
}
