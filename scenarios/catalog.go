package scenarios

import (
	"math/rand/v2"
	"time"

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
			p.Least.Acked, p.Least.Read = 1000, 1000
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
				p.Faults.Weights[faults.FailSync] = 0 // what a failed sync leaves in the cache is synced by nobody again
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
}, groupCatalog...)

func (p *Plan) weigh(weights map[faults.Kind]int) {
	for kind, w := range weights { // unordered: each kind has a weight of its own
		p.Faults.Weights[kind] = w
	}
}
