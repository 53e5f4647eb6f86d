package broker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var (
	evConfigChanged = env.NewKind("config-changed", env.Info)
	evConfigTrouble = env.NewKind("config-trouble", env.Warn)
)

// Configs that are set at run time stand in /config. Whoever sets one writes a note into /config/changes; every broker
// watches that, reads what the note names, and obeys it: topics' configs go to the replicas, brokers' become the
// defaults of topics or settings of the broker.
//
// Source: ZkConfigManager, ZkNodeChangeNotificationListener, ConfigHandler.

// EntityConfig reads what is set for an entity, waiting for a session while there is none.
func (b *Broker) EntityConfig(entityType, entity string) (configs map[string]string, err error) {
	err = b.withStore(func(s *zookeeper.Store) error {
		configs, err = s.EntityConfig(entityType, entity, false)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("configuration of %s/%s: %w", entityType, entity, err)
	}
	return configs, nil
}

// SetEntityConfig replaces what is set for an entity and tells all brokers.
func (b *Broker) SetEntityConfig(entityType, entity string, configs map[string]string) error {
	err := b.withStore(func(s *zookeeper.Store) error { return s.SetEntityConfig(entityType, entity, configs) })
	if err != nil {
		return fmt.Errorf("set configuration of %s/%s: %w", entityType, entity, err)
	}
	return nil
}

// withStore does op over the present session, and again over the next if that one ends.
func (b *Broker) withStore(op func(*zookeeper.Store) error) error {
	for {
		b.mu.Lock()
		store := b.store
		b.mu.Unlock()
		err := zookeeper.ErrSessionClosed
		if store != nil {
			err = op(store)
		}
		over := errors.Is(err, zookeeper.ErrSessionExpired) || errors.Is(err, zookeeper.ErrSessionClosed)
		if err == nil || !over || b.stopping() {
			return err
		}
		b.e.Sleep(sessionRetry)
	}
}

// keepConfigs obeys configs, and finalized features, as they are now, and their changes for as long as the session lives. It is called before
// the session's events are read. When the broker is starting it returns with the configs obeyed, for nobody is served without. Later it must
// not wait for them: who makes a replica holds locks that they need, and may be waiting for the session after this one.
func (b *Broker) keepConfigs(store *zookeeper.Store, starting bool) {
	looks := env.NewQueue[struct{}](b.e, 0)
	store.Listen(func(ev zookeeper.Event) {
		switch {
		case ev.Type == zookeeper.EventSession && (ev.State == zookeeper.StateExpired || ev.State == zookeeper.StateClosed):
			looks.Close()
		case ev.Type == zookeeper.EventSession && ev.State == zookeeper.StateConnected, ev.Path == zookeeper.PathConfigChanges, ev.Path == zookeeper.PathFeature:
			looks.Put(struct{}{})
		}
	})
	first := true
	look := func() (over bool) {
		err := b.lookAtConfigs(store, first)
		if err == nil {
			first = false
			err = b.obeyFeatures(store)
		}
		switch {
		case err == nil:
		case errors.Is(err, zookeeper.ErrSessionExpired), errors.Is(err, zookeeper.ErrSessionClosed), errors.Is(err, errFeature):
			return true
		default: // a malformed znode; somebody may mend it
			b.e.Emit(env.Event{Kind: evConfigTrouble, Text: err.Error()})
		}
		return false
	}
	if !starting {
		looks.Put(struct{}{})
	} else if look() {
		return
	}
	b.e.Go("configs", func() {
		for {
			if _, ok := looks.Get(); !ok || look() {
				return
			}
		}
	})
}

// lookAtConfigs obeys the notes that are new. The first look of a session reads the broker's own configs in any case.
func (b *Broker) lookAtConfigs(store *zookeeper.Store, first bool) error {
	entities, last, err := store.ConfigChanges(b.configSeen, true)
	if err != nil {
		return err
	}
	if first {
		if err := b.obeyQuotas(store); err != nil {
			return err
		}
	}
	if own := zookeeper.ConfigBrokers + "/" + zookeeper.ConfigDefaultEntity; first && !slices.Contains(entities, own) {
		entities = append([]string{own}, entities...)
	}
	for _, entity := range entities {
		if err := b.obeyConfig(store, entity); err != nil {
			return err
		}
	}
	b.configSeen = max(b.configSeen, last)
	return nil
}

func (b *Broker) obeyConfig(store *zookeeper.Store, entity string) error {
	entityType, name, _ := strings.Cut(entity, "/")
	id := strconv.Itoa(int(b.cfg.BrokerID))
	switch {
	case entityType == zookeeper.ConfigTopics:
		overrides, err := store.EntityConfig(entityType, name, false)
		if err != nil {
			return err
		}
		b.obeyTopicConfig(name, overrides)
	case entityType == zookeeper.ConfigUsers, entityType == zookeeper.ConfigClients, entityType == zookeeper.ConfigIPs:
		return b.obeyQuotas(store)
	case entityType == zookeeper.ConfigBrokers && (name == id || name == zookeeper.ConfigDefaultEntity):
		own, err := store.EntityConfig(entityType, id, false)
		if err != nil {
			return err
		}
		cluster, err := store.EntityConfig(entityType, zookeeper.ConfigDefaultEntity, false)
		if err != nil {
			return err
		}
		return b.obeyBrokerConfig(store, own, cluster)
	}
	return nil
}

func (b *Broker) obeyTopicConfig(topic string, overrides map[string]string) {
	t, err := b.cfg.TopicDefaults().WithOverrides(overrides)
	if err != nil {
		b.e.Emit(env.Event{Kind: evTopicConfig, Topic: topic, Text: err.Error()})
		return
	}
	b.e.Emit(env.Event{Kind: evConfigChanged, Topic: topic})
	b.replicas.SetTopicConfig(topic, t)
	if b.cfg.EligibleLeaderReplicas {
		b.controller.TopicConfigChanged(topic)
	}
	if t.UncleanElection {
		b.controller.UncleanAllowed(topic)
	}
}

// obeyBrokerConfig takes over what is set for this broker and for all: the parts that it concerns are told, and the defaults of topics
// change the configs of all topics that do not set their own.
//
// Source: BrokerConfigHandler, DynamicBrokerConfig#updateBrokerConfig.
func (b *Broker) obeyBrokerConfig(store *zookeeper.Store, own, cluster map[string]string) error {
	before, was := b.cfg.TopicDefaults(), b.cfg.Live()
	if err := b.cfg.SetDynamic(own, cluster); err != nil {
		b.e.Emit(env.Event{Kind: evConfigTrouble, Text: err.Error()})
	}
	rates := b.cfg.Runtime()
	b.throttles.leader.SetRate(rates.LeaderReplicationRate)
	b.throttles.follower.SetRate(rates.FollowerReplicationRate)
	b.throttles.moves.SetRate(rates.MoveRate)
	b.logs.Reconfigure(was)
	if b.cfg.Live().NumReplicaFetchers != was.NumReplicaFetchers {
		b.replicas.ResizeFetchers()
	}
	if live := b.cfg.Live(); live.ConnectionsMax != was.ConnectionsMax || live.ConnectionsPerAddressMax != was.ConnectionsPerAddressMax ||
		live.ConnectionsPerAddress != was.ConnectionsPerAddress || live.ConnectionRateMax != was.ConnectionRateMax {
		if s := b.listening.Load(); s != nil { // else it begins with them
			s.LimitsChanged()
		}
	}
	now := b.cfg.TopicDefaults()
	if now == before {
		return nil
	}
	b.e.Emit(env.Event{Kind: evConfigChanged, Text: "topic defaults"})
	var topics []string
	for _, p := range b.replicas.Partitions() {
		topics = append(topics, p.TP().Topic)
	}
	for _, topic := range slices.Compact(topics) { // Partitions are sorted
		overrides, err := store.EntityConfig(zookeeper.ConfigTopics, topic, false)
		if err != nil {
			return err
		}
		b.obeyTopicConfig(topic, overrides)
	}
	if now.UncleanElection && !before.UncleanElection {
		b.controller.UncleanAllowed("")
	}
	return nil
}
