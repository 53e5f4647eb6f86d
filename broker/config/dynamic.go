package config

import (
	"fmt"
	"maps"
	"slices"
)

// Dynamic is what has been set for this broker while it runs (kafka.server.DynamicBrokerConfig): the defaults of topics,
// under their broker keys (log.retention.ms …). It is never changed once it is made.
type Dynamic struct {
	Broker  map[string]string // for this broker alone
	Cluster map[string]string // for all brokers, unless the above says otherwise
	topic   Topic
	runtime Runtime
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
	d := &Dynamic{Broker: map[string]string{}, Cluster: map[string]string{}, topic: b.Topic, runtime: defaultRuntime()}
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
	b.dynamic.Store(d)
	return first
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

// ValidateDynamic checks what is to be set at run time for a broker or for all.
func ValidateDynamic(configs map[string]string) error {
	var d Dynamic
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if err := d.set(name, configs[name]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dynamic) set(name, value string) error {
	if k := runtimeKey(name); k != nil {
		return wrapKey(name, k.set(&d.runtime, value))
	}
	k, ok := DynamicKey(name)
	if !ok {
		return fmt.Errorf("Cannot update these configs dynamically: %s", name)
	}
	return wrapKey(name, k.set(&d.topic, value))
}
