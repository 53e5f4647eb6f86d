package controller

import (
	"errors"
	"maps"
	"testing"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// featureNode is a ZooKeeper that has /feature alone.
type featureNode struct {
	znodes
	feature zookeeper.Feature
	version int32
	fail    error
}

func (n *featureNode) Feature() (zookeeper.Feature, int32, error) { return n.feature, n.version, nil }

func (n *featureNode) SetFeature(_ zookeeper.Fence, f zookeeper.Feature, version int32) error {
	if n.fail != nil {
		return n.fail
	}
	if version != n.version {
		return zookeeper.ErrBadVersion
	}
	n.feature, n.version = f, version+1
	return nil
}

// Goal: what may be finalized, and what is written. Method: a controller that supports feature f at levels 1 to 3, with a broker that supports
// it up to 2 only; g is finalized by a later version of the software.
func TestUpdateFeatures(t *testing.T) {
	node := &featureNode{feature: zookeeper.Feature{Enabled: true, Levels: map[string]int16{"g": 5}}}
	m := newMachine(zookeeper.Fence{}, config.Default(), node, func(env.Event) {}, nil)
	m.features = map[string]featureRange{"f": {1, 3}}
	for id, level := range map[int32]int16{1: 3, 2: 2} {
		m.brokers[id] = zookeeper.BrokerInfo{ID: id, Features: map[string]map[string]int16{"f": {"min_version": 1, "max_version": level}}}
	}
	type update = kmsg.UpdateFeaturesRequestFeatureUpdate
	ask := func(version int16, validate bool, updates ...update) map[string]int16 {
		t.Helper()
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.Version, req.ValidateOnly, req.FeatureUpdates = version, validate, updates
		resp, err := m.updateFeatures(req)
		if err != nil {
			t.Fatal(err)
		}
		codes := map[string]int16{}
		for _, r := range resp.Results {
			codes[r.Feature] = r.ErrorCode
		}
		return codes
	}
	levels := func(want map[string]int16) {
		t.Helper()
		if !maps.Equal(node.feature.Levels, want) || !node.feature.Enabled {
			t.Errorf("%+v, want %v", node.feature, want)
		}
	}
	refused := kerr.InvalidRequest.Code
	for what, u := range map[string]update{
		"no name":                 {MaxVersionLevel: 1, UpgradeType: 1},
		"unknown kind":            {Feature: "f", MaxVersionLevel: 1, UpgradeType: 0},
		"another unknown kind":    {Feature: "f", MaxVersionLevel: 1, UpgradeType: 4},
		"not supported":           {Feature: "h", MaxVersionLevel: 1, UpgradeType: 1},
		"above what we support":   {Feature: "f", MaxVersionLevel: 4, UpgradeType: 1},
		"above what one supports": {Feature: "f", MaxVersionLevel: 3, UpgradeType: 1},
		"below one":               {Feature: "f", MaxVersionLevel: 0, UpgradeType: 1},
		"removal of nothing":      {Feature: "f", MaxVersionLevel: 0, UpgradeType: 2},
		"the level it has":        {Feature: "g", MaxVersionLevel: 5, UpgradeType: 1},
		"lower, as an upgrade":    {Feature: "g", MaxVersionLevel: 4, UpgradeType: 1},
		"lower, unsafe":           {Feature: "g", MaxVersionLevel: 4, UpgradeType: 3},
		"higher, as a downgrade":  {Feature: "g", MaxVersionLevel: 6, UpgradeType: 2},
	} {
		if codes := ask(1, false, u); codes[u.Feature] != refused {
			t.Errorf("%s: %v", what, codes)
		}
	}
	levels(map[string]int16{"g": 5})
	if node.version != 0 {
		t.Errorf("version %d: something was written", node.version)
	}
	if codes := ask(1, true, update{Feature: "f", MaxVersionLevel: 2, UpgradeType: 1}); codes["f"] != 0 {
		t.Errorf("validation: %v", codes)
	}
	levels(map[string]int16{"g": 5})
	// One of two is refused, the other is written.
	if codes := ask(0, false, update{Feature: "f", MaxVersionLevel: 2}, update{Feature: "h", MaxVersionLevel: 1}); codes["f"] != 0 || codes["h"] != refused {
		t.Errorf("v0: %v", codes)
	}
	levels(map[string]int16{"f": 2, "g": 5})
	if codes := ask(0, false, update{Feature: "f", MaxVersionLevel: 1}); codes["f"] != refused {
		t.Errorf("a downgrade that is not allowed: %v", codes)
	}
	if codes := ask(0, false, update{Feature: "f", MaxVersionLevel: 1, AllowDowngrade: true}, update{Feature: "g", AllowDowngrade: true}); codes["f"] != 0 || codes["g"] != 0 {
		t.Errorf("a downgrade, and a removal: %v", codes)
	}
	levels(map[string]int16{"f": 1})
	node.fail = errors.New("no session")
	if codes := ask(1, false, update{Feature: "f", MaxVersionLevel: 2, UpgradeType: 1}, update{Feature: "h", UpgradeType: 1, MaxVersionLevel: 1}); codes["f"] != kerr.FeatureUpdateFailed.Code || codes["h"] != refused {
		t.Errorf("a write that fails: %v", codes)
	}
	node.fail = zookeeper.ErrControllerMoved
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.FeatureUpdates = []update{{Feature: "f", MaxVersionLevel: 2}}
	if _, err := m.updateFeatures(req); !errors.Is(err, zookeeper.ErrControllerMoved) {
		t.Errorf("a controller that is none any more: %v", err)
	}
}
