package broker_test

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"barnabas/broker"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// life is what came of one start of a broker.
type life struct {
	b   *broker.Broker
	cfg *config.Broker
	err error // why it ended, if it has
}

// lives is one ZooKeeper, and machines on which brokers are started with whatever configuration.
type lives struct {
	t     *testing.T
	w     *cluster.World
	files map[string]map[string]string // by machine, then path: what is put there before a start
}

func newLives(t *testing.T) *lives {
	l := &lives{t: t, w: cluster.New(cluster.Options{Seed: 1}), files: map[string]map[string]string{}}
	t.Cleanup(l.w.Close)
	l.w.AddNode("zk", func(e env.Env) {
		s, err := zkserver.New(e, zkserver.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 500})
		if err != nil {
			t.Error(err)
			return
		}
		s.Run()
	})
	l.w.Start("zk")
	return l
}

// start starts a broker on a machine, new or not, and waits until it serves or has ended.
func (l *lives) start(node string, settings ...string) *life {
	l.t.Helper()
	now := &life{cfg: config.Default()}
	for _, text := range append([]string{"listeners=PLAINTEXT://" + node + ":9092", "log.dirs=/data/1,/data/2", "zookeeper.connect=zk:2181",
		"zookeeper.session.timeout.ms=2000"}, settings...) {
		if err := now.cfg.Override(text); err != nil {
			l.t.Fatal(err)
		}
	}
	main := func(e env.Env) {
		for name, text := range l.files[node] {
			if err := e.MkdirAll(path.Dir(name)); err != nil {
				l.t.Error(err)
			}
			if err := env.ReplaceFile(e, name, []byte(text)); err != nil {
				l.t.Error(err)
			}
		}
		delete(l.files, node)
		now.b = broker.New(broker.Options{Env: e, Config: now.cfg, OpenSession: zkclient.Open})
		now.err = now.b.Run()
	}
	known := false
	for _, n := range l.w.Nodes() {
		known = known || n == node
	}
	if known {
		l.w.SetMain(node, main)
	} else {
		l.w.AddNode(node, main)
	}
	l.w.Start(node)
	l.until("broker on "+node, func() bool { return now.err != nil || now.b != nil && now.b.Ready() })
	return now
}

func (l *lives) until(what string, pred func() bool) {
	l.t.Helper()
	if r := l.w.RunUntil(func() bool { return len(l.w.Crashes()) > 0 || pred() }, l.w.Now().Add(time.Minute)); r != cluster.Satisfied || len(l.w.Crashes()) > 0 {
		l.t.Fatalf("waited a minute for %s: %s %v", what, r, l.w.Crashes())
	}
}

// stop stops the broker of a machine and waits until it has.
func (l *lives) stop(node string, b *broker.Broker) {
	l.t.Helper()
	l.on(fmt.Sprintf("stopper-%d", len(l.w.Nodes())), func(env.Env) { b.Stop() })
	l.until(node+" to stop", func() bool { return l.w.Status(node) != cluster.Running })
}

// on runs f on a machine of its own until it returns.
func (l *lives) on(node string, f func(e env.Env)) {
	l.t.Helper()
	done := false
	l.w.AddNode(node, func(e env.Env) { f(e); done = true })
	l.w.Start(node)
	l.until(node, func() bool { return done })
}

// Goal: a broker without broker.id is given one above reserved.broker.max.id that no other has, keeps it whatever becomes of its registration,
// takes it into a directory that is added, and still says that it was configured with none. Method: two such brokers and one with an id; a
// restart with one directory gone; the generated ids are looked for in /brokers/ids and at the wire.
func TestBrokerWithoutAnIDIsGivenOne(t *testing.T) {
	l := newLives(t)
	first := l.start("b1")
	l.start("b2", "broker.id=0")
	third := l.start("b3", "broker.id=-1", "reserved.broker.max.id=7000")
	if first.cfg.BrokerID != 1001 || third.cfg.BrokerID != 7002 {
		t.Fatalf("the brokers are %d and %d, want 1001 and 7002", first.cfg.BrokerID, third.cfg.BrokerID)
	}
	l.on("client", func(e env.Env) {
		session, err := zkclient.Open(e, []string{"zk:2181"}, 2000, e.Mono().Add(10*time.Second))
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close()
		brokers, err := zookeeper.NewStore(e, session, zookeeper.StoreOptions{SessionTimeout: 2 * time.Second}).Brokers(false)
		if err != nil || len(brokers) != 3 || brokers[1].ID != 1001 || brokers[2].ID != 7002 {
			t.Errorf("registered: %+v, %v", brokers, err)
		}
		c := client.New(e, client.Options{Bootstrap: []string{"b1:9092"}, ClientID: "client", DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
		defer c.Close()
		if err := c.Refresh(e.Mono().Add(5 * time.Second)); err != nil {
			t.Error(err)
			return
		}
		if d := described(t, c, 1001, "1001", "broker.id"); d.Value == nil || *d.Value != "-1" || d.Source != kmsg.ConfigSourceDefaultConfig {
			t.Errorf("broker.id is described as %+v, want -1 by default", d)
		}
	})
	l.stop("b1", first.b)
	again := l.start("b1", "log.dirs=/data/2,/data/3")
	if again.cfg.BrokerID != 1001 {
		t.Fatalf("after a restart the broker is %d, want 1001", again.cfg.BrokerID)
	}
	l.stop("b1", again.b)
	if again = l.start("b1", "log.dirs=/data/3", "broker.id.generation.enable=false", "broker.id=1001"); again.err != nil {
		t.Fatalf("with the same id configured: %v", again.err)
	}
}

// Goal: directories that name another broker than the configuration, or another than each other, keep a broker from starting, and nothing is
// written into those that name none. Method: meta.properties of every kind is put into one of three directories, or two.
func TestDirectoriesOfAnotherBrokerAreRefused(t *testing.T) {
	const of = "/meta.properties"
	for node, c := range map[string]struct {
		files    map[string]string
		settings []string
		want     string // in the error; "" for none
		id       int32
	}{
		"configured": {map[string]string{"/data/2" + of: "broker.id=7\nversion=0\n"}, []string{"broker.id=1"}, "/data/2 belongs to broker 7, this is 1", 0},
		"each-other": {map[string]string{"/data/1" + of: "version=0\nbroker.id=7\n", "/data/2" + of: "broker.id=8\nversion=0\n"}, nil,
			"/data/2 belongs to broker 8, /data/1 belongs to 7", 0},
		"found":      {map[string]string{"/data/2" + of: "broker.id=7\n"}, nil, "", 7}, // without a version it is 0
		"no-version": {map[string]string{"/data/2" + of: "broker.id=7\nversion=1\n"}, nil, `version="1"`, 0},
	} {
		l := newLives(t)
		l.files[node] = c.files
		now := l.start(node, c.settings...)
		if c.want == "" && (now.err != nil || now.cfg.BrokerID != c.id) {
			t.Errorf("%s: broker %d, %v", node, now.cfg.BrokerID, now.err)
		}
		if c.want != "" && (now.err == nil || !strings.Contains(now.err.Error(), c.want)) {
			t.Errorf("%s: ended with %v, which does not say %q", node, now.err, c.want)
		}
		if c.want == "" {
			continue
		}
		l.w.SetMain(node, func(e env.Env) {
			if _, err := e.Stat("/data/1" + of); (err == nil) != (c.files["/data/1"+of] != "") {
				t.Errorf("%s: meta.properties in the first directory: %v", node, err)
			}
		})
		l.w.Start(node)
		l.until(node, func() bool { return l.w.Status(node) != cluster.Running })
	}
}
