package api

import (
	"slices"

	"barnabas/broker/metadata"
	"barnabas/broker/wire"
)

// currentLeader is who leads a partition as far as this broker knows, for a client that came to the wrong one (KIP-951):
// the partition itself knows best, the metadata cache next. -1, -1 if nobody knows. Source: KafkaApis#getCurrentLeader.
func (a *API) currentLeader(tp wire.TopicPartition) (id, epoch int32) {
	if p, err := a.Replicas.Partition(tp); err == nil {
		return p.Leader()
	}
	if p := a.Metadata.Snapshot().Partition(tp); p != nil {
		return p.Leader, p.LeaderEpoch
	}
	return -1, -1
}

// endpoints collects where the leaders named in a response are, each once, in the order of their naming.
type endpoints struct {
	snapshot *metadata.Snapshot
	listener string
	ids      []int32
}

func (e *endpoints) add(id int32) {
	if b := e.snapshot.Broker(id); b != nil && b.Endpoint(e.listener) != nil && !slices.Contains(e.ids, id) {
		e.ids = append(e.ids, id)
	}
}

// each calls f for every endpoint collected.
func (e *endpoints) each(f func(id int32, host string, port int32, rack *string)) {
	for _, id := range e.ids {
		b := e.snapshot.Broker(id)
		ep := b.Endpoint(e.listener)
		var rack *string
		if b.Rack != "" {
			rack = &b.Rack
		}
		f(id, ep.Host, ep.Port, rack)
	}
}

func (a *API) newEndpoints() endpoints {
	return endpoints{snapshot: a.Metadata.Snapshot(), listener: a.Listener}
}
