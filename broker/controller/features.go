package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kinds of feature updates (FeatureUpdate.UpgradeType).
const (
	featureUpgrade         int8 = 1
	featureSafeDowngrade   int8 = 2
	featureUnsafeDowngrade int8 = 3
)

// featureRange is the levels of a feature that brokers support.
type featureRange struct{ min, max int16 }

// UpdateFeatures finalizes levels of features for the cluster, v0 and v1 (KIP-584, KIP-778). Of each feature it tells what became of
// it: in ZooKeeper mode, where Kafka supports no features, that it is not supported.
//
// Errors: NOT_CONTROLLER; of a feature INVALID_REQUEST, FEATURE_UPDATE_FAILED. Source: KafkaApis#handleUpdateFeatures,
// KafkaController#processFeatureUpdatesWithActiveController.
func (c *Controller) UpdateFeatures(req *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(max(req.TimeoutMillis, 0)) * time.Millisecond)
	return ask(c, "update features", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.UpdateFeaturesResponse, error) { return m.updateFeatures(req) },
		func(code int16) *kmsg.UpdateFeaturesResponse {
			resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
			resp.ErrorCode = code
			return resp
		})
}

// updateFeatures decides every update by itself, and writes those that may be at once.
//
// DEVIATION(KIP-778): a request that is to be validated only is, where Kafka's controller in ZooKeeper mode obeys it.
func (m *machine) updateFeatures(req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	current, version, err := m.store.Feature()
	if err != nil {
		return nil, err
	}
	target := maps.Clone(current.Levels)
	refused := map[string]error{}
	for i := range req.FeatureUpdates {
		u := &req.FeatureUpdates[i]
		level, had := current.Levels[u.Feature]
		err := m.checkFeature(u, upgradeType(u, req.Version), level, had)
		switch refused[u.Feature] = err; {
		case err != nil:
		case u.MaxVersionLevel < 1:
			delete(target, u.Feature)
		default:
			target[u.Feature] = u.MaxVersionLevel
		}
	}
	if !maps.Equal(target, current.Levels) && !req.ValidateOnly {
		err := m.store.SetFeature(m.fence, zookeeper.Feature{Enabled: true, Levels: target}, version)
		if errors.Is(err, zookeeper.ErrControllerMoved) {
			return nil, err
		}
		for name := range refused { // unordered: each is another feature's
			if err != nil && refused[name] == nil {
				refused[name] = fmt.Errorf("%v: %w", err, kerr.FeatureUpdateFailed)
			}
		}
	}
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		r := kmsg.NewUpdateFeaturesResponseResult()
		r.Feature = name
		if err := refused[name]; err != nil {
			text := err.Error()
			r.ErrorCode, r.ErrorMessage = wire.Code(err), &text
		}
		resp.Results = append(resp.Results, r)
	}
	return resp, nil
}

// upgradeType is what an update asks for, in the words of version 1.
func upgradeType(u *kmsg.UpdateFeaturesRequestFeatureUpdate, version int16) int8 {
	switch {
	case version >= 1:
		return u.UpgradeType
	case u.AllowDowngrade:
		return featureSafeDowngrade
	}
	return featureUpgrade
}

// checkFeature says why an update may not be. Source: KafkaController#validateFeatureUpdate.
func (m *machine) checkFeature(u *kmsg.UpdateFeaturesRequestFeatureUpdate, kind int8, level int16, had bool) error {
	refuse := func(why string) error { return fmt.Errorf("feature %q: %s: %w", u.Feature, why, kerr.InvalidRequest) }
	wanted := u.MaxVersionLevel
	switch {
	case u.Feature == "":
		return refuse("it has no name")
	case kind < featureUpgrade || kind > featureUnsafeDowngrade:
		return refuse("the kind of update is unknown")
	case wanted < 1 && kind == featureUpgrade:
		return refuse("a level below 1 removes it, which is no upgrade")
	case wanted < 1 && !had:
		return refuse("it is not finalized and cannot be removed")
	case wanted < 1:
		return nil
	case had && wanted == level:
		return refuse("it has that level")
	case had && wanted < level && kind != featureSafeDowngrade:
		return refuse("a lower level is a downgrade, and must be safe")
	case had && wanted > level && kind != featureUpgrade:
		return refuse("a higher level is an upgrade")
	}
	r, supported := m.features[u.Feature]
	switch {
	case !supported:
		return refuse("it is not supported")
	case wanted < r.min || wanted > r.max:
		return refuse(fmt.Sprintf("levels %d to %d are supported", r.min, r.max))
	}
	for _, id := range m.brokerIDs() {
		theirs, knows := m.brokers[id].Features[u.Feature]
		if !knows || wanted < theirs["min_version"] || wanted > theirs["max_version"] {
			return refuse(fmt.Sprintf("broker %d does not support that level", id))
		}
	}
	return nil
}
