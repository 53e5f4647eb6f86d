package zookeeper

import (
	"net/url"
	"strings"
)

// defaultName is a user or client id that stands for all without an entry of their own.
const defaultName = ConfigDefaultEntity

// QuotaPath is where the quotas of a user, a client id, or a client id of a user stand below /config: "users", "alice/clients/app".
// "" is none, ConfigDefaultEntity the default.
//
// Source: ConfigEntityName, ConfigCommand. Names are made safe as Sanitizer#sanitize does.
func QuotaPath(user, client string) (entityType, entity string) {
	switch {
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

// QuotaEntry is what is kept for one user, client id, or both.
type QuotaEntry struct {
	User, ClientID string // "" for none, ConfigDefaultEntity for the default
	Configs        map[string]string
}

// Quotas reads the configs of all users and client ids, in the order of their names.
func (s *Store) Quotas() (entries []QuotaEntry, err error) {
	read := func(entityType, entity, user, client string) error {
		configs, err := s.EntityConfig(entityType, entity, false)
		if err == nil && len(configs) > 0 {
			entries = append(entries, QuotaEntry{User: user, ClientID: client, Configs: configs})
		}
		return err
	}
	clients, err := s.children(PathConfigType(ConfigClients), false)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := read(ConfigClients, c, "", desanitize(c)); err != nil {
			return nil, err
		}
	}
	users, err := s.children(PathConfigType(ConfigUsers), false)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if err := read(ConfigUsers, u, desanitize(u), ""); err != nil {
			return nil, err
		}
		of, err := s.children(PathConfig(ConfigUsers, u)+"/"+ConfigClients, false)
		if err != nil {
			return nil, err
		}
		for _, c := range of {
			if err := read(ConfigUsers, u+"/"+ConfigClients+"/"+c, desanitize(u), desanitize(c)); err != nil {
				return nil, err
			}
		}
	}
	return entries, nil
}
