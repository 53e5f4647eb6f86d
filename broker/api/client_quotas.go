package api

import (
	"fmt"
	"maps"
	"net/netip"
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
	entityIP     = "ip"
)

// How a component of a filter matches (DescribeClientQuotasRequest).
const (
	matchExact   = 0
	matchDefault = 1
	matchAny     = 2
)

// DescribeClientQuotas v0-v1 (KIP-546, KIP-612). v1 flexible. Any broker answers, from /config.
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
		case c.EntityType == "":
			return nil, fmt.Errorf("unexpected empty filter component entity type: %w", kerr.InvalidRequest)
		case c.EntityType != entityUser && c.EntityType != entityClient && c.EntityType != entityIP:
			return nil, fmt.Errorf("custom entity type '%s' not supported: %w", c.EntityType, kerr.UnsupportedVersion)
		case c.MatchType < matchExact || c.MatchType > matchAny:
			return nil, fmt.Errorf("unexpected match type %d: %w", c.MatchType, kerr.InvalidRequest)
		case c.MatchType == matchExact && c.Match == nil:
			return nil, fmt.Errorf("request specifies an exact match without a name: %w", kerr.InvalidRequest)
		}
		filters[c.EntityType] = c
	}
	if _, ip := filters[entityIP]; ip && len(filters) > 1 {
		return nil, fmt.Errorf("invalid entity filter component combination, IP filter component should not be used with user or clientId filter component: %w", kerr.InvalidRequest)
	}
	all, err := a.Configs.QuotaEntities()
	if err != nil {
		return nil, err
	}
	entries := []kmsg.DescribeClientQuotasResponseEntry{}
	for _, e := range slices.SortedFunc(maps.Keys(all), compareEntities) {
		keys := quota.Keys()
		if e.IP != "" {
			keys = []string{quota.ConnectionRate}
		}
		if !describes(filters, e, req.Strict) {
			continue
		}
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		entry.Entity = describeEntity(e)
		for _, key := range slices.Sorted(maps.Keys(all[e])) {
			if v, err := strconv.ParseFloat(all[e][key], 64); err == nil && slices.Contains(keys, key) {
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
	if c := strings.Compare(a.ClientID, b.ClientID); c != 0 {
		return c
	}
	return strings.Compare(a.IP, b.IP)
}

// describes reports whether an entity fits the filters. An address has nothing to do with users and clients: filters for those want none.
func describes(filters map[string]kmsg.DescribeClientQuotasRequestComponent, e quota.Entity, strict bool) bool {
	_, ip := filters[entityIP]
	switch {
	case e.IP == "":
		return !ip && matches(filters, entityUser, e.User, strict) && matches(filters, entityClient, e.ClientID, strict)
	case !ip && len(filters) > 0:
		return false
	}
	return matches(filters, entityIP, e.IP, strict)
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
	for _, part := range []struct{ kind, name string }{{entityUser, e.User}, {entityClient, e.ClientID}, {entityIP, e.IP}} {
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

// AlterClientQuotas v0-v1 (KIP-546, KIP-612). v1 flexible. Any broker writes /config/… and the note in /config/changes from which all take it.
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
	entityType, path := zookeeper.QuotaPath(entity.User, entity.ClientID, entity.IP)
	configs, err := a.Configs.EntityConfig(entityType, path)
	if err != nil {
		return err
	}
	next := maps.Clone(configs)
	if next == nil {
		next = map[string]string{}
	}
	for _, op := range entry.Ops {
		if op.Remove { // whatever it is
			delete(next, op.Key)
			continue
		}
		validate := quota.Validate
		if entity.IP != "" {
			validate = quota.ValidateAddress
		}
		if err := validate(op.Key, op.Value); err != nil {
			return fmt.Errorf("%v: %w", err, kerr.InvalidRequest)
		}
		next[op.Key] = quotaText(op.Key, op.Value)
	}
	if validateOnly {
		return nil
	}
	return a.Configs.SetEntityConfig(entityType, path, next)
}

// quotaText is a bound as it is kept: bytes and connections are whole numbers, the others written as Java writes a double.
func quotaText(key string, value float64) string {
	switch key {
	case "producer_byte_rate", "consumer_byte_rate", quota.ConnectionRate:
		return strconv.FormatInt(int64(value+1e-6), 10)
	}
	text := strconv.FormatFloat(value, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
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
		case entityIP:
			field = &e.IP
		default:
			return e, fmt.Errorf("unhandled client quota entity type: %s: %w", part.Type, kerr.InvalidRequest)
		}
		if *field != "" {
			return e, fmt.Errorf("duplicate entity type %s: %w", part.Type, kerr.InvalidRequest)
		}
		*field = name
	}
	if e.IP == "" {
		return e, nil
	}
	if e.User != "" || e.ClientID != "" {
		return e, fmt.Errorf("invalid quota entity combination, IP entity should not be used with user/client ID entity: %w", kerr.InvalidRequest)
	}
	// As in Kafka, the name is looked at as it would be kept: an IPv6 address, of which the colons are escaped, is none.
	if _, name := zookeeper.QuotaPath("", "", e.IP); name != quota.Default {
		if _, err := netip.ParseAddr(name); err != nil {
			// DEVIATION(KIP-612): names of hosts, which Kafka would look up, are refused.
			return e, fmt.Errorf("%s is not a valid IP or resolvable host: %w", name, kerr.InvalidRequest)
		}
	}
	return e, nil
}
