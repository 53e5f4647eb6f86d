package config

import (
	"fmt"
	"maps"
	"slices"
)

// Dynamic is what has been set for this broker while it runs (kafka.server.DynamicBrokerConfig, KIP-226): the defaults of topics under
// their broker keys (log.retention.ms …), some of the broker's own keys, and those that exist at run time alone. What is set for this
// broker goes before what is set for all, that before server.properties. It is never changed once it is made.
type Dynamic struct {
	Broker  map[string]string // for this broker alone
	Cluster map[string]string // for all brokers, unless the above says otherwise
	topic   Topic
	runtime Runtime
	live    *Broker // with what was set over what the file says
}

// dynamicKeys are the broker's own keys that can be set while it runs, besides the defaults of topics. Each of them takes effect at
// once, but for the last four, which Kafka has and which mean nothing here.
//
// DEVIATION(KIP-226): of those that Kafka can set at run time, listeners, advertised.listeners, listener.security.protocol.map, metric.reporters, and all of SSL, SASL and remote storage are not settings of this broker at all, or not at run time, and
// are refused, as are keys that nobody knows.
//
// Source: LogCleaner.ReconfigurableConfigs, DynamicThreadPool.ReconfigurableConfigs, DynamicProducerStateManagerConfig,
// SocketServer.ReconfigurableConfigs.
var dynamicKeys = []string{
	"log.cleaner.backoff.ms", "log.cleaner.dedupe.buffer.size", "log.cleaner.io.buffer.load.factor", "log.cleaner.io.buffer.size",
	"log.cleaner.io.max.bytes.per.second", "log.cleaner.threads",
	"max.connection.creation.rate", "max.connections", "max.connections.per.ip", "max.connections.per.ip.overrides", "num.replica.fetchers", "producer.id.expiration.ms",
	"transaction.partition.verification.enable",
	"background.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir",
}

// threadKeys are numbers of threads: a change at run time may at most halve or double them.
var threadKeys = []struct {
	name  string
	field func(*Broker) int
}{
	{"background.threads", func(b *Broker) int { return b.BackgroundThreads }},
	{"log.cleaner.threads", func(b *Broker) int { return b.LogCleanerThreads }},
	{"num.io.threads", func(b *Broker) int { return b.NumIOThreads }},
	{"num.network.threads", func(b *Broker) int { return b.NumNetworkThreads }},
	{"num.recovery.threads.per.data.dir", func(b *Broker) int { return b.NumRecoveryThreads }},
	{"num.replica.fetchers", func(b *Broker) int { return b.NumReplicaFetchers }},
}

// Live is the configuration as it is now: what was set at run time over what the file says. The caller must not change it, and asks
// again when it wants to know again. Only dynamic keys differ from b's.
func (b *Broker) Live() *Broker {
	if b.dynamic == nil { // made by hand, by a test
		return b
	}
	if d := b.dynamic.Load(); d != nil {
		return d.live
	}
	return b
}

// TopicDefaults are the defaults of topics as they are now: what was set at run time over what the file says.
func (b *Broker) TopicDefaults() Topic {
	if d := b.dynamic.Load(); d != nil {
		return d.topic
	}
	return b.Topic
}

// Dynamic is what has been set at run time.
func (b *Broker) Dynamic() Dynamic {
	if d := b.dynamic.Load(); d != nil {
		return *d
	}
	return Dynamic{}
}

// SetDynamic takes what was set at run time, for this broker and for all. A value that does not hold is left out, and the
// error names it: what was written to ZooKeeper by others must not stop a broker.
func (b *Broker) SetDynamic(broker, cluster map[string]string) error {
	d, err := b.overlay(broker, cluster)
	b.dynamic.Store(d)
	return err
}

// overlay puts what is set at run time over the file's configuration, leaves out what does not hold, and returns the first error.
func (b *Broker) overlay(broker, cluster map[string]string) (*Dynamic, error) {
	live := *b
	d := &Dynamic{Broker: map[string]string{}, Cluster: map[string]string{}, topic: b.Topic, runtime: defaultRuntime(), live: &live}
	var first error
	for _, layer := range []struct{ from, to map[string]string }{{cluster, d.Cluster}, {broker, d.Broker}} {
		for _, name := range slices.Sorted(maps.Keys(layer.from)) {
			if err := d.set(name, layer.from[name]); err != nil {
				if first == nil {
					first = err
				}
				continue
			}
			layer.to[name] = layer.from[name]
		}
	}
	return d, first
}

// DynamicKey finds the config of a topic whose default can be set at run time under a broker's key.
func DynamicKey(name string) (*Key[Topic], bool) {
	for _, k := range topicKeys {
		if k.Broker == name && name != "" {
			return k, true
		}
	}
	return nil, false
}

// IsDynamic says whether a key of a broker can be set while it runs.
func IsDynamic(name string) bool {
	_, topic := DynamicKey(name)
	return topic || runtimeKey(name) != nil || slices.Contains(dynamicKeys, name)
}

// DescribeDynamic is the type and documentation of a key that can be set at run time.
func DescribeDynamic(name string) (t Type, doc string) {
	if k, ok := DynamicKey(name); ok {
		return k.Type, k.Doc
	}
	if k := runtimeKey(name); k != nil {
		return k.Type, k.Doc
	}
	if k := brokerKey(name); k != nil {
		return k.Type, k.Doc
	}
	return 0, ""
}

func brokerKey(name string) *Key[Broker] {
	for _, k := range brokerKeys {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// ValidateDynamic checks what is to be set at run time for this broker, or with cluster for all, in place of what was.
//
// Source: DynamicBrokerConfig#validate, DynamicThreadPool#validateReconfiguration, LogCleaner#validateReconfiguration.
func (b *Broker) ValidateDynamic(configs map[string]string, cluster bool) error {
	own, all := configs, b.Dynamic().Cluster
	if cluster {
		own, all = b.Dynamic().Broker, configs
	}
	d, err := b.overlay(own, all)
	if err != nil {
		return err
	}
	now := b.Live()
	switch {
	case d.live.ConnectionsMax == 0 && now.ConnectionsMax != 0:
		return fmt.Errorf("Invalid max.connections 0")
	case d.live.ConnectionRateMax == 0 && now.ConnectionRateMax != 0:
		return fmt.Errorf("Invalid max.connection.creation.rate 0")
	}
	if err := d.live.connectionsConflict(); err != nil {
		return err
	}
	for _, k := range threadKeys {
		was, will := k.field(now), k.field(d.live)
		switch {
		case will < was/2:
			return fmt.Errorf("Dynamic thread count update validation failed for %s=%d, value should be at least half the current value %d", k.name, will, was)
		case will > was*2:
			return fmt.Errorf("Dynamic thread count update validation failed for %s=%d, value should not be greater than double the current value %d", k.name, will, was)
		}
	}
	perThread := func(b *Broker) int64 { return b.LogCleanerDedupeBufferBytes / int64(max(b.LogCleanerThreads, 1)) }
	if perThread(d.live) <= 1<<20 && perThread(d.live) != perThread(now) {
		return fmt.Errorf("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread")
	}
	return nil
}

func (d *Dynamic) set(name, value string) error {
	if k := runtimeKey(name); k != nil {
		return wrapKey(name, k.parse(&d.runtime, value))
	}
	if slices.Contains(dynamicKeys, name) {
		return wrapKey(name, brokerKey(name).parse(d.live, value))
	}
	k, ok := DynamicKey(name)
	if !ok {
		return fmt.Errorf("Cannot update these configs dynamically: %s", name)
	}
	return wrapKey(name, k.parse(&d.topic, value))
}

// Synonyms are the keys of server.properties that say the same as this one, which comes first, by precedence.
//
// Source: DynamicBrokerConfig.brokerConfigSynonyms.
func Synonyms(name string) []string {
	switch name {
	case "log.retention.ms":
		return []string{name, "log.retention.minutes", "log.retention.hours"}
	case "log.roll.ms":
		return []string{name, "log.roll.hours"}
	case "log.roll.jitter.ms":
		return []string{name, "log.roll.jitter.hours"}
	}
	return []string{name}
}
