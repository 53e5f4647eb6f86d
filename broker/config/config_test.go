package config

import (
	"math"
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
		{"zookeeper.connect=z:1\n", "f: broker.id is missing"},
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
