package scenarios

import (
	"fmt"
	"slices"
	"time"

	"barnabas/broker"
	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/reports"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

const (
	zkName     = "zk"
	zkAddr     = "zk:2181"
	brokerPort = 9092
	dataDir    = "/data"
)

// simCluster is the cluster under trial: one ZooKeeper and some brokers in a simulated world.
type simCluster struct {
	w       *cluster.World
	plan    *Plan
	bugs    bug.Set
	zk      *zkserver.Server // of its present life, nil while it is down
	brokers []*brokerNode
	nodes   []reports.NodeChange
	// failedSyncs is how many syncs had failed on each broker's disk when its machine was rebooted for it.
	failedSyncs map[string]int64
	// zooKeeperUp is told of each new life of ZooKeeper.
	zooKeeperUp func()
	displaced   func()  // a disk's bytes will be others than were written
	beyond      func()  // more will be destroyed than Kafka promises to bear
	errs        []error // what the harness itself could not do, and what ZooKeeper could not recover from
}

// brokerNode is one broker's machine.
type brokerNode struct {
	id      int32
	name    string
	life    int
	broker  *broker.Broker // of the present life
	env     env.Env        // of the present life
	stopped error          // why the last life ended by itself
}

func newSimCluster(w *cluster.World, p *Plan, bugs bug.Set) *simCluster {
	c := &simCluster{w: w, plan: p, bugs: bugs, failedSyncs: map[string]int64{}}
	w.AddNode(zkName, c.runZooKeeper)
	for i := range p.Brokers {
		n := &brokerNode{id: int32(i + 1), name: fmt.Sprintf("b%d", i+1)}
		c.brokers = append(c.brokers, n)
		w.AddNode(n.name, func(e env.Env) { c.runBroker(n, e) })
	}
	return c
}

func (c *simCluster) bootstrap() []string {
	var addrs []string
	for _, n := range c.brokers {
		addrs = append(addrs, fmt.Sprintf("%s:%d", n.name, brokerPort))
	}
	return addrs
}

// start starts ZooKeeper and all brokers at once.
func (c *simCluster) start() {
	c.startNode(zkName)
	for _, n := range c.brokers {
		c.startNode(n.name)
	}
}

func (c *simCluster) startNode(name string) {
	// A machine on which a sync has failed is rebooted before its broker starts again, where every append is to be synced: to the
	// kernel what it could not write counts as clean, no later sync would write it, and the broker would take it for durable.
	if c.plan.SyncEveryAppend && c.brokerNamed(name) {
		if n := c.w.Disk(name).Fired().Fail[disk.OpSync]; n > c.failedSyncs[name] {
			c.failedSyncs[name] = n
			c.w.PowerLoss(name, disk.KeepRandom)
		}
	}
	c.w.Start(name)
	c.note(name, "up")
}

func (c *simCluster) brokerNamed(name string) bool {
	return slices.ContainsFunc(c.brokers, func(n *brokerNode) bool { return n.name == name })
}

func (c *simCluster) note(name, state string) {
	c.nodes = append(c.nodes, reports.NodeChange{At: time.Duration(c.w.Now()), Node: name, State: state})
}

// zkTick makes sessions of two seconds possible.
const zkTick = 500

func (c *simCluster) runZooKeeper(e env.Env) {
	c.zk = nil
	s, err := zkserver.New(e, zkserver.Config{Addr: zkAddr, DataDir: dataDir, TickMs: zkTick})
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("embedded ZooKeeper: %w", err))
		return
	}
	c.zk = s
	if c.zooKeeperUp != nil {
		c.zooKeeperUp()
	}
	s.Run()
	c.zk = nil
	c.note(zkName, "down")
}

func (c *simCluster) runBroker(n *brokerNode, e env.Env) {
	n.broker = nil            // of the life before, whose memory is gone and whose disk may be another by now
	n.life = c.w.Life(n.name) // not one more: a life may end before its first step
	n.env = e
	n.broker = broker.New(broker.Options{Env: e, Config: c.config(n.id), OpenSession: c.openSession, ControllerEnv: c.holdBack(e),
		ChannelEnv: c.late(e, c.plan.AlterDelayMax, "channel-delay")})
	n.stopped = n.broker.Run()
	c.note(n.name, "down")
}

// openSession is zkclient.Open, but what ZooKeeper tells may come late: not by so much that the session ends, as nobody has planned
// for that.
func (c *simCluster) openSession(e env.Env, servers []string, timeoutMs int32, deadline env.Instant) (zookeeper.Session, error) {
	late := min(c.plan.WatchDelayMax, time.Duration(timeoutMs)*time.Millisecond/4)
	return zkclient.Open(c.late(e, late, "watch-delay"), servers, timeoutMs, deadline)
}

// config is the broker's configuration in this cluster.
func (c *simCluster) config(id int32) *config.Broker {
	cfg := c.plan.config(id, fmt.Sprintf("b%d:%d", id, brokerPort), zkAddr, c.plan.logDirs())
	cfg.Bugs = c.bugs
	return cfg
}

// config is a broker's configuration: quick reactions, so that much happens in little time, and what the plan says.
func (p *Plan) config(id int32, listen, zooKeeper string, logDirs []string) *config.Broker {
	cfg := config.Default()
	cfg.BrokerID = id
	cfg.ListenAddr = listen
	cfg.LogDirs = logDirs
	cfg.ZookeeperConnect = []string{zooKeeper}
	cfg.DefaultReplicationFactor = p.Replicas
	cfg.NumPartitions = p.Partitions
	cfg.AutoCreateTopics = false
	cfg.ReplicaFetchBackoff = 200 * time.Millisecond
	cfg.ReplicaSocketTimeout = 2 * time.Second
	cfg.ControllerSocketTimeout = 2 * time.Second
	cfg.ControlledShutdownRetryBackoff = 500 * time.Millisecond
	cfg.Topic.FileDeleteDelay = time.Second
	cfg.Topic.MinInsyncReplicas = p.MinInsync
	if p.SyncEveryAppend {
		cfg.Topic.FlushMessages = 1
	}
	for _, configure := range p.Configure {
		configure(cfg)
	}
	if p.Racks > 0 {
		cfg.Rack = fmt.Sprintf("r%d", int(id)%p.Racks)
	}
	return cfg
}

// logDirs are each broker's log directories.
func (p *Plan) logDirs() []string {
	if p.LogDirs < 2 {
		return []string{dataDir}
	}
	var dirs []string
	for i := range p.LogDirs {
		dirs = append(dirs, fmt.Sprintf("%s/%d", dataDir, i+1))
	}
	return dirs
}

// node finds a broker by id.
func (c *simCluster) node(id int32) *brokerNode {
	if id >= 1 && int(id) <= len(c.brokers) {
		return c.brokers[id-1]
	}
	return nil
}

// up reports whether the node's process lives.
func (c *simCluster) up(name string) bool {
	s := c.w.Status(name)
	return s == cluster.Running || s == cluster.Paused
}
