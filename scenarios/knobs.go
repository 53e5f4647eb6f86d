package scenarios

import (
	"math"
	"math/rand/v2"
	"time"

	"barnabas/broker/config"
)

// turnKnobs draws settings of brokers and clients that no scenario is about: each within bounds that an operator might
// choose, each left alone in some seeds. What a scenario configures itself comes after and wins. The draws have a stream
// of their own, so that one more knob changes no other part of a plan.
func (p *Plan) turnKnobs(r *rand.Rand) {
	var set []func(*config.Broker)
	knob := func(oneIn int, f func(*config.Broker)) {
		if r.IntN(oneIn) == 0 {
			set = append(set, f)
		}
	}
	bytes := func(low, high int64) int32 { return int32(logarithmic(r, low, high)) }
	span := func(low, high time.Duration) time.Duration {
		return time.Duration(logarithmic(r, int64(low), int64(high))).Round(time.Millisecond)
	}

	// Every knob draws its values whether it is turned or not: turning one more or less moves no other.
	wait, fetch, response, fetchers := span(20*time.Millisecond, 700*time.Millisecond), bytes(4<<10, 1<<20), bytes(16<<10, 10<<20), 1+r.IntN(3)
	knob(2, func(c *config.Broker) { c.ReplicaFetchWaitMax = wait })
	knob(2, func(c *config.Broker) { c.ReplicaFetchBytesMax = fetch })
	knob(3, func(c *config.Broker) { c.ReplicaFetchResponseBytesMax = response })
	knob(2, func(c *config.Broker) { c.NumReplicaFetchers = fetchers })
	backoff, socket, control := span(20*time.Millisecond, time.Second), span(time.Second, 5*time.Second), span(time.Second, 5*time.Second)
	knob(2, func(c *config.Broker) { c.ReplicaFetchBackoff = backoff })
	knob(2, func(c *config.Broker) { c.ReplicaSocketTimeout = socket })
	knob(2, func(c *config.Broker) { c.ControllerSocketTimeout = control })
	clients, inFlight, idle := bytes(16<<10, 55<<20), 2+r.IntN(60), span(4*time.Second, 10*time.Minute)
	knob(3, func(c *config.Broker) { c.FetchBytesMax = clients })
	knob(3, func(c *config.Broker) { c.RequestsInFlightMax = inFlight })
	knob(3, func(c *config.Broker) { c.ConnectionsIdleMax = idle })
	age, jitter, index := span(2*time.Second, time.Minute), span(time.Millisecond, 2*time.Second), bytes(1<<10, 10<<20)
	knob(3, func(c *config.Broker) { c.Topic.Segment, c.Topic.SegmentJitter = age, jitter })
	knob(3, func(c *config.Broker) { c.Topic.SegmentIndexBytes = index })
	message, flushEvery, flushAge := bytes(64<<10, 1<<20), int64(10+r.IntN(1000)), span(200*time.Millisecond, 20*time.Second)
	knob(3, func(c *config.Broker) { c.Topic.MessageBytesMax = message })
	if !p.SyncEveryAppend {
		knob(6, func(c *config.Broker) { c.Topic.FlushMessages = flushEvery })
	}
	knob(6, func(c *config.Broker) { c.Topic.Flush, c.LogFlushSchedulerInterval = flushAge, flushAge/2 })
	imbalance, preallocate := span(3*time.Second, 30*time.Second), true
	knob(3, func(c *config.Broker) { c.LeaderImbalanceCheck = imbalance })
	knob(6, func(c *config.Broker) { c.Topic.Preallocate = preallocate })
	p.Configure = append(set, p.Configure...)

	batch, part, many := int(bytes(512, 32<<10)), bytes(2<<10, 256<<10), bytes(8<<10, 1<<20)
	if r.IntN(2) == 0 {
		p.Load.BatchBytesMax = batch
	}
	if r.IntN(2) == 0 {
		p.Load.PartitionBytesMax, p.Load.FetchBytesMax = part, max(part, many)
	}
}

// logarithmic draws from low to high, small ones as likely as large ones.
func logarithmic(r *rand.Rand, low, high int64) int64 {
	return int64(float64(low) * math.Pow(float64(high)/float64(low), r.Float64()))
}

// unshown are settings that say where a broker is rather than how it behaves, and those the card shows elsewhere.
var unshown = map[string]bool{
	"broker.id": true, "broker.rack": true, "listeners": true, "advertised.listeners": true, "log.dirs": true, "zookeeper.connect": true,
	"default.replication.factor": true, "num.partitions": true, "auto.create.topics.enable": true,
}
