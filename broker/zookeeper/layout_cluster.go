package zookeeper

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// BrokerInfo is what a broker says about itself in /brokers/ids/N (BrokerIdZNode, version 5).
type BrokerInfo struct {
	ID        int32
	Endpoints []Endpoint
	Rack      string // "" without one
	JmxPort   int32  // -1 without one
	Timestamp int64  // ms since 1970
	Version   int    // of the JSON form; 5 when written by us
	Features  map[string]map[string]int16
	Epoch     int64 // czxid; not in the JSON
	// Since is the epoch of the first registration of this life of the broker, when that was an earlier one: what the
	// broker had then, it has still. 0: this is the first. Kafka neither writes the field nor minds it.
	Since int64
	// Intact is the epoch since which the broker's disks have lost nothing that it had; IntactSinceNow for the epoch of this
	// registration, which is not known before it is written. 0 is what a broker leaves out that keeps no account of it: Kafka's, and
	// ours without eligible leader replicas. Who keeps account heeds ELRMin when it leads.
	Intact int64
}

// IntactSinceNow is BrokerInfo.Intact of a broker that may have lost data before it registered.
const IntactSinceNow int64 = -1

// Endpoint is one advertised listener.
type Endpoint struct {
	Listener string // "PLAINTEXT"
	Protocol string // "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
	Host     string
	Port     int32
}

// securityProtocols are the ids of SecurityProtocol, by position.
var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// SecurityProtocolID is the id that goes over the wire; -1 for a protocol that Kafka does not know.
func SecurityProtocolID(name string) int16 { return int16(slices.Index(securityProtocols, name)) }

type brokerJSON struct {
	Features  map[string]map[string]int16 `json:"features"`
	Protocols hashedMap[string]           `json:"listener_security_protocol_map,omitempty"`
	Endpoints []string                    `json:"endpoints"`
	Rack      *string                     `json:"rack,omitempty"`
	JmxPort   *int32                      `json:"jmx_port"`
	Port      *int32                      `json:"port"`
	Host      *string                     `json:"host"`
	Version   int                         `json:"version"`
	Timestamp any                         `json:"timestamp"`
	Since     int64                       `json:"barnabas_since,omitempty"`
	Intact    int64                       `json:"barnabas_intact,omitempty"`
}

// EncodeBroker writes the content of /brokers/ids/N.
func EncodeBroker(b BrokerInfo) []byte {
	j := brokerJSON{Features: b.Features, Protocols: hashedMap[string]{}, Endpoints: []string{}, JmxPort: &b.JmxPort,
		Version: 5, Timestamp: strconv.FormatInt(b.Timestamp, 10), Since: b.Since, Intact: b.Intact}
	if j.Features == nil {
		j.Features = map[string]map[string]int16{}
	}
	if b.Rack != "" {
		j.Rack = &b.Rack
	}
	port := int32(-1) // and no host: old clients that know nothing but PLAINTEXT stay away
	j.Port = &port
	for i := range b.Endpoints {
		ep := &b.Endpoints[i]
		j.Endpoints = append(j.Endpoints, ep.Listener+"://"+bracketed(ep.Host)+":"+strconv.Itoa(int(ep.Port)))
		j.Protocols[ep.Listener] = ep.Protocol
		if ep.Protocol == "PLAINTEXT" && j.Host == nil {
			j.Host, j.Port = &ep.Host, &ep.Port
		}
	}
	return encodeJSON(j)
}

// DecodeBroker reads /brokers/ids/N, versions 1 to 5.
func DecodeBroker(id int32, data []byte) (BrokerInfo, error) {
	path := PathBrokerID(id)
	var j brokerJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return BrokerInfo{}, err
	}
	if j.Version < 1 {
		return BrokerInfo{}, malformed(path, "version %d", j.Version)
	}
	b := BrokerInfo{ID: id, Version: j.Version, JmxPort: -1, Features: j.Features, Since: j.Since, Intact: j.Intact}
	if j.JmxPort != nil {
		b.JmxPort = *j.JmxPort
	}
	if j.Rack != nil {
		b.Rack = *j.Rack
	}
	if text, ok := j.Timestamp.(string); ok {
		ms, err := decimal(path, "timestamp", text)
		if err != nil {
			return BrokerInfo{}, err
		}
		b.Timestamp = ms
	}
	if j.Version == 1 {
		if err := required(path, "host", j.Host != nil, "port", j.Port != nil); err != nil {
			return BrokerInfo{}, err
		}
		b.Endpoints = []Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: *j.Host, Port: *j.Port}}
		return b, nil
	}
	for _, text := range j.Endpoints {
		ep, err := parseEndpoint(path, text, j.Protocols)
		if err != nil {
			return BrokerInfo{}, err
		}
		b.Endpoints = append(b.Endpoints, ep)
	}
	return b, required(path, "endpoints", len(b.Endpoints) > 0)
}

// parseEndpoint reads "LISTENER://host:port"; the host may be in brackets, or missing.
func parseEndpoint(path, text string, protocols map[string]string) (Endpoint, error) {
	listener, address, ok := strings.Cut(text, "://")
	colon := strings.LastIndexByte(address, ':')
	if !ok || listener == "" || colon < 0 {
		return Endpoint{}, malformed(path, "endpoint %q", text)
	}
	port, err := strconv.ParseInt(address[colon+1:], 10, 32)
	if err != nil || port < -1 || port > 65535 {
		return Endpoint{}, malformed(path, "endpoint %q: bad port", text)
	}
	protocol := listener // before version 4 the listener was named after its protocol
	if protocols != nil {
		if protocol, ok = protocols[listener]; !ok {
			return Endpoint{}, malformed(path, "endpoint %q: no security protocol for its listener", text)
		}
	}
	if SecurityProtocolID(protocol) < 0 {
		return Endpoint{}, malformed(path, "endpoint %q: unknown security protocol %q", text, protocol)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(address[:colon], "["), "]")
	return Endpoint{Listener: listener, Protocol: protocol, Host: host, Port: int32(port)}, nil
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

type controllerJSON struct {
	Version    int    `json:"version"`
	BrokerID   *int32 `json:"brokerid"`
	Timestamp  string `json:"timestamp"`
	KRaftEpoch *int32 `json:"kraftControllerEpoch"`
}

// EncodeController writes the content of /controller, version 2.
func EncodeController(brokerID int32, timestampMs int64) []byte {
	kraft := int32(-1)
	return encodeJSON(controllerJSON{2, &brokerID, strconv.FormatInt(timestampMs, 10), &kraft})
}

// DecodeController reads the broker id in /controller, versions 1 and 2.
func DecodeController(data []byte) (brokerID int32, err error) {
	var j controllerJSON
	if err := decodeJSON(PathController, data, &j); err != nil {
		return -1, err
	}
	if err := required(PathController, "brokerid", j.BrokerID != nil); err != nil {
		return -1, err
	}
	return *j.BrokerID, nil
}

// EncodeControllerEpoch writes the content of /controller_epoch.
func EncodeControllerEpoch(epoch int32) []byte { return strconv.AppendInt(nil, int64(epoch), 10) }

// DecodeControllerEpoch reads /controller_epoch.
func DecodeControllerEpoch(data []byte) (int32, error) {
	n, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil {
		return 0, malformed(PathControllerEpoch, "%q is not an epoch", data)
	}
	return int32(n), nil
}

// Reign are the controller epochs, first and last, in which controllers have reigned without a break that keep lists of eligible
// leader replicas: the content of PathReign. What another controller has left in the state of a partition, such a list
// or an old one that it did not empty, is not to be believed.
type Reign struct{ First, Last int32 }

type reignJSON struct {
	Version int    `json:"version"`
	First   *int32 `json:"first"`
	Last    *int32 `json:"last"`
}

// EncodeReign writes the content of PathReign, version 1.
func EncodeReign(r Reign) []byte { return encodeJSON(reignJSON{1, &r.First, &r.Last}) }

// DecodeReign reads PathReign.
func DecodeReign(data []byte) (Reign, error) {
	var j reignJSON
	if err := decodeJSON(PathReign, data, &j); err != nil {
		return Reign{}, err
	}
	if err := required(PathReign, "first", j.First != nil, "last", j.Last != nil); err != nil {
		return Reign{}, err
	}
	return Reign{First: *j.First, Last: *j.Last}, nil
}

type clusterIDJSON struct {
	Version string `json:"version"` // a string, unlike everywhere else
	ID      string `json:"id"`
}

// EncodeClusterID writes the content of /cluster/id.
func EncodeClusterID(id string) []byte { return encodeJSON(clusterIDJSON{"1", id}) }

// DecodeClusterID reads /cluster/id.
func DecodeClusterID(data []byte) (string, error) {
	var j clusterIDJSON
	if err := decodeJSON(PathClusterID, data, &j); err != nil {
		return "", err
	}
	return j.ID, required(PathClusterID, "id", j.ID != "")
}

// ProducerIDBlock is a range of producer ids, both ends included, that belongs to one broker.
type ProducerIDBlock struct {
	Broker      int32
	First, Last int64
}

type producerIDBlockJSON struct {
	Version int     `json:"version"`
	Broker  *int32  `json:"broker"`
	Start   *string `json:"block_start"`
	End     *string `json:"block_end"`
}

// EncodeProducerIDBlock writes the content of /latest_producer_id_block.
func EncodeProducerIDBlock(b ProducerIDBlock) []byte {
	start, end := strconv.FormatInt(b.First, 10), strconv.FormatInt(b.Last, 10)
	return encodeJSON(producerIDBlockJSON{1, &b.Broker, &start, &end})
}

// DecodeProducerIDBlock reads /latest_producer_id_block, which is empty before the first block is given out: then ok
// is false.
func DecodeProducerIDBlock(data []byte) (b ProducerIDBlock, ok bool, err error) {
	if len(data) == 0 {
		return b, false, nil
	}
	var j producerIDBlockJSON
	if err := decodeJSON(PathProducerIDBlock, data, &j); err != nil {
		return b, false, err
	}
	err = required(PathProducerIDBlock, "broker", j.Broker != nil, "block_start", j.Start != nil, "block_end", j.End != nil)
	if err != nil {
		return b, false, err
	}
	if b.First, err = decimal(PathProducerIDBlock, "block_start", *j.Start); err != nil {
		return b, false, err
	}
	if b.Last, err = decimal(PathProducerIDBlock, "block_end", *j.End); err != nil {
		return b, false, err
	}
	if b.First < 0 || b.Last < b.First {
		return b, false, malformed(PathProducerIDBlock, "block from %d to %d", b.First, b.Last)
	}
	b.Broker = *j.Broker
	return b, true, nil
}

// Feature is the content of /feature (FeatureZNode, version 2): finalized feature levels (KIP-584).
type Feature struct {
	Enabled bool
	Levels  map[string]int16
}

type featureJSON struct {
	Features map[string]map[string]int16 `json:"features"`
	Version  int                         `json:"version"`
	Status   *int                        `json:"status"`
}

// EncodeFeature writes the content of /feature.
func EncodeFeature(f Feature) []byte {
	status := 0
	if f.Enabled {
		status = 1
	}
	j := featureJSON{map[string]map[string]int16{}, 2, &status}
	for _, name := range slices.Sorted(maps.Keys(f.Levels)) {
		j.Features[name] = map[string]int16{"max_version_level": f.Levels[name]}
	}
	return encodeJSON(j)
}

// DecodeFeature reads /feature, versions 1 and 2.
func DecodeFeature(data []byte) (Feature, error) {
	var j featureJSON
	if err := decodeJSON(PathFeature, data, &j); err != nil {
		return Feature{}, err
	}
	if j.Version < 1 || j.Version > 2 {
		return Feature{}, malformed(PathFeature, "version %d", j.Version)
	}
	if err := required(PathFeature, "status", j.Status != nil, "features", j.Features != nil); err != nil {
		return Feature{}, err
	}
	if *j.Status != 0 && *j.Status != 1 {
		return Feature{}, malformed(PathFeature, "status %d", *j.Status)
	}
	f := Feature{Enabled: *j.Status == 1, Levels: map[string]int16{}}
	for _, name := range slices.Sorted(maps.Keys(j.Features)) {
		level, ok := j.Features[name]["max_version_level"]
		if !ok || level < 1 {
			return Feature{}, malformed(PathFeature, "feature %q has no level", name)
		}
		f.Levels[name] = level
	}
	return f, nil
}
