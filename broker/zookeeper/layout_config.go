package zookeeper

import (
	"encoding/json"
	"maps"
	"slices"
)

type configJSON struct {
	Version int                        `json:"version"`
	Config  hashedMap[json.RawMessage] `json:"config"`
}

// EncodeConfig writes the content of /config/T/E.
func EncodeConfig(configs map[string]string) []byte {
	j := configJSON{1, hashedMap[json.RawMessage]{}}
	for name, value := range configs {
		j.Config[name] = encodeJSON(value)
	}
	return encodeJSON(j)
}

// DecodeConfig reads /config/T/E. A znode without content is an empty configuration, as in Kafka.
func DecodeConfig(path string, data []byte) (map[string]string, error) {
	configs := map[string]string{}
	if len(data) == 0 {
		return configs, nil
	}
	var j configJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(j.Config)) {
		var value string
		if err := json.Unmarshal(j.Config[name], &value); err != nil {
			return nil, malformed(path, "config %q: %v", name, err)
		}
		configs[name] = value
	}
	return configs, nil
}

type configChangeJSON struct {
	Version    int    `json:"version"`
	EntityPath string `json:"entity_path"`
}

// EncodeConfigChange writes the content of /config/changes/config_change_N: entityPath is "topics/T".
func EncodeConfigChange(entityPath string) []byte { return encodeJSON(configChangeJSON{2, entityPath}) }

// DecodeConfigChange reads /config/changes/config_change_N.
func DecodeConfigChange(path string, data []byte) (entityPath string, err error) {
	var j configChangeJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return "", err
	}
	if j.Version != 2 {
		return "", malformed(path, "version %d", j.Version)
	}
	return j.EntityPath, required(path, "entity_path", j.EntityPath != "")
}
