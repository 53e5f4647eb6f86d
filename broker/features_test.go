package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: brokers tell the epoch of /feature, and finalize nothing that they do not support; what somebody else has finalized that they do not support
// ends them, at once and at their next start. Method: a whole cluster, /feature written by hand.
func TestFeatures(t *testing.T) {
	h := newHarness(t, 1, func(*config.Broker) {})
	nodes := 0
	on := func(f func(e env.Env)) {
		t.Helper()
		nodes++
		h.client(fmt.Sprint("client-", nodes), func(e env.Env, _ *client.Client) { f(e) })
	}
	ask := func(id int, req kmsg.Request) (resp kmsg.Response) {
		t.Helper()
		on(func(e env.Env) {
			conn, err := client.Dial(e, name(id)+":9092", client.ConnOptions{DialTimeout: time.Second})
			if err == nil {
				resp, err = conn.Do(req, 2*time.Second)
				conn.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		return resp
	}
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 4, "test", "1"
	epoch := func() int64 {
		told := ask(1, versions).(*kmsg.ApiVersionsResponse)
		if len(told.FinalizedFeatures) != 0 || len(told.SupportedFeatures) != 0 {
			t.Errorf("%v, %v", told.FinalizedFeatures, told.SupportedFeatures)
		}
		return told.FinalizedFeaturesEpoch
	}
	seen := func(what string, want int64) {
		t.Helper()
		h.w.RunFor(time.Second)
		if got := epoch(); got != want {
			t.Errorf("%s: epoch %d, want %d", what, got, want)
		}
	}
	seen("made by the controller", 0)
	decided := 0
	for id := 1; id <= 3; id++ {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.Version, req.TimeoutMillis = 1, 1000
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "transaction.version", MaxVersionLevel: 2, UpgradeType: 1}}
		resp := ask(id, req).(*kmsg.UpdateFeaturesResponse)
		switch active, _ := h.brokers[id].Controlling(); {
		case !active && resp.ErrorCode != kerr.NotController.Code:
			t.Errorf("broker %d: %+v", id, resp)
		case active:
			decided++
			if len(resp.Results) != 1 || resp.Results[0].ErrorCode != kerr.InvalidRequest.Code || !strings.Contains(*resp.Results[0].ErrorMessage, "not supported") {
				t.Errorf("the controller: %+v", resp)
			}
		}
	}
	if decided != 1 {
		t.Errorf("%d controllers", decided)
	}
	write := func(data []byte) {
		t.Helper()
		on(func(e env.Env) {
			session, err := zkclient.Open(e, []string{"zk:2181"}, 2000, e.Mono().Add(5*time.Second))
			if err == nil {
				_, err = session.Set(zookeeper.PathFeature, data, -1)
				session.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	write(zookeeper.EncodeFeature(zookeeper.Feature{}))
	seen("disabled", -1)
	write([]byte("nonsense"))
	seen("not understood", -1)
	write(zookeeper.EncodeFeature(zookeeper.Feature{Enabled: true}))
	seen("enabled again", 3)
	write(zookeeper.EncodeFeature(zookeeper.Feature{Enabled: true, Levels: map[string]int16{"transaction.version": 2}}))
	gone := func() bool {
		for id := 1; id <= 3; id++ {
			if h.ended[id] == nil {
				return false
			}
		}
		return true
	}
	h.until("all brokers to end", gone)
	h.ended[1] = nil
	h.w.Start(name(1))
	h.until("the first broker to end again", gone)
	for id := 1; id <= 3; id++ {
		if err := h.ended[id]; err == nil || !strings.Contains(err.Error(), "transaction.version") {
			t.Errorf("broker %d: %v", id, err)
		}
	}
}
