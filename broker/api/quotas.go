package api

import (
	"time"

	"barnabas/broker/quota"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// anonymous is the user of a connection that has not said who it is (KafkaPrincipal.ANONYMOUS).
const anonymous = "ANONYMOUS"

// metered runs a handler, and holds back a client that uses more than its quotas allow: the answer is not delayed, but says for how long
// the connection will not be read (KIP-219). Brokers among themselves have no quotas.
//
// Source: KafkaApis#sendMaybeThrottle, ClientQuotaManager#maybeRecordAndGetThrottleTimeMs, ClientRequestQuotaManager.
func (a *API) metered(r *server.Request, handle handler) server.Reply {
	if a.Quotas == nil || !a.Quotas.Any() || ofBroker(r.Body) {
		return handle(a, r)
	}
	began := a.Env.Mono()
	reply := handle(a, r)
	took := a.Env.Mono().Sub(began)
	client, size := r.Header.ClientID, r.Size
	_, produce := r.Body.(*kmsg.ProduceRequest)
	return reply.Then(func(answer server.Answer) server.Answer {
		wait := max(answer.Throttle, a.Quotas.Record(quota.Request, anonymous, client, 100*took.Seconds()))
		if produce {
			wait = max(wait, a.Quotas.Record(quota.Produce, anonymous, client, float64(size)))
		}
		return throttled(answer, wait)
	})
}

// mutations is the bound of what a request has the controller create and delete. Strict is one whose client knows the refusal.
//
// Source: ControllerMutationQuotaManager#newQuotaFor.
func (a *API) mutations(r *server.Request, strict bool) *quota.Mutations {
	return a.Quotas.Mutations(anonymous, r.Header.ClientID, strict)
}

// heldBack is the answer of a client that is not read while it exceeds its bound (sendResponseMaybeThrottleWithControllerQuota).
func heldBack(resp kmsg.Response, bound *quota.Mutations) server.Reply {
	return server.Now(resp).Then(func(answer server.Answer) server.Answer { return throttled(answer, bound.Throttle()) })
}

// throttled is the answer with the wait in it, in whole milliseconds, rounded up.
func throttled(answer server.Answer, wait time.Duration) server.Answer {
	if wait <= 0 {
		return answer
	}
	millis := (wait + time.Millisecond - 1) / time.Millisecond
	answer.Throttle = millis * time.Millisecond
	if t, ok := answer.Message.(kmsg.SetThrottleResponse); ok {
		t.SetThrottle(int32(millis))
	}
	return answer
}

// ofBroker reports whether a request is one that only brokers make.
func ofBroker(req kmsg.Request) bool {
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		return req.ReplicaID >= 0 || req.ReplicaState.ID >= 0
	case *kmsg.LeaderAndISRRequest, *kmsg.StopReplicaRequest, *kmsg.UpdateMetadataRequest, *kmsg.ControlledShutdownRequest,
		*kmsg.AlterPartitionRequest, *kmsg.AllocateProducerIDsRequest, *kmsg.WriteTxnMarkersRequest:
		return true
	}
	return false
}

// fetchThrottle counts what a consumer is about to be sent, and returns for how long it must be held back: then it gets nothing, and
// the count is taken back (KafkaApis#handleFetchRequest).
func (f *fetching) fetchThrottle() time.Duration {
	q := f.api.Quotas
	if q == nil || f.replica || !q.Any() {
		return 0
	}
	bytes := 0.0
	for i := range f.parts {
		bytes += float64(f.parts[i].result.Slice.Len) + fetchPartBytes
	}
	wait := q.Record(quota.Fetch, anonymous, f.client, bytes)
	if wait > 0 {
		q.Unrecord(quota.Fetch, anonymous, f.client, bytes)
	}
	return wait
}

// fetchPartBytes is about what a partition takes in a fetch response, its records apart.
const fetchPartBytes = 40

// held reports whether the follower must not be sent this partition's records now: it is throttled, not in sync, and too much has been
// sent already (ReplicaManager#shouldLeaderThrottle).
func (f *fetching) held(part *fetchPart, target Partition) bool {
	q := f.api.LeaderThrottle
	return f.replica && q != nil && q.Throttled(part.tp) && q.Exceeded() && !target.InSync(f.replicaID)
}

// recordThrottled counts what a follower is sent of throttled partitions.
func (f *fetching) recordThrottled() {
	q := f.api.LeaderThrottle
	if !f.replica || q == nil {
		return
	}
	var bytes int64
	for i := range f.parts {
		if part := &f.parts[i]; part.result.Slice.Len > 0 && q.Throttled(part.tp) {
			bytes += int64(part.result.Slice.Len)
		}
	}
	if bytes > 0 {
		q.Record(bytes)
	}
}
