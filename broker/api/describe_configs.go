package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"barnabas/broker/config"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeConfigs v0-v4 (KIP-133). v1 sources and synonyms (KIP-226); v3 types and documentation (KIP-569); v4 flexible.
// Topics, from /config/topics over this broker's defaults; this broker itself, from what was set at run time over its
// server.properties; and with an empty name what was set at run time for all brokers. Nothing is sensitive yet. Of a broker's
// configs those can be changed while it runs that are not read-only (config.IsDynamic).
//
// DEVIATION(KIP-412): BROKER_LOGGER, the levels of loggers, is INVALID_REQUEST, here and in AlterConfigs: there are none.
//
// Source: KafkaApis#handleDescribeConfigsRequest, ConfigHelper.
var describeConfigsRoute = on(kmsg.DescribeConfigs, (*API).describeConfigs)

func (a *API) describeConfigs(_ *server.Request, req *kmsg.DescribeConfigsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for i := range req.Resources {
		in := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		entries, err := a.configEntries(in)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		}
		for _, entry := range entries {
			if len(in.ConfigNames) > 0 && !slices.Contains(in.ConfigNames, entry.name) {
				continue
			}
			out.Configs = append(out.Configs, entry.response(req))
		}
		resp.Resources = append(resp.Resources, out)
	}
	return server.Now(resp)
}

func (a *API) configEntries(in *kmsg.DescribeConfigsRequestResource) ([]configEntry, error) {
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		return a.topicEntries(in.ResourceName)
	case kmsg.ConfigResourceTypeBroker:
		if in.ResourceName == "" {
			return a.clusterEntries()
		}
		if id, err := strconv.ParseInt(in.ResourceName, 10, 32); err != nil || int32(id) != a.Config.BrokerID {
			return nil, fmt.Errorf("this is broker %d, not %q: %w", a.Config.BrokerID, in.ResourceName, kerr.InvalidRequest)
		}
		return a.brokerEntries(), nil
	default:
		return nil, fmt.Errorf("resource type %d: %w", in.ResourceType, kerr.InvalidRequest)
	}
}

// configEntry is one config with everything that a response may say about it.
type configEntry struct {
	name, value string
	kind        config.Type
	doc         string
	readOnly    bool
	synonyms    []synonym // where the value comes from, and what it would be if it did not; never empty
}

// synonym is a value that a config has, or would have, under some name.
type synonym struct {
	name, value string
	source      kmsg.ConfigSource
}

// topicEntries are the configs of a topic: what was set for it, else this broker's own configs, else their defaults.
func (a *API) topicEntries(topic string) ([]configEntry, error) {
	if !validTopic(topic) {
		return nil, fmt.Errorf("topic name %q: %w", topic, kerr.InvalidTopicException)
	}
	if a.Metadata.Snapshot().Topic(topic) == nil {
		return nil, fmt.Errorf("topic %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	var set map[string]string
	if a.TopicConfig != nil {
		var err error
		if set, err = a.TopicConfig(topic); err != nil {
			return nil, fmt.Errorf("configs of topic %s: %w", topic, err)
		}
	}
	defaults := a.Config.TopicDefaults()
	effective, err := defaults.WithOverrides(set)
	if err != nil {
		return nil, fmt.Errorf("configs of topic %s: %v: %w", topic, err, kerr.InvalidConfig)
	}
	var entries []configEntry
	for _, key := range config.TopicKeys() {
		e := configEntry{name: key.Name, value: key.Value(&effective), kind: key.Type, doc: key.Doc}
		if value, ok := set[key.Name]; ok {
			e.synonyms = append(e.synonyms, synonym{key.Name, value, kmsg.ConfigSourceDynamicTopicConfig})
		}
		e.synonyms = append(e.synonyms, a.brokerSynonyms(key.Broker, key.Default)...)
		entries = append(entries, e)
	}
	return entries, nil
}

// brokerEntries are this broker's own configs, by name.
func (a *API) brokerEntries() []configEntry {
	var entries []configEntry
	defaults := a.Config.TopicDefaults()
	live := a.Config.Live()
	for _, key := range config.BrokerKeys() {
		entries = append(entries, configEntry{name: key.Name, value: key.Value(live), kind: key.Type, doc: key.Doc, readOnly: !config.IsDynamic(key.Name),
			synonyms: a.brokerSynonyms(key.Name, key.Default)})
	}
	for _, key := range config.TopicKeys() {
		if key.Broker == "" {
			continue
		}
		entries = append(entries, configEntry{name: key.Broker, value: key.Value(&defaults), kind: key.Type, doc: key.Doc,
			synonyms: a.brokerSynonyms(key.Broker, key.Default)})
	}
	runtime := a.Config.Runtime()
	for _, key := range config.RuntimeKeys() {
		entries = append(entries, configEntry{name: key.Name, value: key.Value(&runtime), kind: key.Type, doc: key.Doc,
			synonyms: a.brokerSynonyms(key.Name, key.Default)})
	}
	slices.SortFunc(entries, func(a, b configEntry) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
	return entries
}

// clusterEntries are the configs set at run time for all brokers.
func (a *API) clusterEntries() ([]configEntry, error) {
	set, err := a.Configs.EntityConfig(zookeeper.ConfigBrokers, zookeeper.ConfigDefaultEntity)
	if err != nil {
		return nil, err
	}
	var entries []configEntry
	for _, name := range slices.Sorted(maps.Keys(set)) {
		e := configEntry{name: name, value: set[name], synonyms: []synonym{{name, set[name], kmsg.ConfigSourceDynamicDefaultBrokerConfig}}}
		e.kind, e.doc = config.DescribeDynamic(name)
		entries = append(entries, e)
	}
	return entries, nil
}

// brokerSynonyms are the values that a broker's config has by its sources, the one that holds first.
func (a *API) brokerSynonyms(name, byDefault string) []synonym {
	var all []synonym
	dynamic := a.Config.Dynamic()
	if v, ok := dynamic.Broker[name]; ok {
		all = append(all, synonym{name, v, kmsg.ConfigSourceDynamicBrokerConfig})
	}
	if v, ok := dynamic.Cluster[name]; ok {
		all = append(all, synonym{name, v, kmsg.ConfigSourceDynamicDefaultBrokerConfig})
	}
	for _, same := range config.Synonyms(name) {
		if value, ok := a.Config.Explicit(same); ok {
			all = append(all, synonym{same, value, kmsg.ConfigSourceStaticBrokerConfig})
		}
	}
	return append(all, synonym{name, byDefault, kmsg.ConfigSourceDefaultConfig})
}

func (e *configEntry) response(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly = e.name, &e.value, e.readOnly
	out.Source = e.synonyms[0].source
	out.IsDefault = out.Source == kmsg.ConfigSourceDefaultConfig
	out.ConfigType = kmsg.ConfigType(e.kind)
	if req.IncludeDocumentation {
		out.Documentation = &e.doc
	}
	if req.IncludeSynonyms {
		for i := range e.synonyms {
			s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			s.Name, s.Value, s.Source = e.synonyms[i].name, &e.synonyms[i].value, e.synonyms[i].source
			out.ConfigSynonyms = append(out.ConfigSynonyms, s)
		}
	}
	return out
}
