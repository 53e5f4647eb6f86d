package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var (
	evFeatures       = env.NewKind("features-read", env.Info, "epoch")
	evFeatureTrouble = env.NewKind("feature-trouble", env.Error)
)

// noFeatures is the epoch of finalized features where there are none.
const noFeatures = -1

// featuresEpoch is since which version of /feature the finalized features hold that the cluster relies on, noFeatures if nothing is enabled.
func (b *Broker) featuresEpoch() int64 { return b.features.Load() }

// errFeature is why a broker cannot be part of a cluster that relies on a feature.
var errFeature = errors.New("the cluster relies on a feature that this broker does not support")

// obeyFeatures reads /feature, and watches it. A broker that does not support what is finalized there must not go on: it ends with
// errFeature. In ZooKeeper mode Kafka supports no feature, and neither do we (decision 010). What cannot be understood counts as nothing.
//
// Source: FinalizedFeatureChangeListener, ZkMetadataCache#updateFeaturesOrThrow.
func (b *Broker) obeyFeatures(store *zookeeper.Store) error {
	f, version, err := store.WatchFeature()
	epoch := int64(version)
	switch names := slices.Sorted(maps.Keys(f.Levels)); {
	case errors.Is(err, zookeeper.ErrMalformed):
		b.e.Emit(env.Event{Kind: evFeatureTrouble, Text: err.Error()})
		epoch = noFeatures
	case err != nil:
		return err
	case !f.Enabled:
		epoch = noFeatures
	case len(names) > 0:
		err := fmt.Errorf("%s at level %d: %w", names[0], f.Levels[names[0]], errFeature)
		b.fail(err)
		return err
	}
	if b.features.Swap(epoch) != epoch {
		b.e.Emit(env.Event{Kind: evFeatures, V: [4]int64{epoch}})
	}
	return nil
}
