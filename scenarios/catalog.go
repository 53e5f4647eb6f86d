package scenarios

import (
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/faults"
)

// Catalog lists the scenarios, in the order to read them.
func Catalog() []*Scenario { return catalog }

var catalog = append([]*Scenario{
	{
		Name:    "steady",
		Summary: "no broker is harmed: slow links and disks now and then",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.SlowLink: 3, faults.SlowDisk: 3})
			p.Faults.Gap = 4 * time.Second
			p.Least.Acked, p.Least.Read = 300, 300
		},
	},
	{
		Name:    "leader-failover",
		Summary: "leaders crash, pause and are cut off; others lead, and they come back",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 6, faults.Pause: 3, faults.Isolate: 3, faults.Partition: 2, faults.PartitionOneWay: 2, faults.SlowLink: 2})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Faults.Target = faults.Leader
			p.Least.Fired = []faults.Kind{faults.Crash}
		},
	},
	{
		Name:    "isr-shrink",
		Summary: "links between brokers break one way or both; followers leave the ISR and join it again",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Partition: 4, faults.PartitionOneWay: 5, faults.SlowLink: 3, faults.Pause: 2, faults.Crash: 2})
			p.Faults.Must = []faults.Kind{faults.PartitionOneWay}
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "slow-replica",
		Summary: "one replica's disk or link is slow, or it pauses; it must not hold the others back for long",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.SlowDisk: 4, faults.SlowLink: 4, faults.Pause: 3, faults.FailSync: 1})
			p.Faults.Must = []faults.Kind{faults.SlowLink}
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "zookeeper-outage",
		Summary: "ZooKeeper restarts, goes away, expires sessions; the data path goes on",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.ZooKeeperOutage: 4, faults.ZooKeeperRestart: 3, faults.ZooKeeperExpire: 5, faults.Crash: 2})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperExpire, faults.ZooKeeperRestart}
			p.ZKClients = 3
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "power-loss",
		Summary: "brokers lose power, and what they had not synced, torn",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Power: 6, faults.Crash: 2, faults.FailSync: 2, faults.SlowDisk: 2})
			p.Faults.Must = []faults.Kind{faults.Power}
			p.Faults.Budget.PowerLosses = 6
			if r.IntN(3) == 0 {
				p.SyncEveryAppend = true
				p.Faults.Budget.PowerAlone = false
				p.Faults.Budget.Impaired = 3
			}
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "controller-failover",
		Summary: "the controller crashes, pauses, is cut off from ZooKeeper or loses its session; another takes over",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 4, faults.Pause: 4, faults.Isolate: 3, faults.ZooKeeperExpire: 4, faults.PartitionOneWay: 2})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperExpire}
			p.Faults.Target = faults.Controller
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "reassign-under-fire",
		Summary: "partitions move between five brokers, moves change and are cancelled, while brokers and the controller fail",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(5)
			p.weigh(map[faults.Kind]int{faults.Crash: 5, faults.Pause: 3, faults.Isolate: 2, faults.PartitionOneWay: 2, faults.ZooKeeperExpire: 3, faults.SlowLink: 2})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Operators = append(p.Operators, reassigns(700*time.Millisecond), elects(4*time.Second))
			p.Least.FiredAny, p.Least.Operations = 1, 5
		},
	},
	{
		Name:    "controller-storm",
		Summary: "controllers follow each other in quick succession while partitions move and topics come and go",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(4)
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 6, faults.Isolate: 3, faults.ZooKeeperExpire: 8, faults.ZooKeeperRestart: 1})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperExpire, faults.Pause}
			p.Faults.Target = faults.Controller
			p.Faults.Gap = 1200 * time.Millisecond
			p.Faults.Budget.Impaired = 2
			p.Operators = append(p.Operators, reassigns(2*time.Second), churns(1500*time.Millisecond))
			p.Least.FiredAny, p.Least.Operations = 2, 3
		},
	},
	{
		Name:    "delayed-control",
		Summary: "what controllers tell brokers arrives late, and after what their successors tell",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(4)
			p.weigh(map[faults.Kind]int{faults.Crash: 4, faults.Pause: 3, faults.ZooKeeperExpire: 6, faults.PartitionOneWay: 1})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperExpire}
			p.Faults.Gap = 2 * time.Second
			if r.IntN(2) == 0 {
				p.Faults.Target = faults.Controller
			}
			p.ControlDelayMax = time.Duration(200+r.IntN(3000)) * time.Millisecond
			p.Operators = append(p.Operators, reassigns(1500*time.Millisecond))
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "topic-churn",
		Summary: "topics are made, written to, given more partitions and deleted while brokers and the controller fail",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 4, faults.Pause: 2, faults.ZooKeeperExpire: 3, faults.PartitionOneWay: 2})
			p.Faults.Gap = 4 * time.Second
			p.Operators = append(p.Operators, churns(400*time.Millisecond), churns(700*time.Millisecond))
			p.Least.Operations = 10
		},
	},
	{
		Name:    "rolling-restart",
		Summary: "one broker after the other stops by controlled shutdown and starts again",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.SlowLink: 1, faults.SlowDisk: 1})
			p.Faults.Gap = 6 * time.Second
			p.Configure = append(p.Configure, func(c *config.Broker) {
				c.LeaderImbalanceCheck = 3 * time.Second
			})
			p.Operators = append(p.Operators, restarts)
			p.Least.Operations = 2
		},
		Real: measureRestarts,
	},
	{
		Name:    "large-cluster",
		Summary: "twelve brokers on three racks with two hundred partitions; brokers fail and leaders move back",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(12)
			p.Racks = 3
			p.Partitions, p.Load.Partitions = 200, 200
			p.ReadyBy, p.ConvergeMax, p.DrainMax = 20*time.Second, 60*time.Second, 60*time.Second
			p.Configure = append(p.Configure, func(c *config.Broker) {
				c.LeaderImbalanceCheck = 5 * time.Second
			})
			p.weigh(map[faults.Kind]int{faults.Crash: 4, faults.Pause: 2, faults.ZooKeeperExpire: 2, faults.SlowLink: 1})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Faults.Gap = 5 * time.Second
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "broken-links",
		Summary: "five brokers in random halves and rings, cut off from ZooKeeper alone; links clog, connections are reset and refused",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(5)
			p.weigh(map[faults.Kind]int{faults.Halves: 4, faults.Ring: 4, faults.ZooKeeperCut: 4, faults.Clog: 3, faults.Reset: 4, faults.Refuse: 3, faults.Crash: 2})
			p.Faults.Must = []faults.Kind{faults.Ring}
			p.Faults.Budget.Impaired = 2
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "disk-trouble",
		Summary: "disks stall, fill up, and fail reads, writes and syncs; the broker stops rather than go on with a log it cannot trust",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.StallDisk: 4, faults.FullDisk: 4, faults.FailRead: 3, faults.FailWrite: 4, faults.FailSync: 2, faults.SlowDisk: 2})
			p.Faults.Must = []faults.Kind{faults.FailWrite}
			if r.IntN(2) == 0 { // and whatever was acked is on them, whoever loses power
				p.SyncEveryAppend = true
				p.weigh(map[faults.Kind]int{faults.FailSync: 6, faults.Power: 4, faults.Blackout: 3})
				p.Faults.Must = append(p.Faults.Must, faults.FailSync, faults.Blackout)
				p.Faults.Budget.PowerAlone, p.Faults.Budget.PowerLosses = false, 6
			}
			p.Least.Acked, p.Least.Read = 200, 200
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "clocks-and-clients",
		Summary: "wall clocks are off, drift and jump; clients crash and come back, among crashes of brokers",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.ClockOffset: 3, faults.ClockDrift: 3, faults.ClockJump: 3, faults.ClientCrash: 6, faults.Crash: 2, faults.Pause: 1})
			p.Faults.Must = []faults.Kind{faults.ClientCrash}
			p.Least.Acked, p.Least.Read = 300, 300
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "controller-power-loss",
		Summary: "the controller loses power and is back before the next one looks: what it was in an ISR for, it may not have",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Power: 6, faults.ZooKeeperExpire: 2, faults.SlowDisk: 1})
			p.Faults.Must = []faults.Kind{faults.Power}
			p.Faults.Target = faults.Controller
			p.Faults.Budget.PowerLosses = 6
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "log-dir-failure",
		Summary: "one of a broker's two log directories breaks; its partitions fail over, the others are served; often with retention",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.FailDir: 6, faults.Crash: 2, faults.ZooKeeperExpire: 1, faults.PartitionOneWay: 1})
			p.Faults.Must = []faults.Kind{faults.FailDir, faults.FailDir, faults.FailDir} // one may find its broker down
			p.Least.Fired = []faults.Kind{faults.FailDir}
			p.LogDirs, p.Faults.LogDirs = 2, 2
			p.Partitions, p.Load.Partitions = 6, 6 // some in each directory
			if r.IntN(3) > 0 {
				p.retain(r)
			}
			if r.IntN(2) == 0 {
				p.Operators = append(p.Operators, movesDirs(400*time.Millisecond))
			}
		},
	},
	{
		Name:    "compaction",
		Summary: "keys are written over and deleted while cleaners run and brokers crash and lose power; the last word of each key stays",
		Weight:  2,
		Draw: func(r *rand.Rand, p *Plan) {
			p.compact(r)
			p.weigh(map[faults.Kind]int{faults.Crash: 5, faults.Power: 4, faults.Pause: 2, faults.PartitionOneWay: 2, faults.SlowDisk: 2, faults.ZooKeeperExpire: 1})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Least.FiredAny, p.Least.Cleaned = 1, 50
		},
	},
}, slices.Concat(groupCatalog, trialCatalog, replicationCatalog, txnCatalog)...)

// brokers sets how many there are.
func (p *Plan) brokers(n int) {
	p.Brokers, p.Faults.Brokers = n, nil
	for id := range n {
		p.Faults.Brokers = append(p.Faults.Brokers, faults.Node(id+1))
	}
	p.spread()
}

// retain lets the log lose its beginning: what is beyond a few segments.
func (p *Plan) retain(r *rand.Rand) {
	p.Retention = true
	segments := int64(1 + r.IntN(4))
	check := time.Duration(200+r.IntN(2000)) * time.Millisecond
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.Topic.SegmentBytes = min(c.Topic.SegmentBytes, 32<<10)
		c.Topic.RetentionBytes = segments * int64(c.Topic.SegmentBytes)
		c.LogRetentionCheck = check
	})
}

// compact makes the topic a compacted one: some keys, written over and deleted again and again, small segments, cleaners that run
// all the time. Tombstones are kept for seconds, or for longer than the run.
func (p *Plan) compact(r *rand.Rand) {
	p.Compacted = true
	p.Load.Acks = client.AcksAll
	p.Load.Keys, p.Load.DeleteEvery = 8+r.IntN(40), 2+r.IntN(6)
	p.DeleteRetention = time.Duration(3+r.IntN(8)) * time.Second
	segment := int32(4<<10+28*p.Load.RecordBytesMax) >> r.IntN(2) // some 300 records a partition roll it several times: else nothing is cleaned
	kept := p.DeleteRetention
	if r.IntN(2) == 0 {
		kept, p.DeleteRetention = 24*time.Hour, 0
	}
	every := time.Duration(100+r.IntN(900)) * time.Millisecond
	p.Configure = append(p.Configure, func(c *config.Broker) {
		t := &c.Topic
		t.CleanupPolicyCompact, t.CleanupPolicyDelete = true, false
		t.DeleteRetention, t.MinCleanableDirtyRatio = kept, 0.01
		t.SegmentBytes = min(t.SegmentBytes, segment)
		c.LogCleanerBackoff, c.LogRetentionCheck = every, time.Second
	})
}

func (p *Plan) weigh(weights map[faults.Kind]int) {
	for kind, w := range weights { // unordered: each kind has a weight of its own
		p.Faults.Weights[kind] = w
	}
}
