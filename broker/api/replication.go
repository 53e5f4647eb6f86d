package api

import (
	"time"

	"barnabas/broker/env"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What the controller tells brokers. The replica manager does all of it, the fencing by controller and broker epoch included.

// LeaderAndIsr v2-v7. v2 broker epoch (KIP-380); v3 reassignments; v4 flexible; v5 topic ids and type; v6 leader recovery state;
// v7 KRaft controllers, of whom there are none here. v0 and v1, whose partitions are not grouped by topic, are not served.
//
// Source: KafkaApis#handleLeaderAndIsrRequest.
var leaderAndISRRoute = on(kmsg.LeaderAndISR, (*API).leaderAndISR)

func (a *API) leaderAndISR(_ *server.Request, req *kmsg.LeaderAndISRRequest) server.Reply {
	resp := a.Replicas.BecomeLeaderOrFollower(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// StopReplica v1-v4. v1 broker epoch (KIP-380), grouped by topic; v2 flexible; v3 leader epochs and deletion per partition
// (KIP-570); v4 KRaft controllers.
//
// Source: KafkaApis#handleStopReplicaRequest.
var stopReplicaRoute = on(kmsg.StopReplica, (*API).stopReplica)

func (a *API) stopReplica(_ *server.Request, req *kmsg.StopReplicaRequest) server.Reply {
	resp := a.Replicas.StopReplicas(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// rareStaleMetadata lets clients and the broker itself go by what is no longer so.
var rareStaleMetadata = env.NewRare("metadata-updated-late")

const rareStale = 100 * time.Millisecond

// UpdateMetadata v5-v8. v5 broker epoch (KIP-380), grouped by topic; v6 flexible; v7 topic ids; v8 KRaft controllers.
//
// Source: KafkaApis#handleUpdateMetadataRequest.
var updateMetadataRoute = on(kmsg.UpdateMetadata, (*API).updateMetadata)

func (a *API) updateMetadata(_ *server.Request, req *kmsg.UpdateMetadataRequest) server.Reply {
	if rareStaleMetadata.Strikes(a.Env) {
		a.Env.Sleep(rareStale)
	}
	resp := a.Replicas.UpdateMetadata(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}
