package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/quota"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Types of entities that quotas are for (ClientQuotaEntity).
const (
	entityUser   = "user"
	entityClient = "client-id"
)

// How a component of a filter matches (DescribeClientQuotasRequest).
const (
	matchExact   = 0
	matchDefault = 1
	matchAny     = 2
)

// DescribeClientQuotas v0-v1 (KIP-546). v1 flexible. Any broker answers, from /config.
//
// Source: KafkaApis#handleDescribeClientQuotasRequest, ZkAdminManager#handleDescribeClientQuotas.
var describeClientQuotasRoute = on(kmsg.DescribeClientQuotas, (*API).describeClientQuotas)

func (a *API) describeClientQuotas(_ *server.Request, req *kmsg.DescribeClientQuotasRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	entries, err := a.findQuotas(req)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = wire.Code(err), text(err)
		return server.Now(resp)
	}
	resp.Entries = entries
	return server.Now(resp)
}

func (a *API) findQuotas(req *kmsg.DescribeClientQuotasRequest) ([]kmsg.DescribeClientQuotasResponseEntry, error) {
	filters := map[string]kmsg.DescribeClientQuotasRequestComponent{}
	for _, c := range req.Components {
		if _, twice := filters[c.EntityType]; twice {
			return nil, fmt.Errorf("duplicate filter component entity type %s: %w", c.EntityType, kerr.InvalidRequest)
		}
		switch {
		case c.EntityType == "ip": // DEVIATION(KIP-612): they are not there yet.
			return nil, fmt.Errorf("quotas of IP addresses are not supported: %w", kerr.InvalidRequest)
		case c.EntityType != entityUser && c.EntityType != entityClient:
			return nil, fmt.Errorf("custom entity type '%s' not supported: %w", c.EntityType, kerr.UnsupportedVersion)
		case c.MatchType < matchExact || c.MatchType > matchAny:
			return nil, fmt.Errorf("unexpected match type %d: %w", c.MatchType, kerr.InvalidRequest)
		case c.MatchType == matchExact && c.Match == nil:
			return nil, fmt.Errorf("request specifies an exact match without a name: %w", kerr.InvalidRequest)
		}
		filters[c.EntityType] = c
	}
	all, err := a.Configs.QuotaEntities()
	if err != nil {
		return nil, err
	}
	entries := []kmsg.DescribeClientQuotasResponseEntry{}
	for _, e := range slices.SortedFunc(maps.Keys(all), compareEntities) {
		if !matches(filters, entityUser, e.User, req.Strict) || !matches(filters, entityClient, e.ClientID, req.Strict) {
			continue
		}
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		entry.Entity = describeEntity(e)
		for _, key := range slices.Sorted(maps.Keys(all[e])) {
			if v, err := strconv.ParseFloat(all[e][key], 64); err == nil && slices.Contains(quota.Keys(), key) {
				entry.Values = append(entry.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: key, Value: v})
			}
		}
		if len(entry.Values) > 0 {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

func compareEntities(a, b quota.Entity) int {
	if c := strings.Compare(a.User, b.User); c != 0 {
		return c
	}
	return strings.Compare(a.ClientID, b.ClientID)
}

// matches reports whether an entity's part of a type fits the filter. Without one for the type, a strict filter wants no such part.
func matches(filters map[string]kmsg.DescribeClientQuotasRequestComponent, kind, name string, strict bool) bool {
	f, some := filters[kind]
	if !some {
		return name == "" || !strict
	}
	switch f.MatchType {
	case matchExact:
		return name != "" && name == *f.Match
	case matchDefault:
		return name == quota.Default
	default:
		return name != ""
	}
}

func describeEntity(e quota.Entity) (list []kmsg.DescribeClientQuotasResponseEntryEntity) {
	for _, part := range []struct{ kind, name string }{{entityUser, e.User}, {entityClient, e.ClientID}} {
		if part.name == "" {
			continue
		}
		d := kmsg.NewDescribeClientQuotasResponseEntryEntity()
		d.Type = part.kind
		if part.name != quota.Default {
			d.Name = kmsg.StringPtr(part.name)
		}
		list = append(list, d)
	}
	return list
}

// AlterClientQuotas v0-v1 (KIP-546). v1 flexible. Any broker writes /config/… and the note in /config/changes from which all take it.
//
// Source: KafkaApis#handleAlterClientQuotasRequest, ZkAdminManager#handleAlterClientQuotas.
var alterClientQuotasRoute = on(kmsg.AlterClientQuotas, (*API).alterClientQuotas)

func (a *API) alterClientQuotas(_ *server.Request, req *kmsg.AlterClientQuotasRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	for i := range req.Entries {
		entry := &req.Entries[i]
		out := kmsg.NewAlterClientQuotasResponseEntry()
		err := a.alterQuota(entry, req.ValidateOnly)
		out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		for _, part := range entry.Entity {
			e := kmsg.NewAlterClientQuotasResponseEntryEntity()
			e.Type, e.Name = part.Type, part.Name
			out.Entity = append(out.Entity, e)
		}
		resp.Entries = append(resp.Entries, out)
	}
	return server.Now(resp)
}

func (a *API) alterQuota(entry *kmsg.AlterClientQuotasRequestEntry, validateOnly bool) error {
	entity, err := entityOf(entry.Entity)
	if err != nil {
		return err
	}
	entityType, path := zookeeper.QuotaPath(entity.User, entity.ClientID)
	configs, err := a.Configs.EntityConfig(entityType, path)
	if err != nil {
		return err
	}
	next := maps.Clone(configs)
	if next == nil {
		next = map[string]string{}
	}
	for _, op := range entry.Ops {
		if op.Remove {
			if !slices.Contains(quota.Keys(), op.Key) {
				return fmt.Errorf("invalid configuration key %s: %w", op.Key, kerr.InvalidRequest)
			}
			delete(next, op.Key)
			continue
		}
		if err := quota.Validate(op.Key, op.Value); err != nil {
			return fmt.Errorf("%v: %w", err, kerr.InvalidRequest)
		}
		next[op.Key] = strconv.FormatFloat(op.Value, 'f', -1, 64)
		if !strings.Contains(next[op.Key], ".") && op.Key != "producer_byte_rate" && op.Key != "consumer_byte_rate" {
			next[op.Key] += ".0" // as Java writes a double
		}
	}
	if validateOnly {
		return nil
	}
	return a.Configs.SetEntityConfig(entityType, path, next)
}

func entityOf(parts []kmsg.AlterClientQuotasRequestEntryEntity) (e quota.Entity, err error) {
	if len(parts) == 0 {
		return e, fmt.Errorf("invalid empty client quota entity: %w", kerr.InvalidRequest)
	}
	for _, part := range parts {
		name := quota.Default
		if part.Name != nil {
			if name = *part.Name; name == "" {
				return e, fmt.Errorf("empty %s not supported: %w", part.Type, kerr.InvalidRequest)
			}
		}
		field := &e.User
		switch part.Type {
		case entityUser:
		case entityClient:
			field = &e.ClientID
		default:
			return e, fmt.Errorf("unhandled client quota entity type: %s: %w", part.Type, kerr.InvalidRequest)
		}
		if *field != "" {
			return e, fmt.Errorf("duplicate entity type %s: %w", part.Type, kerr.InvalidRequest)
		}
		*field = name
	}
	return e, nil
}
