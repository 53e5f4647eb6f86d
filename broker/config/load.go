package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/magiconair/properties"
)

// Load reads a server.properties. name is for the errors, each of which names file, line and reason; all of them are
// returned together (errors.Join). notes say which known keys have no effect. overrides are put over what the file says, as a command
// line does ("key=value" each), before it is judged as a whole.
func Load(name string, data []byte, overrides ...string) (b *Broker, notes []string, err error) {
	b = Default()
	var errs []error
	seen := map[string]int{}
	for _, line := range logicalLines(string(data)) {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: %s", name, line.number, fmt.Sprintf(format, args...)))
		}
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		props, err := loader.LoadBytes([]byte(line.text))
		if err != nil {
			fail("%v", err)
			continue
		}
		for _, key := range props.Keys() {
			value := strings.TrimSpace(props.GetString(key, ""))
			if first, dup := seen[key]; dup {
				fail("%s is given twice; the first is in line %d", key, first)
				continue
			}
			seen[key] = line.number
			note, err := b.put(key, value)
			if err != nil {
				fail("%v", err)
			}
			if note != "" {
				notes = append(notes, fmt.Sprintf("%s:%d: %s", name, line.number, note))
			}
		}
	}
	for _, text := range overrides {
		note, err := b.override(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--override %s: %w", text, err))
		}
		if note != "" {
			notes = append(notes, "--override: "+note)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, b.complete(name, seen)...)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return b, notes, nil
}

// Override puts one "key=value" over what the file said, as a command line does.
func (b *Broker) Override(text string) error {
	_, err := b.override(text)
	return err
}

func (b *Broker) override(text string) (note string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return "", fmt.Errorf("write key=value")
	}
	return b.put(strings.TrimSpace(key), strings.TrimSpace(value))
}

func (b *Broker) put(key, value string) (note string, err error) {
	b.explicit[key] = value
	for _, k := range brokerKeys {
		if k.Name == key {
			if why, ok := inert[key]; ok {
				note = key + " has no effect: " + why
			}
			return note, wrapKey(key, k.parse(b, value))
		}
	}
	for _, k := range topicKeys {
		if k.Broker == key {
			if why, ok := inert[key]; ok {
				note = key + " has no effect: " + why
			}
			return note, wrapKey(key, k.parse(&b.Topic, value))
		}
	}
	if scale, ms, ok := hoursOrMinutes(key); ok {
		return "", wrapKey(key, b.setScaled(ms, scale, value))
	}
	if key == "log.dir" {
		return "", wrapKey(key, setLogDirs(b, value))
	}
	if why, ok := inert[key]; ok {
		return key + " has no effect: " + why, demand(key, value)
	}
	if why, ok := refusal(key); ok {
		return "", fmt.Errorf("%s is not supported: %s", key, why)
	}
	// DEVIATION(AbstractConfig): Kafka passes over it, with a warning.
	if near := nearest(key); near != "" {
		return "", fmt.Errorf("unknown key %s; did you mean %s?", key, near)
	}
	return "", fmt.Errorf("unknown key %s", key)
}

func wrapKey(key string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func hoursOrMinutes(key string) (scale int64, ms string, ok bool) {
	switch key {
	case "log.retention.hours":
		return 3600_000, "retention.ms", true
	case "log.retention.minutes":
		return 60_000, "retention.ms", true
	case "log.roll.hours":
		return 3600_000, "segment.ms", true
	case "log.roll.jitter.hours":
		return 3600_000, "segment.jitter.ms", true
	}
	return 0, "", false
}

func (b *Broker) setScaled(topicKey string, scale int64, value string) error {
	v, err := parseInt(value, -1, 1<<40)
	if err != nil {
		return err
	}
	if v > 0 {
		v *= scale
	}
	k, _ := TopicKey(topicKey)
	return k.set(&b.Topic, fmt.Sprint(v))
}

// complete checks what no single key can tell.
func (b *Broker) complete(name string, seen map[string]int) []error {
	var errs []error
	at := func(keys ...string) string { // where the last of them is given
		line := 0
		for _, key := range keys {
			line = max(line, seen[key])
		}
		if line == 0 {
			return name
		}
		return fmt.Sprintf("%s:%d", name, line)
	}
	if b.BrokerID < 0 && !b.BrokerIDGeneration {
		errs = append(errs, fmt.Errorf("%s: broker.id is missing; give each broker of the cluster its own, or set broker.id.generation.enable=true",
			at("broker.id", "broker.id.generation.enable")))
	}
	if b.BrokerIDGeneration && b.BrokerID > b.ReservedBrokerIDMax {
		errs = append(errs, fmt.Errorf("%s: broker.id is %d, more than reserved.broker.max.id, %d; set broker.id.generation.enable=false",
			at("broker.id", "reserved.broker.max.id", "broker.id.generation.enable"), b.BrokerID, b.ReservedBrokerIDMax))
	}
	if len(b.ZookeeperConnect) == 0 {
		errs = append(errs, fmt.Errorf("%s: zookeeper.connect is missing; write host:port", name))
	}
	if b.ReplicaFetchWaitMax > b.ReplicaLagTimeMax {
		errs = append(errs, fmt.Errorf("%s: replica.fetch.wait.max.ms must not be more than replica.lag.time.max.ms, or followers flap",
			at("replica.fetch.wait.max.ms", "replica.lag.time.max.ms")))
	}
	if b.ReplicaFetchWaitMax > b.ReplicaSocketTimeout {
		errs = append(errs, fmt.Errorf("%s: replica.socket.timeout.ms must not be less than replica.fetch.wait.max.ms, or fetches that wait fail",
			at("replica.socket.timeout.ms", "replica.fetch.wait.max.ms")))
	}
	if err := b.connectionsConflict(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", at("max.connections.per.ip", "max.connections.per.ip.overrides"), err))
	}
	if err := b.Topic.conflict(); err != nil {
		errs = append(errs, fmt.Errorf("%s: log.cleaner.%w", at("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"), err))
	}
	if host, _, err := SplitHostPort(b.ListenAddr); err == nil && anyHost(host) && b.AdvertisedHost == "" {
		errs = append(errs, fmt.Errorf("%s: listeners is %s, to which nobody can connect; set advertised.listeners", at("listeners"), host))
	}
	return errs
}

// connectionsConflict refuses a broker to which nobody may connect (KafkaConfig#validateValues).
func (b *Broker) connectionsConflict() error {
	if b.ConnectionsPerAddressMax == 0 && len(b.AddressOverrides()) == 0 {
		return fmt.Errorf("max.connections.per.ip can be 0 only if max.connections.per.ip.overrides says who may connect")
	}
	return nil
}

type logicalLine struct {
	number int // of its first line, from 1
	text   string
}

// logicalLines joins the lines that end in an odd number of backslashes with those that follow.
func logicalLines(data string) []logicalLine {
	var lines []logicalLine
	open := false
	number := 0
	for raw := range strings.SplitSeq(data, "\n") {
		number++
		raw = strings.TrimSuffix(raw, "\r")
		if open {
			last := &lines[len(lines)-1]
			last.text += "\n" + raw
		} else {
			lines = append(lines, logicalLine{number, raw})
		}
		trimmed := strings.TrimLeft(raw, " \t\f")
		comment := !open && (strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "!"))
		slashes := len(raw) - len(strings.TrimRight(raw, `\`))
		open = !comment && slashes%2 == 1
	}
	return lines
}

// nearest finds the known key that differs from key by the fewest letters, if by few.
func nearest(key string) string {
	var names []string
	for _, k := range brokerKeys {
		names = append(names, k.Name)
	}
	for _, k := range topicKeys {
		names = append(names, k.Broker)
	}
	for name := range inert { // unordered: sorted below
		names = append(names, name)
	}
	sort.Strings(names)
	best, bestDistance := "", 4
	for _, n := range names {
		if d := distance(key, n); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
