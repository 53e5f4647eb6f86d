package scenarios

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"barnabas/broker/config"
	"barnabas/faults"
	"barnabas/faults/schedule"
	"barnabas/reports"
	"barnabas/scenarios/workload"
)

// Scenario is a named kind of trial. Everything that varies is drawn by Draw from the seed's own stream.
type Scenario struct {
	Name    string
	Summary string // one line: what happens
	Draw    func(r *rand.Rand, p *Plan)
	Weight  int // how often a soak runs it, against the others; 0 is as 1
	// Real makes the plan fit the real world, where time is dear and clocks are the machine's; nil leaves it.
	Real func(p *Plan)
}

// SoakWeight is the weight, at least 1.
func (s *Scenario) SoakWeight() int { return max(1, s.Weight) }

// Plan is one seed's trial, as drawn. The times count from the start of the world.
type Plan struct {
	Brokers    int
	Partitions int32
	Replicas   int16
	MinInsync  int
	Producers  int
	Consumers  int
	Members    int // of the group Load.Groups
	Legacy     int // consumers of Kafka 0.8 in the group Load.Groups
	ZKClients  int // clients of ZooKeeper alone, whose sessions are judged
	Churn      Churn
	// Transactional producers write to the topic as Load.Txns says; Processors read it as members of Load.Groups and write to the
	// output.
	Transactional, Processors int
	// LateEnds holds back one EndTxn in so many, for about so long: it may arrive when the producer has long gone on.
	LateEnds LateEnds
	// Expect lists invariants that are known to break, because the protocol that is spoken cannot keep them; WhyExpected says so.
	Expect      []string
	WhyExpected string
	Settings    []string // what else was drawn, for people
	Load        workload.Config
	Configure   []func(*config.Broker) // over the settings that all seeds share

	// Racks spreads the brokers over so many racks; 0 for none.
	Racks int
	// Operators change the cluster while the workload and the faults go on, until HealAt.
	Operators []func(*operator)
	// ControlDelayMax holds what the controller sends to brokers back for up to so long, each connection on its own, until HealAt;
	// so what an old controller says arrives late, and after what its successor says. 0 for never.
	ControlDelayMax time.Duration
	// ControlLingers has what is held back arrive also if the controller has given the connection up meanwhile, and said it again on
	// another: after what it said since. Simulated world only.
	ControlLingers bool

	// downAfterKill is how long operators leave a broker down that they have killed.
	downAfterKill time.Duration
	// betweenRestarts is how long they let a cluster rest that is well again.
	betweenRestarts time.Duration
	// AlterDelayMax holds what brokers ask of the controller back for up to so long, and WatchDelayMax what ZooKeeper tells them,
	// each connection on its own, until HealAt. 0 for never.
	AlterDelayMax, WatchDelayMax time.Duration
	// Script draws faults that belong together; they come besides those that the generator draws from Faults. May be nil.
	Script func(r *rand.Rand) faults.Schedule

	// SyncEveryAppend makes power losses harmless at any number; without it a power loss is withheld while no other
	// in-sync replica keeps the data.
	SyncEveryAppend bool
	// Beyond lets faults do more than Kafka promises to bear; the run is then held to the weaker promise.
	Beyond bool
	// LogDirs is how many log directories each broker has; 0 is one.
	LogDirs int
	// Retention lets the log lose its beginning.
	Retention bool
	// Compacted lets cleaners take what a later record of the same key supersedes, and tombstones after DeleteRetention.
	Compacted       bool
	DeleteRetention time.Duration
	Faults          schedule.Plan

	ReadyBy     time.Duration // the cluster must serve by then
	HealAt      time.Duration // faults end
	ConvergeMax time.Duration // time to converge after that
	Settled     time.Duration // the workload goes on for so long after the cluster has converged
	DrainMax    time.Duration

	Least Least
}

// Churn kills members' machines while faults last, and starts them again.
type Churn struct {
	Gap  time.Duration // mean time between two kills; 0 for none
	Down time.Duration // time until the machine is back
}

// Least is what must have happened for a run to prove anything.
type Least struct {
	Acked, Read int           // records
	Cleaned     int           // acked records that are gone in the end, since later ones superseded them
	Commits     int           // of offsets by members of the group
	Owned       int           // partitions that members owned and gave up
	Kept        int           // static members that came back in the generation they had left
	Expired     int           // committed offsets that expired
	Fired       []faults.Kind // each at least once
	FiredAny    int           // in all
	Operations  int           // that operators did with success
	ISRChanges  int           // that ZooKeeper saw
	Elections   int           // changes of leaders
	Racks       int           // that were away as a whole
	// Transactions that were committed, and records that processors have read and processed.
	Transactions, Processed int
}

// topic is the topic every scenario works on.
const topic = "t"

// newPlan is what all scenarios begin with: mostly three brokers, one topic of some partitions with three replicas,
// min.insync.replicas 2, clients that make some 200 operations a second, and settings that make rare paths likely.
func newPlan(r *rand.Rand) *Plan {
	p := &Plan{
		Brokers: []int{3, 3, 3, 4, 5}[r.IntN(5)], Partitions: 1 + r.Int32N(5), Replicas: 3, MinInsync: 2, Producers: 4, Consumers: 2,
		ReadyBy: 10 * time.Second, HealAt: 26 * time.Second, ConvergeMax: 40 * time.Second, Settled: time.Second, DrainMax: 30 * time.Second,
		Load: workload.Config{
			Topic: topic, Acks: -1, Idempotent: true, Pause: 30 * time.Millisecond, InFlightMax: 8,
			RecordBytesMax: 32 << r.IntN(6), RequestTimeout: time.Duration(1000+r.IntN(1500)) * time.Millisecond,
			DeliveryTimeout: time.Duration(6+r.IntN(6)) * time.Second, SeekEvery: 30 + r.IntN(60),
		},
		Least: Least{Acked: 200, Read: 200},
	}
	p.spread()
	switch r.IntN(12) {
	case 0:
		p.Load.Idempotent = false
	case 1:
		p.Load.Acks, p.Load.Idempotent = 1, false
	}
	if r.IntN(2) == 0 {
		p.Load.Linger = time.Duration(r.IntN(20)) * time.Millisecond
	}
	if r.IntN(3) == 0 {
		p.Load.Compression = []string{"gzip", "snappy", "lz4", "zstd"}[r.IntN(4)]
	}
	session := int32(2000 + r.IntN(2000))
	lag := time.Duration(1500+r.IntN(3000)) * time.Millisecond
	segment := int32(16<<10) << r.IntN(6)
	indexInterval := int32(256) << r.IntN(5)
	checkpoint := time.Duration(300+r.IntN(4700)) * time.Millisecond
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.ZookeeperSessionMs = session
		c.ReplicaLagTimeMax = lag
		c.ReplicaHighWatermarkCheckpoint = checkpoint
		c.LogFlushOffsetCheckpoint = 2 * checkpoint
		c.Topic.SegmentBytes = segment
		c.Topic.IndexIntervalBytes = indexInterval
	})
	p.Faults = schedule.Plan{
		Start: 4 * time.Second, End: p.HealAt, Gap: 2500 * time.Millisecond,
		Budget: schedule.Budget{Impaired: 1 + r.IntN(3), Settle: 2 * time.Second, PowerLosses: 3, PowerAlone: true},
	}
	return p
}

// spread sees to it that every broker has replicas: one that has none can be harmed without anybody noticing.
func (p *Plan) spread() {
	if p.Brokers > int(p.Replicas) {
		p.Partitions = max(p.Partitions, int32(p.Brokers))
	}
	p.Load.Partitions = p.Partitions
}

// beyondWeights are the kinds that a run beyond the promise has besides its scenario's own.
var beyondWeights = map[faults.Kind]int{faults.Wipe: 3, faults.Blackout: 3, faults.BitFlip: 3, faults.Misdirect: 2, faults.LoseEntry: 2, faults.Power: 2}

// goBeyond makes the plan one in which faults do more than Kafka promises to bear.
func (p *Plan) goBeyond() {
	p.Beyond, p.Faults.Beyond = true, true
	for kind, w := range beyondWeights { // unordered: each kind has a weight of its own
		p.Faults.Weights[kind] = max(p.Faults.Weights[kind], w)
	}
}

// promise says what the faults keep to, and so what the run is held to.
func (p *Plan) keepsTo() string {
	b := p.Faults.Budget
	switch {
	case p.Beyond:
		return "beyond what Kafka promises to bear: acked records may be lost, and only the weaker promise is checked"
	case p.SyncEveryAppend:
		return fmt.Sprintf("within Kafka's promise: at most %d brokers impaired at once; every append is synced, so any number may lose power", b.Impaired)
	}
	return fmt.Sprintf("within Kafka's promise: at most %d brokers impaired at once, at most %d losses of data, none of the only copy", b.Impaired, b.PowerLosses)
}

// settings lists the plan for the record.
func (p *Plan) settings(cfg *config.Broker) []reports.Setting {
	list := []reports.Setting{
		{Name: "faults", Value: p.keepsTo()},
		{Name: "expected", Value: p.expected()},
		{Name: "brokers", Value: fmt.Sprint(p.Brokers)},
		{Name: "partitions", Value: fmt.Sprint(p.Partitions)},
		{Name: "replicas", Value: fmt.Sprint(p.Replicas)},
		{Name: "producers", Value: fmt.Sprintf("%d, acks=%d, idempotent=%t, linger %s, compression %q", p.Producers, p.Load.Acks, p.Load.Idempotent, p.Load.Linger, p.Load.Compression)},
		{Name: "consumers", Value: fmt.Sprint(p.Consumers)},
		{Name: "batch bytes", Value: fmt.Sprintf("%d, fetch %d a partition, %d in all (0: the client's own)", p.Load.BatchBytesMax, p.Load.PartitionBytesMax, p.Load.FetchBytesMax)},
		{Name: "record bytes", Value: fmt.Sprintf("16 to %d", p.Load.RecordBytesMax)},
		{Name: "request time-out", Value: fmt.Sprint(p.Load.RequestTimeout)},
		{Name: "delivery time-out", Value: fmt.Sprint(p.Load.DeliveryTimeout)},
	}
	if p.Transactional+p.Processors > 0 {
		list = append(list, reports.Setting{Name: "transactions", Value: fmt.Sprintf("%d producers, %d processors; %s", p.Transactional, p.Processors, strings.Join(p.Settings, "; "))})
	}
	for _, k := range config.BrokerKeys() {
		if v := k.Value(cfg); v != k.Default && !unshown[k.Name] {
			list = append(list, reports.Setting{Name: k.Name, Value: v})
		}
	}
	for _, k := range config.TopicKeys() {
		if v := k.Value(&cfg.Topic); v != k.Default {
			list = append(list, reports.Setting{Name: k.Name, Value: v})
		}
	}
	return list
}

// Find returns the scenario of that name; the error lists what there is.
func Find(name string) (*Scenario, error) {
	var names []string
	for _, s := range Catalog() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("unknown scenario %q; there are %s", name, strings.Join(names, ", "))
}
