package scenarios

import (
	"math/rand/v2"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/faults"
	"barnabas/scenarios/workload"
)

// groupCatalog lists the scenarios of consumer groups.
var groupCatalog = []*Scenario{
	{
		Name:    "group-churn",
		Summary: "members of a group join, leave and crash, and brokers too; a partition has one owner, and what is committed stays",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Members = 3 + r.IntN(3)
			p.Load.Groups.StayMean = time.Duration(3+r.IntN(5)) * time.Second
			p.Churn = Churn{Gap: time.Duration(2+r.IntN(3)) * time.Second, Down: time.Duration(500+r.IntN(2000)) * time.Millisecond}
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 2, faults.Partition: 1, faults.SlowLink: 2, faults.SlowDisk: 1})
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "coordinator-failover",
		Summary: "the brokers that coordinate a group and transactions crash, pause and are cut off; others load what they knew, and clients find them",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.transactions(r, 2)
			p.Members, p.Producers, p.Transactional = 3, 2, 2
			p.Load.Txns.StallEvery, p.Load.Txns.Stall = 20, 2*p.Load.Txns.Timeout // some are ended by their coordinator
			p.Least.Transactions = 10
			p.weigh(map[faults.Kind]int{faults.Crash: 6, faults.Pause: 3, faults.Isolate: 3, faults.PartitionOneWay: 2})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Least.Fired = []faults.Kind{faults.Crash}
		},
	},
}

// group makes the plan that of a group: its members take the place of the consumers, sessions are short, and one partition holds all
// groups, so that whoever crashes is likely to be the coordinator.
func (p *Plan) group(r *rand.Rand) {
	p.Consumers, p.Producers = 1, 3
	p.Partitions = 4 + r.Int32N(4) // so that there is something to share
	p.Load.Partitions = p.Partitions
	p.Load.Groups = workload.Groups{Group: "castle", Assignor: []string{client.Range, client.CooperativeSticky}[r.IntN(2)],
		Session: time.Duration(2000+r.IntN(2000)) * time.Millisecond, Rebalance: time.Duration(3000+r.IntN(3000)) * time.Millisecond, CommitEvery: 2 + r.IntN(4)}
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.OffsetsTopicPartitions, c.OffsetsTopicReplicationFactor = 1, p.Replicas
		c.GroupInitialRebalanceDelay = 300 * time.Millisecond
		c.GroupSessionTimeoutMin = time.Second
		c.OffsetsCommitTimeout = time.Second
	})
	p.Settled = 4 * time.Second // for a last rebalance, and what comes of it
	p.Least.Commits, p.Least.Owned = 5, int(p.Partitions)
}
