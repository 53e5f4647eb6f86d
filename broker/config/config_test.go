package config

import (
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Goal: a server.properties as Kafka ships it is understood. Method: load one that uses every form.
func TestLoadUnderstandsKafkasFile(t *testing.T) {
	b, notes, err := Load("server.properties", []byte(`
# a comment
broker.id=3
listeners=PLAINTEXT://127.0.0.1:9093
num.network.threads=3
log.dirs=/var/a, /var/b
log.retention.hours=2
log.flush.interval.messages=1
zookeeper.connect=zk1:2181,zk2\
   ,zk3:99/kafka/
! another comment \
min.insync.replicas = 2
`))
	if err != nil {
		t.Fatal(err)
	}
	if b.BrokerID != 3 || b.ListenAddr != "127.0.0.1:9093" || !slices.Equal(b.LogDirs, []string{"/var/a", "/var/b"}) {
		t.Errorf("id %d listen %q dirs %q", b.BrokerID, b.ListenAddr, b.LogDirs)
	}
	if !slices.Equal(b.ZookeeperConnect, []string{"zk1:2181", "zk2:2181", "zk3:99"}) || b.ZookeeperChroot != "/kafka" {
		t.Errorf("zookeeper %q chroot %q", b.ZookeeperConnect, b.ZookeeperChroot)
	}
	if b.Topic.Retention != 2*time.Hour || b.Topic.FlushMessages != 1 || b.Topic.MinInsyncReplicas != 2 {
		t.Errorf("topic defaults %+v", b.Topic)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "server.properties:5: num.network.threads") {
		t.Errorf("notes %q", notes)
	}
	if _, given := b.Explicit("num.partitions"); given || !explicit(b, "broker.id") {
		t.Error("explicit keys are not told from defaults")
	}
}

// Goal: each kind of mistake names the file, the line and the reason.
func TestLoadNamesTheLineOfAMistake(t *testing.T) {
	const good = "broker.id=1\nzookeeper.connect=z:1\n"
	for _, c := range []struct{ text, want string }{
		{good + "num.partitons=3\n", "f:3: unknown key num.partitons; did you mean num.partitions?"},
		{good + "\nnum.partitions=many\n", `f:4: num.partitions: "many" is not a whole number`},
		{good + "num.partitions=0\n", "f:3: num.partitions: 0 is out of range"},
		{good + "broker.id=2\n", "f:3: broker.id is given twice; the first is in line 1"},
		{good + "listeners=SSL://a:1\n", "f:3: listeners: "},
		{good + "listeners=PLAINTEXT://a:70000\n", "the port must be"},
		{good + "log.cleanup.policy=shred\n", `f:3: log.cleanup.policy: "shred" is not one of`},
		{good + "auto.create.topics.enable=yes\n", "f:3: auto.create.topics.enable"},
		{good + "replica.lag.time.max.ms=100\n", "f:3: replica.fetch.wait.max.ms must not"},
		{"zookeeper.connect=z:1\nbroker.id.generation.enable=false\n", "f:2: broker.id is missing"},
		{"zookeeper.connect=z:1\nbroker.id=-1\nbroker.id.generation.enable=false\n", "f:3: broker.id is missing"},
		{"zookeeper.connect=z:1\nbroker.id=-2\n", "f:2: broker.id: -2 is out of range"},
		{"broker.id=1\n", "f: zookeeper.connect is missing"},
		{good + "a=\\u12\n", "f:3:"},
	} {
		_, _, err := Load("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

// Goal: every key's default text is what its value prints as, so that DescribeConfigs tells the truth.
func TestDefaultsRoundTrip(t *testing.T) {
	b := Default()
	for _, k := range BrokerKeys() {
		if got := k.Value(b); got != k.Default {
			t.Errorf("%s prints %q, default %q", k.Name, got, k.Default)
		}
	}
	for _, k := range TopicKeys() {
		if got := k.Value(&b.Topic); got != k.Default {
			t.Errorf("%s prints %q, default %q", k.Name, got, k.Default)
		}
	}
	if b.Topic.Flush != math.MaxInt64 {
		t.Errorf("flush.ms is %v", b.Topic.Flush)
	}
	if !slices.IsSortedFunc(BrokerKeys(), func(a, b *Key[Broker]) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("broker keys are not sorted")
	}
	if !slices.IsSortedFunc(TopicKeys(), func(a, b *Key[Topic]) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("topic keys are not sorted")
	}
}

// Goal: topic overrides change what they name and nothing else, and refuse what they do not know.
func TestTopicOverrides(t *testing.T) {
	base := DefaultTopic()
	got, err := base.WithOverrides(map[string]string{"min.insync.replicas": "2", "cleanup.policy": "compact"})
	if err != nil || got.MinInsyncReplicas != 2 || !got.CleanupPolicyCompact || got.CleanupPolicyDelete {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []map[string]string{{"min.insync.replicas": "0"}, {"min.insync": "1"}} {
		if got, err := base.WithOverrides(bad); err == nil || got != base {
			t.Errorf("%v accepted", bad)
		}
	}
}

// Goal: cleanup.policy may be empty, and is told as such; it may not have an empty word.
func TestCleanupPolicy(t *testing.T) {
	for value, want := range map[string]string{"": "", "  ": "", "delete": "delete", "compact , delete": "compact,delete", "delete,delete": "delete", ",": "!", "compact,": "!", "Compact": "!"} {
		b, _, err := Load("f", []byte("broker.id=1\nzookeeper.connect=z:1\nlog.cleanup.policy="+value+"\n"))
		switch {
		case want == "!":
			if err == nil {
				t.Errorf("%q is taken", value)
			}
		case err != nil || getCleanupPolicy(&b.Topic) != want:
			t.Errorf("%q: %v", value, err)
		}
	}
}

// Goal: no file makes Load panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("broker.id=1\nzookeeper.connect=z:1/a\nlisteners=PLAINTEXT://[::1]:0\n"))
	f.Add([]byte("a\\\n=\\u1\n!\\\n#\n  \t= =\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, _, err := Load("f", data)
		if (b == nil) == (err == nil) {
			t.Fatalf("broker %v error %v", b, err)
		}
	})
}

func explicit(b *Broker, name string) bool {
	_, ok := b.Explicit(name)
	return ok
}

// Goal: every key of Kafka 3.9 is known: it has an effect, or a note says why it has none, or an error why it is refused. Method: our
// tables against the keys that Kafka's definitions name (AbstractKafkaConfig.CONFIG_DEF, LogConfig), each given with a value that
// cannot be right: whatever is said must not be that the key is unknown. And our tables hold no key that Kafka has not.
func TestEveryKeyOfKafkaIsKnown(t *testing.T) {
	read := func(name string) []string {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
	brokers, topics := read("keys-broker-3.9.txt"), read("keys-topic-3.9.txt")
	if len(brokers) < 300 || len(topics) < 30 {
		t.Fatalf("%d and %d keys", len(brokers), len(topics))
	}
	for _, key := range brokers {
		note, err := Default().put(key, "")
		if err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Error(err)
		}
		_, isInert := inert[key]
		if _, isRefused := refusal(key); isInert && isRefused {
			t.Errorf("%s is inert and refused", key)
		}
		if isInert && note == "" && err == nil {
			t.Errorf("%s has no effect, and nothing says so", key)
		}
	}
	for _, key := range topics {
		if _, err := DefaultTopic().WithOverrides(map[string]string{key: "?"}); err == nil || strings.Contains(err.Error(), "unknown") {
			t.Errorf("topic config %s: %v", key, err)
		}
	}
	for key := range inert {
		if !slices.Contains(brokers, key) {
			t.Errorf("%s is inert, and Kafka has no such key", key)
		}
	}
	for _, k := range BrokerKeys() {
		if !slices.Contains(brokers, k.Name) && !strings.HasPrefix(k.Name, "barnabas.") {
			t.Errorf("Kafka has no key %s", k.Name)
		}
	}
}

// Goal: what a key cannot be, or keys together, is refused as by Kafka, overrides of the command line included; what has no effect says so.
func TestLoadJudgesTheWhole(t *testing.T) {
	const good = "broker.id=1\nzookeeper.connect=z:1\n"
	for _, c := range []struct{ text, want string }{
		{good + "log.dirs=/a,/a\n", "f:3: log.dirs: /a is given twice"},
		{good + "log.dirs=/a,/b,/x/../a/\n", "f:3: log.dirs: /x/../a/ is given twice, as /a before"},
		{good + "log.cleaner.min.compaction.lag.ms=2\nlog.cleaner.max.compaction.lag.ms=1\n", "f:4: log.cleaner.min.compaction.lag.ms is 2, more than"},
		{good + "replica.socket.timeout.ms=499\n", "f:3: replica.socket.timeout.ms must not"},
		{good + "advertised.listeners=PLAINTEXT://0.0.0.0:9092\n", "f:3: advertised.listeners: "},
		{good + "listeners=PLAINTEXT://0.0.0.0:9092\n", "f:3: listeners is 0.0.0.0"},
		{"broker.id=1\nzookeeper.connect=foo:bar\n", `f:2: zookeeper.connect: "foo:bar": the port must be`},
		{"broker.id=1\nzookeeper.connect=foo:1,:2/x\n", `f:2: zookeeper.connect: ":2" is not`},
		{good + "zookeeper.connection.timeout.ms=0\n", "f:3: zookeeper.connection.timeout.ms: 0 is out of range"},
		{good + "authorizer.class.name=a.B\n", "f:3: authorizer.class.name is not supported: there are no ACLs"},
		{good + "ssl.keystore.location=/k\n", "f:3: ssl.keystore.location is not supported: SSL"},
		{good + "listener.name.x.sasl.enabled.mechanisms=PLAIN\n", "is not supported: SASL and SSL"},
		{good + "process.roles=broker\n", "f:3: process.roles is not supported: it is for KRaft"},
		{good + "inter.broker.listener.name=INSIDE\n", `f:3: inter.broker.listener.name: "INSIDE"`},
		{good + "security.inter.broker.protocol=SSL\n", `f:3: security.inter.broker.protocol: "SSL"`},
		{good + "compression.gzip.level=10\n", "f:3: compression.gzip.level: 10 is out of range"},
		{"broker.id=1001\nzookeeper.connect=z:1\n", "f:1: broker.id is 1001, more than reserved.broker.max.id, 1000; set broker.id.gen"},
		{good + "reserved.broker.max.id=0\n", "f:3: broker.id is 1, more than reserved.broker.max.id, 0"},
		{good + "reserved.broker.max.id=-1\n", "f:3: reserved.broker.max.id: -1 is out of range"},
		{good + "compression.gzip.level=0\n", "f:3: compression.gzip.level: 0 is out of range"},
	} {
		_, _, err := Load("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
	for _, c := range []struct{ override, want string }{
		{"replica.socket.timeout.ms=1", "f: replica.socket.timeout.ms must not"},
		{"replica.lag.time.max.ms=100", "f: replica.fetch.wait.max.ms must not"},
		{"ssl.keystore.location=/k", "--override ssl.keystore.location=/k: ssl.keystore.location is not supported"},
		{"broker.id", "--override broker.id: write key=value"},
	} {
		if _, _, err := Load("f", []byte(good), c.override); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("--override %s: error %v, want %q", c.override, err, c.want)
		}
	}
	if _, _, err := Load("f", []byte(good+"replica.socket.timeout.ms=1\n"), "replica.fetch.wait.max.ms=1"); err != nil {
		t.Errorf("an override that mends the file: %v", err)
	}
	for _, text := range []string{"", "broker.id=-1\n", "broker.id=1000\n", "broker.id=1001\nbroker.id.generation.enable=false\n", "broker.id=1001\nreserved.broker.max.id=1001\n"} {
		if _, notes, err := Load("f", []byte("zookeeper.connect=z:1\n"+text)); err != nil || len(notes) != 0 {
			t.Errorf("%q: notes %q, error %v", text, notes, err)
		}
	}
	b, notes, err := Load("f", []byte(good+"listeners=PLAINTEXT://0.0.0.0:9092\nadvertised.listeners=PLAINTEXT://b:9092\nmetrics.num.samples=5\n"+
		"replica.fetch.min.bytes=7\nlog.roll.jitter.hours=2\nzookeeper.session.timeout.ms=4000\ncompression.zstd.level=9\n"), "metric.reporters=")
	if err != nil {
		t.Fatal(err)
	}
	if b.ReplicaFetchBytesMin != 7 || b.Topic.SegmentJitter != 2*time.Hour || b.ConnectTimeout() != 4*time.Second {
		t.Errorf("min bytes %d, jitter %v, connect %v", b.ReplicaFetchBytesMin, b.Topic.SegmentJitter, b.ConnectTimeout())
	}
	if len(notes) != 2 || b.Topic.ZstdLevel != 9 || b.Topic.GzipLevel != -1 || b.Topic.LZ4Level != 9 || !strings.Contains(notes[0], "f:5: metrics.num.samples has no effect") || !strings.Contains(notes[1], "--override: metric.reporters has no") {
		t.Errorf("notes %q", notes)
	}
	if b, _, err = Load("f", []byte("broker.id=1\nzookeeper.connect=[::1]\nzookeeper.connection.timeout.ms=9\n")); err != nil || b.ConnectTimeout() != 9*time.Millisecond || b.ZookeeperConnect[0] != "[::1]:2181" {
		t.Errorf("%v, %v", b, err)
	}
}

// Goal: bounds of connections are read, those of single addresses too, and what is nonsense is refused with the reason.
func TestConnectionBounds(t *testing.T) {
	const good = "broker.id=1\nzookeeper.connect=z:1\n"
	b, notes, err := Load("f", []byte(good+"max.connections=5\nmax.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:3, [::1]:4,::ffff:10.0.0.1:5\nmax.connection.creation.rate=7\n"))
	if err != nil || len(notes) > 0 {
		t.Fatalf("%v; notes %q", err, notes)
	}
	if want := map[string]int{"127.0.0.1": 3, "::1": 4, "10.0.0.1": 5}; !maps.Equal(b.AddressOverrides(), want) || b.ConnectionsMax != 5 || b.ConnectionsPerAddressMax != 0 || b.ConnectionRateMax != 7 {
		t.Errorf("%v, %d, %d, %d", b.AddressOverrides(), b.ConnectionsMax, b.ConnectionsPerAddressMax, b.ConnectionRateMax)
	}
	for text, want := range map[string]string{
		"max.connections.per.ip=0":                        "f:3: max.connections.per.ip can be 0 only if",
		"max.connections.per.ip.overrides=127.0.0.1":      `"127.0.0.1" is not address:connections`,
		"max.connections.per.ip.overrides=somewhere:3":    `"somewhere:3" is not address:connections`,
		"max.connections.per.ip.overrides=127.0.0.1:many": `"127.0.0.1:many"`,
		"max.connections.per.ip.overrides=127.0.0.1:-1":   `"127.0.0.1:-1"`,
		"max.connections=-1":                              "max.connections",
		"max.connection.creation.rate=a few":              "max.connection.creation.rate",
	} {
		if _, _, err := Load("f", []byte(good+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Goal: a topic's configs that contradict each other are refused when they are asked for, and taken where they are kept already.
func TestTopicConfigsThatConflict(t *testing.T) {
	bad := map[string]string{"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}
	if err := DefaultTopic().Validate(bad); err == nil || !strings.Contains(err.Error(), "min.compaction.lag.ms is 2") {
		t.Errorf("asked for: %v", err)
	}
	if _, err := DefaultTopic().WithOverrides(bad); err != nil {
		t.Errorf("kept: %v", err)
	}
	if err := DefaultTopic().Validate(map[string]string{"min.compaction.lag.ms": "2", "compression.lz4.level": "9"}); err != nil {
		t.Error(err)
	}
}
