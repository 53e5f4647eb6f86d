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
			// Members take their time, now and then, over what they have polled: more is fetched than they have seen when they commit.
			p.Load.Groups.ThinkMean = time.Duration(20+r.IntN(80)) * time.Millisecond
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
			p.Least.Transactions = 3
			p.weigh(map[faults.Kind]int{faults.Crash: 6, faults.Pause: 3, faults.Isolate: 3, faults.PartitionOneWay: 2})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Least.Fired = []faults.Kind{faults.Crash}
		},
	},
	{
		Name:    "rebalance-storm",
		Summary: "many members come, go and crash within seconds, with any assignor, while brokers fail now and then",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Members = 8 + r.IntN(5)
			p.Partitions, p.Load.Partitions = 12, 12
			p.Load.Groups.Assignor = []string{client.Range, client.RoundRobin, client.Sticky, client.CooperativeSticky}[r.IntN(4)]
			p.Load.Groups.StayMean = time.Duration(1200+r.IntN(1500)) * time.Millisecond
			p.Churn = Churn{Gap: time.Duration(800+r.IntN(1000)) * time.Millisecond, Down: time.Duration(200+r.IntN(800)) * time.Millisecond}
			p.weigh(map[faults.Kind]int{faults.Crash: 1, faults.Pause: 1, faults.SlowLink: 4, faults.SlowDisk: 2})
			p.Faults.Gap = 5 * time.Second
			p.Least.Owned, p.Least.Commits = 12, 1 // in a storm hardly anybody comes to commit
		},
	},
	{
		Name:    "static-members",
		Summary: "members with a name of their own leave and crash, and come back to what they had; others wait for them as long as their session",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Members = 3 + r.IntN(2)
			p.Load.Groups.Static = true
			p.Load.Groups.Assignor = []string{client.Range, client.Sticky, client.CooperativeSticky}[r.IntN(3)]
			p.Load.Groups.StayMean = time.Duration(2+r.IntN(3)) * time.Second
			p.Load.Groups.Session = time.Duration(4000+r.IntN(3000)) * time.Millisecond
			p.Churn = Churn{Gap: time.Duration(2+r.IntN(2)) * time.Second, Down: time.Duration(200+r.IntN(1500)) * time.Millisecond}
			p.weigh(map[faults.Kind]int{faults.Crash: 2, faults.Pause: 2, faults.SlowLink: 2, faults.SlowDisk: 1})
			p.Faults.Gap = 6 * time.Second
			p.Settled = 8 * time.Second
			p.Least.Kept = 1
		},
	},
	{
		Name:    "offsets-expire",
		Summary: "a group is empty for less and for more than offsets are kept, while its coordinators fail; what expires does so in time, not before",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Members = 2
			p.brokers(3)
			kept := time.Duration(5000+r.IntN(1500)) * time.Millisecond
			p.Load.Groups.On = time.Duration(2000+r.IntN(1500)) * time.Millisecond
			p.keepOffsets(kept)
			p.weigh(map[faults.Kind]int{faults.Crash: 6, faults.Pause: 2, faults.ZooKeeperExpire: 1})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Faults.Gap = 1500 * time.Millisecond
			p.HealAt = 34 * time.Second
			p.Faults.End = p.HealAt
			p.Least.Expired = 1
		},
		Real: func(p *Plan) { // offsets.retention.minutes knows nothing shorter than one, and minutes of load at full speed are a long history
			p.keepOffsets(time.Minute)
			p.Load.Pause *= 10
		},
	},
	{
		Name:    "legacy-consumer",
		Summary: "consumers of Kafka 0.8 find each other in ZooKeeper, claim partitions and commit there; they, brokers and ZooKeeper fail",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Legacy = 3 + r.IntN(2)
			p.Load.Groups.StayMean = time.Duration(4+r.IntN(6)) * time.Second
			p.Churn = Churn{Gap: time.Duration(3+r.IntN(4)) * time.Second, Down: time.Duration(300+r.IntN(1500)) * time.Millisecond}
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 1, faults.ZooKeeperRestart: 2, faults.ZooKeeperOutage: 1, faults.ZooKeeperExpire: 2, faults.SlowLink: 1})
			p.Settled = 8 * time.Second
			p.Least.FiredAny = 1
		},
	},
}

// keepOffsets has offsets expire after a time: the group is empty for less than that, twice, and then for more; the run ends with a whole round.
func (p *Plan) keepOffsets(kept time.Duration) {
	g := &p.Load.Groups
	g.Off = []time.Duration{kept / 2, kept / 2, kept*2 + g.Session}
	p.Load.OffsetsRetention = kept
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.OffsetsRetention, c.OffsetsRetentionCheckInterval = kept, 300*time.Millisecond
	})
	p.Settled = 3*g.On + kept*3 + g.Session + time.Second
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
