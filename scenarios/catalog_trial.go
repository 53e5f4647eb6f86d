package scenarios

import (
	"math/rand/v2"
	"time"

	"barnabas/faults"
)

// trialCatalog lists the scenarios that go through the fault catalogue rather than through a part of the broker.
var trialCatalog = []*Scenario{
	{
		Name:    "anything",
		Summary: "every kind of fault that Kafka promises to bear, each seed with a mix of its own",
		Weight:  3,
		Draw: func(r *rand.Rand, p *Plan) {
			for kind := range faults.KindCount {
				p.Faults.Weights[kind] = 1
			}
			p.Faults.Weights[faults.FailDir] = 0 // the only log directory is its disk: fail-write says so
			p.Faults.Weights[faults.Crash], p.Faults.Weights[faults.Pause], p.Faults.Weights[faults.Power] = 4, 3, 3
			p.Faults.Gap = 1800 * time.Millisecond
			p.Faults.Roles = true
			p.Faults.Budget.Impaired = 1 + r.IntN(2)
			p.Faults.Budget.PowerLosses = 4
			p.Faults.Budget.PowerAlone = r.IntN(4) > 0
			p.Least.Acked, p.Least.Read = 100, 100
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "bad-network",
		Summary: "segments are lost, links are thin, connections half open, and what was said is held back until it is old news",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Loss: 4, faults.Bandwidth: 3, faults.HalfOpen: 4, faults.HoldBack: 5, faults.SlowLink: 1, faults.Clog: 1, faults.Crash: 3, faults.Pause: 1, faults.ZooKeeperExpire: 1})
			p.Faults.Must = []faults.Kind{faults.HoldBack}
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "lost-disks",
		Summary: "brokers come back with an empty disk, another's disk, or a file missing; writes are torn",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Wipe: 5, faults.LoseEntry: 4, faults.SwapDisks: 3, faults.TornWrite: 4, faults.Power: 2, faults.Crash: 2})
			p.Faults.Must = []faults.Kind{faults.Wipe}
			p.Faults.Budget.Impaired = 2
			p.Faults.Budget.PowerLosses = 5
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "blackout",
		Summary: "several brokers, or all, lose power at one moment, with and without ZooKeeper; every append is synced, and now and then a sync fails",
		Draw: func(r *rand.Rand, p *Plan) {
			p.SyncEveryAppend = true
			p.weigh(map[faults.Kind]int{faults.Blackout: 6, faults.Power: 3, faults.FailSync: 5, faults.SlowDisk: 2, faults.Crash: 2})
			p.Faults.Must = []faults.Kind{faults.FailSync, faults.Blackout, faults.Blackout}
			p.Faults.Gap = 4 * time.Second
			p.Faults.Budget.PowerAlone, p.Faults.Budget.PowerLosses = false, 6
			p.Faults.Budget.Impaired = 3
			p.Least.Fired = []faults.Kind{faults.Blackout}
		},
	},
	{
		Name:    "zookeeper-silence",
		Summary: "ZooKeeper pauses, and breaks connections instead of telling what they watch",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.ZooKeeperPause: 4, faults.ZooKeeperLoseWatch: 6, faults.ZooKeeperExpire: 3, faults.Crash: 4, faults.Pause: 1})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperLoseWatch, faults.Crash}
			p.ZKClients = 2
			p.Operators = append(p.Operators, reassigns(2*time.Second), churns(1500*time.Millisecond))
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "zombies",
		Summary: "clients and members sleep past their sessions, others take their places, and they wake up beside them",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.Members = 3
			p.weigh(map[faults.Kind]int{faults.ClientPause: 6, faults.ClientTwin: 4, faults.ClientCrash: 2, faults.Crash: 2, faults.Pause: 1})
			p.Faults.Must = []faults.Kind{faults.ClientPause, faults.ClientTwin}
			p.Least.Acked, p.Least.Read, p.Least.Owned = 150, 100, 1
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "beyond-promise",
		Summary: "more goes wrong than Kafka promises to bear; no client is handed other bytes than were written, and the cluster gets well",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 2, faults.Isolate: 1})
			p.goBeyond()
			p.Faults.Must = []faults.Kind{faults.BitFlip}
			p.Faults.Gap = 3 * time.Second
			p.Least.Acked, p.Least.Read = 50, 50
			p.Least.FiredAny = 1
		},
	},
}
