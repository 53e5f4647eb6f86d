package scenarios

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/config"
	"barnabas/faults"
	"barnabas/faults/schedule"
	"barnabas/reports"
	"barnabas/sim/rng"
)

// replicationCatalog lists scenarios that press on ISRs, elections, and what a broker is told in which of its lives.
var replicationCatalog = []*Scenario{
	{
		Name:    "flapping-isr",
		Summary: "followers fall behind and catch up over and over, so that ISRs shrink and grow all the time, while leaders and the controller fail",
		Draw: func(r *rand.Rand, p *Plan) {
			p.flap(r)
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 2, faults.Clog: 2, faults.Power: 2, faults.ZooKeeperExpire: 1})
			p.Faults.Target = faults.Leader
			p.Least.ISRChanges = 4
		},
	},
	{
		Name:    "reboot-in-isr",
		Summary: "replicas lose power while the news that they are in sync is still on its way to a controller that is slow or changing",
		Draw: func(r *rand.Rand, p *Plan) {
			p.flap(r)
			p.Partitions = 5 + r.Int32N(4)
			p.Load.Partitions = p.Partitions
			p.weigh(map[faults.Kind]int{faults.SlowLink: 1})
			p.Faults.Gap = 6 * time.Second
			p.AlterDelayMax = time.Duration(2000+r.IntN(6000)) * time.Millisecond
			bytes := int32(1<<10) << r.IntN(3) // a replica that has lost all takes its time to have it again
			p.Configure = append(p.Configure, func(c *config.Broker) {
				c.ControllerSocketTimeout = 10 * time.Second
				c.ReplicaFetchBytesMax = bytes
				c.ZookeeperSessionMs = 1200 // and is soon back
			})
			p.Script = func(r *rand.Rand) faults.Schedule { return slowReboots(r, p) }
			p.Least.FiredAny, p.Least.ISRChanges = 1, 4 // it may lead alone at each of its few power losses, which are withheld then
		},
	},
	{
		Name:    "rack-loss",
		Summary: "six brokers on three racks; whole racks crash, are cut off or pause at once, and partitions stay served from the others",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(6)
			p.Racks = 3
			if r.IntN(2) == 0 { // consumers read from the nearest replica
				p.Load.Racks = 3
				p.Configure = append(p.Configure, func(c *config.Broker) { c.RackAwareSelector = true })
			}
			p.weigh(map[faults.Kind]int{faults.SlowLink: 1})
			p.Faults.Gap = 8 * time.Second
			p.Script = func(r *rand.Rand) faults.Schedule { return rackLosses(r, p) }
			p.Least.Racks = 2
		},
	},
	{
		Name:    "asymmetric-partition",
		Summary: "links break in one direction only, between brokers, to ZooKeeper and to clients: who hears is not who is heard",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.PartitionOneWay: 1})
			p.Faults.Must = []faults.Kind{faults.PartitionOneWay, faults.PartitionOneWay, faults.PartitionOneWay}
			p.Faults.Target = []faults.Node{faults.Leader, faults.Controller, 0}[r.IntN(3)]
			p.Faults.Gap = 2 * time.Second
			p.Faults.Budget.Impaired = 2
			p.Least.Fired = []faults.Kind{faults.PartitionOneWay}
		},
	},
	{
		Name:    "rapid-elections",
		Summary: "leadership goes from one in-sync replica to the next before the others have followed: slow links, preferred elections, short crashes",
		Weight:  3,
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 6, faults.Pause: 4, faults.ZooKeeperExpire: 4, faults.Isolate: 1})
			p.Faults.Must = []faults.Kind{faults.Crash, faults.Pause}
			p.Faults.Target = faults.Leader
			p.Faults.Gap = time.Second
			p.Faults.Budget.Impaired, p.Faults.Budget.Settle = 2, 500*time.Millisecond
			if p.Load.Pause = 15 * time.Millisecond; r.IntN(3) > 0 { // partitions that rest for a while between two records
				p.Load.Pause = time.Duration(100+r.IntN(400)) * time.Millisecond
				p.Partitions = 6 + r.Int32N(4)
				p.Load.Partitions = p.Partitions
				p.Least.Acked, p.Least.Read = 20, 20
			}
			if r.IntN(2) == 0 {
				p.ControlDelayMax = time.Duration(200+r.IntN(2500)) * time.Millisecond
			}
			p.Operators = append(p.Operators, elects(300*time.Millisecond), shuffles(200*time.Millisecond), shuffles(400*time.Millisecond))
			p.Script = func(r *rand.Rand) faults.Schedule { return slowFollowers(r, p) }
			p.Least.FiredAny, p.Least.Elections = 1, 10
		},
	},
	{
		Name:    "expiring-sessions",
		Summary: "leaders' sessions expire all the time, or they are cut off from ZooKeeper or paused, and what deposes them is late: two lead at once",
		Draw: func(r *rand.Rand, p *Plan) {
			p.flap(r)
			p.weigh(map[faults.Kind]int{faults.ZooKeeperExpire: 12, faults.ZooKeeperCut: 5, faults.Isolate: 4, faults.Pause: 4, faults.PartitionOneWay: 2, faults.Crash: 1})
			p.Faults.Must = append(slices.Repeat([]faults.Kind{faults.ZooKeeperExpire}, 8), faults.ZooKeeperCut)
			p.Faults.Target = []faults.Node{faults.Leader, faults.Leader, faults.Controller, 0}[r.IntN(4)]
			p.Faults.Gap = time.Duration(400+r.IntN(1200)) * time.Millisecond
			p.Faults.Budget.Impaired, p.Faults.Budget.Settle = 2, 500*time.Millisecond
			p.MinInsync = 1 + r.IntN(2)
			p.ControlDelayMax = time.Duration(500+r.IntN(4000)) * time.Millisecond
			if r.IntN(2) == 0 {
				p.Operators = append(p.Operators, elects(500*time.Millisecond), shuffles(500*time.Millisecond))
			}
			p.Least.FiredAny, p.Least.Elections = 1, 1
			p.Least.Acked, p.Least.Read = 100, 100
		},
	},
	{
		Name:    "slow-zookeeper",
		Summary: "ZooKeeper's disk is slow, so controllers are always in the middle of writing when they lose their sessions, pause or crash",
		Draw: func(r *rand.Rand, p *Plan) {
			p.flap(r)
			p.brokers(6)
			p.weigh(map[faults.Kind]int{faults.ZooKeeperExpire: 9, faults.Pause: 2, faults.Crash: 1})
			p.Faults.Must = []faults.Kind{faults.ZooKeeperExpire, faults.ZooKeeperExpire}
			p.ZKClients = 2
			p.Faults.Target = faults.Controller
			p.Faults.Gap = 1500 * time.Millisecond
			p.Faults.Budget.Impaired = 2
			p.Operators = append(p.Operators, elects(200*time.Millisecond), shuffles(200*time.Millisecond))
			followers := p.Script
			p.Script = func(r *rand.Rand) faults.Schedule {
				return append(followers(r), faults.Fault{At: p.Faults.Start, Kind: faults.SlowDisk, Node: faults.ZooKeeper, Slow: 30 + r.IntN(300), For: p.Faults.End - p.Faults.Start})
			}
			p.Least.Fired = []faults.Kind{faults.ZooKeeperExpire}
			p.Least.Acked, p.Least.Read = 100, 100
		},
	},
	{
		Name:    "moving-replicas",
		Summary: "replicas move between their brokers' log directories while brokers crash, lose power or a directory, and leaders change",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Crash: 5, faults.Power: 4, faults.FailDir: 3, faults.Pause: 2, faults.ZooKeeperExpire: 2, faults.SlowDisk: 2})
			p.Faults.Must = []faults.Kind{faults.Crash, faults.Power, faults.FailDir}
			p.Faults.Gap = 2500 * time.Millisecond
			p.LogDirs = 2 + r.IntN(2)
			p.Faults.LogDirs = p.LogDirs
			p.Partitions = 4 + r.Int32N(4)
			p.Load.Partitions = p.Partitions
			if r.IntN(2) == 0 {
				p.retain(r)
			}
			p.Configure = append(p.Configure, func(c *config.Broker) { c.ReplicaFetchBytesMax = min(c.ReplicaFetchBytesMax, 16<<10) })
			p.Operators = append(p.Operators, movesDirs(150*time.Millisecond), movesDirs(300*time.Millisecond), paces(500*time.Millisecond), retunes(400*time.Millisecond))
			if r.IntN(2) == 0 {
				p.Operators = append(p.Operators, elects(400*time.Millisecond), shuffles(400*time.Millisecond))
			}
			// No reassignments: a replica that goes while its directory is offline, and comes back in another, is there twice when that one is
			// mended, and as with Kafka somebody must delete one by hand.
			p.Least.FiredAny, p.Least.Operations = 1, 10
		},
	},
	{
		Name:    "bounced-broker",
		Summary: "brokers lose power and are back before the controller knows, which still has requests for their earlier lives to deliver",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(4)
			p.weigh(map[faults.Kind]int{faults.Power: 9, faults.SlowDisk: 1})
			p.Faults.Must = []faults.Kind{faults.Power, faults.Power}
			p.Faults.Gap = 2500 * time.Millisecond
			p.Faults.Budget.PowerLosses = 8
			p.WatchDelayMax = time.Duration(500+r.IntN(2500)) * time.Millisecond
			p.Operators = append(p.Operators, elects(400*time.Millisecond), shuffles(500*time.Millisecond))
			p.Least.FiredAny = 1
		},
	},
	{
		Name:    "overtaken-control",
		Summary: "what a controller says on connections that it has given up still arrives, after what it said since; topics are deleted and made anew",
		Draw: func(r *rand.Rand, p *Plan) {
			p.weigh(map[faults.Kind]int{faults.Pause: 4, faults.PartitionOneWay: 2, faults.Crash: 2, faults.ZooKeeperExpire: 2})
			p.Faults.Gap = 3 * time.Second
			p.ControlDelayMax, p.ControlLingers = time.Duration(500+r.IntN(2500))*time.Millisecond, true
			patience := time.Duration(50+r.IntN(150)) * time.Millisecond
			p.Configure = append(p.Configure, func(c *config.Broker) { c.ControllerSocketTimeout = patience })
			p.Operators = append(p.Operators, remakes(50*time.Millisecond), remakes(100*time.Millisecond), remakes(150*time.Millisecond))
			p.Least.FiredAny, p.Least.Operations = 1, 5
		},
	},
	{
		Name:    "last-member",
		Summary: "the last member of an ISR loses power, with what all had acknowledged; one of those that left when no more was committed has it, and leads",
		Draw: func(r *rand.Rand, p *Plan) {
			p.brokers(3)
			p.Partitions = 1 + r.Int32N(3)
			p.Load.Partitions = p.Partitions
			p.weigh(map[faults.Kind]int{faults.SlowLink: 1, faults.ZooKeeperExpire: r.IntN(2)})
			p.Faults.Gap = 6 * time.Second
			p.HealAt = 33 * time.Second
			p.Faults.End = p.HealAt
			session := int32(1200 + r.IntN(800))
			p.Configure = append(p.Configure, func(c *config.Broker) {
				c.EligibleLeaderReplicas = true
				c.ZookeeperSessionMs = session
				c.AutoLeaderRebalance = false
			})
			if r.IntN(3) == 0 { // leaders, and controllers, that go by another number than those who made a list
				p.Operators = append(p.Operators, loosens(1500*time.Millisecond))
			}
			p.Script = func(r *rand.Rand) faults.Schedule { return lastMembers(r, p) }
			p.Least.FiredAny, p.Least.ISRChanges = 1, 2
			p.Least.Acked, p.Least.Read = 100, 100
		},
	},
}

// flap makes followers fall out of ISRs and come back: little patience, and links to them that are slow for a while.
func (p *Plan) flap(r *rand.Rand) {
	lag := time.Duration(300+r.IntN(700)) * time.Millisecond
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.ReplicaLagTimeMax = lag
		c.ReplicaFetchWaitMax = min(c.ReplicaFetchWaitMax, lag/2)
	})
	p.Partitions = max(3, p.Partitions)
	p.Load.Partitions = p.Partitions
	p.Faults.Gap = 3 * time.Second
	p.Script = func(r *rand.Rand) faults.Schedule { return slowFollowers(r, p) }
}

// scheduled is the seed's whole schedule: what the generator draws, and the scenario's own script.
func (p *Plan) scheduled(own rng.Source) faults.Schedule {
	s := schedule.Generate(own.Stream("schedule"), p.Faults)
	if p.Script == nil {
		return s
	}
	s = append(s, p.Script(own.Stream("script"))...)
	slices.SortStableFunc(s, func(a, b faults.Fault) int { return cmp.Compare(a.At, b.At) })
	return s
}

// slowFollowers makes one broker after the other slow to hear the others, each for a while: longer than a follower may lag, and
// shorter than it takes to be declared dead.
func slowFollowers(r *rand.Rand, p *Plan) (s faults.Schedule) {
	at := p.Faults.Start
	for at < p.Faults.End-2*time.Second {
		one := p.Faults.Brokers[r.IntN(len(p.Faults.Brokers))]
		f := faults.Fault{At: at.Truncate(time.Millisecond), Kind: faults.SlowLink, From: []faults.Node{one},
			Delay: time.Duration(100+r.IntN(900)) * time.Millisecond, For: time.Duration(500+r.IntN(2500)) * time.Millisecond}
		for _, b := range p.Faults.Brokers {
			if b != one {
				f.To = append(f.To, b)
			}
		}
		s = append(s, f)
		at += time.Duration(300+r.IntN(1200)) * time.Millisecond
	}
	return s
}

// slowReboots lets one broker lose its leaderships and then, while it is slow to hear the others, lose power again and again: when it
// is back it lacks for a while what it had before.
func slowReboots(r *rand.Rand, p *Plan) (s faults.Schedule) {
	one := p.Faults.Brokers[r.IntN(len(p.Faults.Brokers))]
	at := p.Faults.Start
	s = append(s, faults.Fault{At: at, Kind: faults.Pause, Node: one, For: 5 * time.Second}) // longer than any session
	at += 5500 * time.Millisecond
	slow := faults.Fault{At: at, Kind: faults.SlowLink, From: []faults.Node{one}, For: p.Faults.End - at - time.Second,
		Delay: time.Duration(20+r.IntN(150)) * time.Millisecond}
	for _, b := range p.Faults.Brokers {
		if b != one {
			slow.To = append(slow.To, b)
		}
	}
	s = append(s, slow)
	for at += 1500 * time.Millisecond; at < p.Faults.End-6*time.Second; at += time.Duration(3500+r.IntN(1500)) * time.Millisecond {
		s = append(s, faults.Fault{At: at + time.Duration(r.IntN(1000))*time.Millisecond, Kind: faults.Power, Node: one, For: 500 * time.Millisecond,
			Keep: []faults.Keep{faults.KeepRandom, faults.KeepNone}[r.IntN(2)]})
	}
	return s
}

// lastMembers takes all brokers but one away, one soon after the other, for longer than a session lasts, so that the one is alone in
// every ISR; then it loses power, and the others come back, before it or after.
func lastMembers(r *rand.Rand, p *Plan) (s faults.Schedule) {
	for at := p.Faults.Start + time.Duration(r.IntN(1000))*time.Millisecond; at < p.Faults.End-12*time.Second; at += time.Duration(12500+r.IntN(2000)) * time.Millisecond {
		order := r.Perm(len(p.Faults.Brokers))
		last := p.Faults.Brokers[order[0]]
		loss := at + time.Duration(4500+r.IntN(1500))*time.Millisecond
		for i, one := range order[1:] {
			kind := []faults.Kind{faults.Crash, faults.Crash, faults.Pause, faults.Isolate}[r.IntN(4)]
			goes := at + time.Duration(i*r.IntN(2000))*time.Millisecond
			back := loss + time.Duration(r.IntN(4500))*time.Millisecond
			s = append(s, faults.Fault{At: goes, Kind: kind, Node: p.Faults.Brokers[one], For: (back - goes).Truncate(time.Millisecond)})
		}
		s = append(s, faults.Fault{At: loss, Kind: faults.Power, Node: last, For: time.Duration(500+r.IntN(2500)) * time.Millisecond,
			Keep: []faults.Keep{faults.KeepNone, faults.KeepNone, faults.KeepRandom}[r.IntN(3)]})
	}
	return s
}

// rackLosses takes racks away, one after the other, each as a whole: its brokers crash, lose their links or pause within moments.
func rackLosses(r *rand.Rand, p *Plan) (s faults.Schedule) {
	at := p.Faults.Start
	for last := -1; at < p.Faults.End-9*time.Second; at += time.Duration(8500+r.IntN(2500)) * time.Millisecond {
		rack := r.IntN(p.Racks)
		if rack == last {
			rack = (rack + 1) % p.Racks
		}
		last = rack
		kind := []faults.Kind{faults.Crash, faults.Crash, faults.Isolate, faults.Pause}[r.IntN(4)]
		length := time.Duration(3000+r.IntN(3000)) * time.Millisecond
		for _, b := range p.Faults.Brokers {
			if int(b)%p.Racks == rack {
				s = append(s, faults.Fault{At: at + time.Duration(r.IntN(200))*time.Millisecond, Kind: kind, Node: b, For: length})
			}
		}
	}
	return s
}

// racksLost counts how often every broker of a rack was stopped or cut off at one moment.
func racksLost(p *Plan, report *reports.Run) (lost int) {
	if p.Racks == 0 {
		return 0
	}
	away := func(broker int, at time.Duration) bool {
		return slices.ContainsFunc(report.Faults, func(f reports.Fault) bool {
			return f.Outcome == "applied" && f.Start <= at && at < f.End && slices.Contains(f.Nodes, faults.Node(broker).String()) ||
				f.Outcome == "applied" && f.Start <= at && at < f.End && slices.Contains(f.Nodes, "b"+faults.Node(broker).String())
		})
	}
	for rack := range p.Racks {
		was := false
		for _, f := range report.Faults { // a rack is lost, if at all, when a fault begins
			all := true
			for b := 1; b <= p.Brokers && all; b++ {
				all = b%p.Racks != rack || away(b, f.Start)
			}
			if all && !was {
				lost++
			}
			was = all
		}
	}
	return lost
}
