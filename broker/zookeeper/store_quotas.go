package zookeeper

import (
	"errors"
	"net/url"
	"strings"
)

// defaultName is a user or client id that stands for all without an entry of their own.
const defaultName = ConfigDefaultEntity

// QuotaPath is where the quotas of a user, a client id, a client id of a user, or an IP address stand below /config: "users",
// "alice/clients/app". "" is none, ConfigDefaultEntity the default.
//
// Source: ConfigEntityName, ConfigCommand. Names are made safe as Sanitizer#sanitize does.
func QuotaPath(user, client, ip string) (entityType, entity string) {
	switch {
	case ip != "":
		return ConfigIPs, sanitize(ip)
	case user == "":
		return ConfigClients, sanitize(client)
	case client == "":
		return ConfigUsers, sanitize(user)
	}
	return ConfigUsers, sanitize(user) + "/" + ConfigClients + "/" + sanitize(client)
}

func sanitize(name string) string {
	if name == defaultName {
		return name
	}
	return strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

func desanitize(name string) string {
	if name == defaultName {
		return name
	}
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name // somebody else's; it bounds nobody
}

// QuotaEntry is what is kept for one user, client id, or both, or for an IP address.
type QuotaEntry struct {
	User, ClientID, IP string // "" for none, ConfigDefaultEntity for the default
	Configs            map[string]string
}

// Quotas reads the configs of all client ids, users and IP addresses, in the order of their names.
func (s *Store) Quotas() (entries []QuotaEntry, err error) {
	read := func(entityType, entity string, e QuotaEntry) error {
		configs, err := s.EntityConfig(entityType, entity, false)
		if err == nil && len(configs) > 0 {
			e.Configs = configs
			entries = append(entries, e)
		}
		return err
	}
	clients, err := s.children(PathConfigType(ConfigClients), false)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := read(ConfigClients, c, QuotaEntry{ClientID: desanitize(c)}); err != nil {
			return nil, err
		}
	}
	users, err := s.children(PathConfigType(ConfigUsers), false)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if err := read(ConfigUsers, u, QuotaEntry{User: desanitize(u)}); err != nil {
			return nil, err
		}
		of, err := s.children(PathConfig(ConfigUsers, u)+"/"+ConfigClients, false)
		if err != nil {
			return nil, err
		}
		for _, c := range of {
			if err := read(ConfigUsers, u+"/"+ConfigClients+"/"+c, QuotaEntry{User: desanitize(u), ClientID: desanitize(c)}); err != nil {
				return nil, err
			}
		}
	}
	ips, err := s.children(PathConfigType(ConfigIPs), false)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if err := read(ConfigIPs, ip, QuotaEntry{IP: desanitize(ip)}); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// removeQuota removes the znode of an entity that has no bounds any more, and those above it that stood for nothing else; false if something
// else hangs on it.
//
// Source: AdminZkClient#tryCleanQuotaNodes.
func (s *Store) removeQuota(entityType, entity string) (gone bool, err error) {
	path := PathConfig(entityType, entity)
	if err = s.delete(path); errors.Is(err, ErrNotEmpty) {
		return false, nil
	}
	user, _, of := strings.Cut(entity, "/"+ConfigClients+"/")
	if err != nil || !of {
		return err == nil, err
	}
	if err = s.delete(PathConfig(entityType, user) + "/" + ConfigClients); err == nil {
		var own map[string]string
		if own, err = s.EntityConfig(entityType, user, false); err == nil && len(own) == 0 {
			err = s.delete(PathConfig(entityType, user))
		}
	}
	if errors.Is(err, ErrNotEmpty) {
		err = nil
	}
	return true, err
}
