package scenarios

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
)

// realCluster is the cluster on trial, as processes: one ZooKeeper and some brokers.
type realCluster struct {
	r *realRun
	p Processes
}

func newRealCluster(r *realRun) *realCluster { return &realCluster{r: r, p: r.o.Processes} }

// clientsName is what the clients are called among nodes.
const clientsName = "clients"

func brokerName(id int32) string { return fmt.Sprintf("b%d", id) }

func (c *realCluster) brokerNames() []string {
	var names []string
	for id := range c.r.plan.Brokers {
		names = append(names, brokerName(int32(id+1)))
	}
	return names
}

func (c *realCluster) bootstrap() []string {
	var addrs []string
	for _, name := range c.brokerNames() {
		addrs = append(addrs, c.p.Addr(name))
	}
	return addrs
}

// start starts ZooKeeper and all brokers at once.
func (c *realCluster) start() error {
	for i, name := range c.brokerNames() {
		text := properties(c.r.plan.config(int32(i+1), c.p.Addr(name), c.p.Addr(zkName), c.logDirs(name)))
		if _, _, err := config.Load(name+".properties", []byte(text)); err != nil {
			return fmt.Errorf("this scenario asks for what no server.properties can say: %w", err)
		}
		text += "zookeeper.connection.timeout.ms=30000\n" // a fault may keep ZooKeeper away for longer than a session
		if err := c.p.Configure(name, text); err != nil {
			return err
		}
	}
	for _, name := range append([]string{zkName}, c.brokerNames()...) {
		if err := c.startNode(name); err != nil {
			return err
		}
	}
	return nil
}

// logDirs are a broker's log directories.
func (c *realCluster) logDirs(name string) []string {
	var dirs []string
	for _, dir := range c.r.plan.logDirs() {
		dirs = append(dirs, path.Join(c.p.Dir(name), dir))
	}
	return dirs
}

// startNode starts a process that does not live, under the faults that hold for it now.
func (c *realCluster) startNode(name string) error {
	var orders []string
	if c.r.world != nil {
		orders = c.r.world.orders(name)
	}
	if err := c.p.Start(name, orders); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.r.note(name, "up")
	if c.r.world != nil { // what changed between the look at the orders and the start
		c.r.e.Go("orders", func() { c.r.world.repeat(name) })
	}
	return nil
}

// startDead starts whatever does not live, as an operator would.
func (c *realCluster) startDead() {
	for _, name := range append([]string{zkName}, c.brokerNames()...) {
		if s := c.p.State(name); s == ProcessDown || s == ProcessExited {
			c.tryStart(name)
		}
	}
}

// tryStart starts a process; if it is up by then, or cannot be started, somebody else will see to it.
func (c *realCluster) tryStart(name string) {
	if err := c.startNode(name); err != nil {
		c.r.say("%v", err)
	}
}

// properties writes a configuration as a server.properties: every key that is not as by default.
func properties(cfg *config.Broker) string {
	var lines []string
	for _, k := range config.BrokerKeys() {
		if v := k.Value(cfg); v != k.Default {
			lines = append(lines, k.Name+"="+v)
		}
	}
	for _, k := range config.TopicKeys() {
		if v := k.Value(&cfg.Topic); v != k.Default && k.Broker != "" {
			lines = append(lines, k.Broker+"="+v)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// keepAlive starts again, a while after, what ended by itself.
func (r *realRun) keepAlive() {
	dead := map[string]int{}
	var tick func()
	tick = func() {
		for _, name := range append([]string{zkName}, r.c.brokerNames()...) {
			if r.c.p.State(name) != ProcessExited {
				dead[name] = 0
				continue
			}
			if dead[name]++; dead[name] > 1 { // once, it may be an operator's who is about to start it
				r.c.tryStart(name)
			}
		}
		r.timers.At(r.e.Mono().Add(restartPause), tick)
	}
	r.timers.At(r.e.Mono().Add(restartPause), tick)
}

// churn kills members of the group, now and then, and brings them back as new ones.
func (r *realRun) churn() {
	members := r.plan.Members + r.plan.Legacy
	if r.plan.Churn.Gap <= 0 || members == 0 {
		return
	}
	draw := r.e.Rand("churn")
	var kill func()
	kill = func() {
		if r.e.Mono() >= r.healAt.Add(-r.plan.Churn.Down) {
			return
		}
		name := fmt.Sprintf("m%d", 1+draw.IntN(members))
		r.mu.Lock()
		life := r.lives[name]
		delete(r.lives, name)
		r.mu.Unlock()
		if life != nil {
			life.Kill()
			r.timers.At(r.e.Mono().Add(r.plan.Churn.Down), func() { r.startClient(name) })
		}
		r.timers.At(r.e.Mono().Add(time.Duration((0.5+draw.Float64())*float64(r.plan.Churn.Gap))), kill)
	}
	r.timers.At(r.e.Mono().Add(time.Duration(draw.Float64()*float64(r.plan.Churn.Gap))), kill)
}

// What operators need (ground).

func (r *realRun) brokerIDs() []int32 {
	var ids []int32
	for id := range r.plan.Brokers {
		ids = append(ids, int32(id+1))
	}
	return ids
}

func (r *realRun) converged() string { return r.view.converged() }

func (r *realRun) serves(id int32) bool { return r.running(id) && r.view.registered(id) }

func (r *realRun) stopBroker(id int32) {
	name := brokerName(id)
	r.troubled(trouble{kind: shutDown, broker: id, from: r.e.Mono(), to: env.Never})
	r.c.p.Stop(name)
}

func (r *realRun) killBroker(id int32) {
	name := brokerName(id)
	r.killed(id)
	r.c.p.Kill(name)
	r.note(name, "down")
}

// killed notes that a broker is about to be killed: until ZooKeeper knows, its partitions have no leader.
func (r *realRun) killed(id int32) {
	r.troubled(trouble{kind: kill, broker: id, from: r.e.Mono(), to: r.e.Mono().Add(r.session() + 2*time.Second)})
}

func (r *realRun) session() time.Duration {
	return time.Duration(r.exampleConfig().ZookeeperSessionMs) * time.Millisecond
}

func (r *realRun) troubled(t trouble) {
	r.mu.Lock()
	r.troubles = append(r.troubles, t)
	r.mu.Unlock()
}

func (r *realRun) running(id int32) bool { return r.c.p.State(brokerName(id)) == ProcessRunning }

func (r *realRun) exited(id int32) bool {
	name := brokerName(id)
	if r.c.p.State(name) != ProcessExited {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.troubles {
		if t := &r.troubles[i]; t.kind == shutDown && t.broker == id && t.to == env.Never {
			t.to = r.e.Mono()
		}
	}
	return true
}

func (r *realRun) startBroker(id int32) { r.c.tryStart(brokerName(id)) }

func (r *realRun) succeeded() {
	r.mu.Lock()
	r.operated++
	r.mu.Unlock()
}

// operate starts the operators.
func (r *realRun) operate() {
	for i, do := range r.plan.Operators {
		name := fmt.Sprintf("op%d", i+1)
		r.mu.Lock()
		r.operators++
		r.mu.Unlock()
		r.e.Go(name, func() {
			defer func() {
				r.mu.Lock()
				r.operators--
				r.mu.Unlock()
			}()
			o := newOperator(r, r.plan, r.e, name, r.plan.Load.Bootstrap, r.healAt)
			defer o.conn.Close()
			do(o)
		})
	}
}

func (r *realRun) operatorsLeft() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.operators
}
