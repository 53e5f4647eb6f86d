package api_test

import (
	"testing"
	"time"

	"barnabas/broker/group"
	"barnabas/broker/metadata"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// timed runs f and says whether it took between at least and at most.
func (d *desk) timed(what string, atLeast, atMost time.Duration, f func()) {
	d.t.Helper()
	began := d.e.Mono()
	f()
	if took := d.e.Mono().Sub(began); took < atLeast || took > atMost {
		d.t.Errorf("%s took %s, not %s to %s", what, took, atLeast, atMost)
	}
}

// Goal: clients of a broker that has just started wait until the controller has told it what there is, and not for ever; what they need to speak
// at all they get at once.
func TestClientsWaitForMetadata(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		brokers := func() int { return len(do[*kmsg.MetadataResponse](d, kmsg.NewPtrMetadataRequest()).Brokers) }
		d.cache = metadata.New(d.e)
		d.restartAPI()
		d.timed("ApiVersions", 0, 100*time.Millisecond, func() { do[*kmsg.ApiVersionsResponse](d, kmsg.NewPtrApiVersionsRequest()) })
		d.e.Go("controller", func() { d.e.Sleep(time.Second); d.tellCluster() })
		d.timed("the first word", 900*time.Millisecond, 1100*time.Millisecond, func() {
			if n := brokers(); n != 2 {
				t.Errorf("%d brokers", n)
			}
		})
		d.cache = metadata.New(d.e)
		d.restartAPI()
		d.timed("no controller", 4900*time.Millisecond, 5100*time.Millisecond, func() {
			if n := brokers(); n != 0 {
				t.Errorf("%d brokers", n)
			}
		})
		d.timed("no controller, again", 0, 100*time.Millisecond, func() { brokers() })
	})
}

// Goal: who looks for a coordinator waits a moment for the partition's leader.
func TestWaitForCoordinator(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		find := func() *kmsg.FindCoordinatorResponse {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey = "g"
			return do[*kmsg.FindCoordinatorResponse](d, req)
		}
		d.timed("nobody", 1900*time.Millisecond, 2100*time.Millisecond, func() { wants(t, "nobody", find().ErrorCode, kerr.CoordinatorNotAvailable) })
		d.timed("share groups, which there are none of", 0, 100*time.Millisecond, func() {
			for v, want := range map[int16]*kerr.Error{3: kerr.InvalidRequest, 5: kerr.InvalidRequest, 6: kerr.CoordinatorNotAvailable} {
				req := kmsg.NewPtrFindCoordinatorRequest()
				req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = v, 2, "g", []string{"g"}
				resp := do[*kmsg.FindCoordinatorResponse](d, req)
				got := resp.ErrorCode
				if v >= 4 {
					got = resp.Coordinators[0].ErrorCode
				}
				wants(t, "share", got, want)
			}
		})
		d.e.Go("controller", func() { d.e.Sleep(time.Second); d.addTopic(group.Topic, topicID(9), 50) })
		d.timed("the election", 900*time.Millisecond, 1100*time.Millisecond, func() {
			if resp := find(); resp.ErrorCode != 0 || resp.NodeID != 1 {
				t.Errorf("coordinator %d, error %d", resp.NodeID, resp.ErrorCode)
			}
		})
	})
}

// Goal: a member that the last coordinator let join, and that this one does not know, is told to join again, and not that it is unknown: for as
// long as such members may come.
func TestSyncAfterTakeover(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		sync := func() int16 {
			req := kmsg.NewPtrSyncGroupRequest()
			req.Group, req.MemberID, req.Generation = "g", "m", 3
			return do[*kmsg.SyncGroupResponse](d, req).ErrorCode
		}
		wants(t, "heir", sync(), kerr.RebalanceInProgress)
		join := kmsg.NewPtrJoinGroupRequest()
		join.Group, join.MemberID, join.ProtocolType, join.SessionTimeoutMillis = "g", "m", "consumer", 10_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		wants(t, "which is of the past", do[*kmsg.JoinGroupResponse](d, join).ErrorCode, kerr.UnknownMemberID)
		d.e.Sleep(30 * time.Second)
		wants(t, "long since", sync(), kerr.UnknownMemberID)
	})
}
