package api

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/config"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs v0-v2 (KIP-133). v2 flexible. What is given replaces all that was set before.
// Topics, this broker, and with an empty name all brokers. Any broker does it for topics and for all brokers: it writes
// /config/… and a note in /config/changes, and every broker takes it from there, this one too.
//
// Source: KafkaApis#handleAlterConfigsRequest, ZkAdminManager#alterConfigs.
var alterConfigsRoute = on(kmsg.AlterConfigs, (*API).alterConfigs)

func (a *API) alterConfigs(_ *server.Request, req *kmsg.AlterConfigsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	named := map[resource]int{}
	for i := range req.Resources {
		named[resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	for i := range req.Resources {
		in := &req.Resources[i]
		r := resource{in.ResourceType, in.ResourceName}
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		next, err := replacedConfigs(in.Configs)
		if err == nil {
			err = a.alterResource(r, named[r], req.ValidateOnly, func(map[string]string) (map[string]string, error) { return next, nil })
		}
		out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		resp.Resources = append(resp.Resources, out)
	}
	return server.Now(resp)
}

// IncrementalAlterConfigs v0-v1 (KIP-339). v1 flexible. Sets, deletes, appends to and subtracts from single configs.
//
// Source: KafkaApis#handleIncrementalAlterConfigsRequest, ZkAdminManager#incrementalAlterConfigs.
var incrementalAlterConfigsRoute = on(kmsg.IncrementalAlterConfigs, (*API).incrementalAlterConfigs)

func (a *API) incrementalAlterConfigs(_ *server.Request, req *kmsg.IncrementalAlterConfigsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	named := map[resource]int{}
	for i := range req.Resources {
		named[resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	for i := range req.Resources {
		in := &req.Resources[i]
		r := resource{in.ResourceType, in.ResourceName}
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		err := distinctConfigs(in.Configs)
		if err == nil {
			err = a.alterResource(r, named[r], req.ValidateOnly, func(old map[string]string) (map[string]string, error) {
				return changedConfigs(r, old, in.Configs)
			})
		}
		out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		resp.Resources = append(resp.Resources, out)
	}
	return server.Now(resp)
}

// resource is a thing that has configs.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// entity is where the resource's configs stand in ZooKeeper.
func (a *API) entity(r resource) (entityType, entity string, err error) {
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		if r.name == "" {
			return "", "", fmt.Errorf("default topic resources are not allowed: %w", kerr.InvalidRequest)
		}
		return zookeeper.ConfigTopics, r.name, nil
	case kmsg.ConfigResourceTypeBroker:
		if r.name == "" {
			return zookeeper.ConfigBrokers, zookeeper.ConfigDefaultEntity, nil
		}
		id, err := strconv.ParseInt(r.name, 10, 32)
		if err != nil {
			return "", "", fmt.Errorf("broker id must be an integer, but it is: %s: %w", r.name, kerr.InvalidRequest)
		}
		if int32(id) != a.Config.BrokerID {
			return "", "", fmt.Errorf("unexpected broker id, expected %d, but received %s: %w", a.Config.BrokerID, r.name, kerr.InvalidRequest)
		}
		return zookeeper.ConfigBrokers, r.name, nil
	}
	return "", "", fmt.Errorf("resource type %d: %w", r.kind, kerr.InvalidRequest)
}

// alterResource changes one resource's configs: change works the new ones out of the old.
func (a *API) alterResource(r resource, times int, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	if times > 1 {
		return fmt.Errorf("each resource must appear at most once: %w", kerr.InvalidRequest)
	}
	entityType, entity, err := a.entity(r)
	if err != nil {
		return err
	}
	old := map[string]string{}
	unknown := r.kind == kmsg.ConfigResourceTypeTopic && a.Metadata.Snapshot().Topic(r.name) == nil
	if !unknown {
		if old, err = a.Configs.EntityConfig(entityType, entity); err != nil {
			return err
		}
	}
	next, err := change(old)
	if err != nil {
		return err
	}
	if unknown { // said only now, as by Kafka: what cannot be done to any topic comes first
		return fmt.Errorf("the topic '%s' does not exist: %w", r.name, kerr.UnknownTopicOrPartition)
	}
	if r.kind == kmsg.ConfigResourceTypeTopic {
		if err := a.Config.TopicDefaults().Validate(next); err != nil {
			return fmt.Errorf("%v: %w", err, kerr.InvalidConfig)
		}
	} else if err := a.Config.ValidateDynamic(next, r.name == ""); err != nil {
		return fmt.Errorf("%v: %w", err, kerr.InvalidRequest)
	}
	if err := zookeeper.ConfigFits(next); err != nil {
		return tooLarge(err)
	}
	if validateOnly {
		return nil
	}
	return tooLarge(a.Configs.SetEntityConfig(entityType, entity, next))
}

// tooLarge answers configs that are more than ZooKeeper takes at once; other errors are returned as they are.
//
// DEVIATION(ZooKeeper): Kafka sends the request, the server closes the connection, and Kafka sends it again, for ever.
func tooLarge(err error) error {
	if errors.Is(err, zookeeper.ErrTooLarge) {
		return fmt.Errorf("the configuration cannot be written: %v: %w", err, kerr.InvalidConfig)
	}
	return err
}

func replacedConfigs(entries []kmsg.AlterConfigsRequestResourceConfig) (map[string]string, error) {
	next := map[string]string{}
	for _, c := range entries {
		if _, twice := next[c.Name]; twice {
			return nil, fmt.Errorf("%s is given twice: %w", c.Name, kerr.InvalidRequest)
		}
		if c.Value == nil {
			return nil, fmt.Errorf("null value not supported for %s: %w", c.Name, kerr.InvalidRequest)
		}
		next[c.Name] = *c.Value
	}
	return next, nil
}

// Operations of IncrementalAlterConfigs (AlterConfigOp.OpType).
const (
	opSet      = 0
	opDelete   = 1
	opAppend   = 2
	opSubtract = 3
)

// distinctConfigs refuses changes whatever they are of: two of one config, and a value that is missing (ConfigAdminManager#preprocess).
func distinctConfigs(entries []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	seen := map[string]bool{}
	for _, c := range entries {
		if seen[c.Name] {
			return fmt.Errorf("error due to duplicate config keys: %s: %w", c.Name, kerr.InvalidRequest)
		}
		seen[c.Name] = true
		if c.Value == nil && c.Op != opDelete {
			return fmt.Errorf("null value not supported for %s: %w", c.Name, kerr.InvalidRequest)
		}
	}
	return nil
}

func changedConfigs(r resource, old map[string]string, entries []kmsg.IncrementalAlterConfigsRequestResourceConfig) (map[string]string, error) {
	next := maps.Clone(old)
	for _, c := range entries {
		switch c.Op {
		case opSet:
			next[c.Name] = *c.Value
		case opDelete:
			delete(next, c.Name)
		case opAppend, opSubtract:
			key, ok := config.TopicKey(c.Name)
			if r.kind == kmsg.ConfigResourceTypeBroker {
				key, ok = config.DynamicKey(c.Name)
			}
			// DEVIATION(KIP-339): Kafka says UNKNOWN_SERVER_ERROR where there is no such key at all: it is not prepared for it.
			if !ok || key.Type != config.List {
				return nil, fmt.Errorf("appending and subtracting is not allowed for config key %s: %w", c.Name, kerr.InvalidConfig)
			}
			have, set := next[c.Name]
			if !set {
				have = key.Default
			}
			next[c.Name] = changedList(have, *c.Value, c.Op == opAppend)
		default:
			// DEVIATION(KIP-339): Kafka says so of a broker's configs, and of a topic's UNKNOWN_SERVER_ERROR.
			return nil, fmt.Errorf("operation %d: %w", c.Op, kerr.InvalidRequest)
		}
	}
	return next, nil
}

// changedList adds to a comma-separated list what is not in it yet, or takes from it.
func changedList(have, items string, add bool) string {
	list := strings.Split(have, ",")
	if have == "" {
		list = nil
	}
	for item := range strings.SplitSeq(items, ",") {
		at := slices.Index(list, item)
		switch {
		case add && at < 0:
			list = append(list, item)
		case !add && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ",")
}
