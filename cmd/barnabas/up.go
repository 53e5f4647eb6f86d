package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/osenv"
)

// upFlags are the flags of up.
type upFlags struct {
	brokers   int
	dir       string
	host      string
	port      int
	zookeeper string
	zkPort    int
	overrides []string
	topics    []string
	restart   bool
	keepPorts bool
	duration  time.Duration
	level     string
	traceGC   bool
}

func upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a whole cluster on this machine",
		Long: `Run a cluster of real broker processes on this machine, with the embedded ZooKeeper or another. Each broker's
configuration and log are in DIR/broker-N. A broker that dies (try kill -9) comes back after a second. Interrupt, SIGTERM
or --for stops all of them cleanly; what they wrote stays in DIR.

Topics are created on first use with three partitions and as many replicas as there are brokers, at most three; min.insync.replicas is
one less than that, at least one. --override changes it, --topic creates topics with settings of their own.`,
		Example: `  barnabas up --brokers 3
  barnabas up --brokers 3 --topic orders:12:3 --override log.flush.interval.messages=1
  barnabas up --zookeeper 127.0.0.1:2181`,
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return up(f) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.brokers, "brokers", 3, "how many brokers")
	flags.StringVar(&f.dir, "dir", "", "directory for everything; by default a new one under the system's temporary directory")
	flags.StringVar(&f.host, "host", "127.0.0.1", "address to listen on")
	flags.IntVar(&f.port, "port", 9092, "port of the first broker, the others follow; 0 picks free ones")
	flags.StringVar(&f.zookeeper, "zookeeper", "", "host:port of a running ZooKeeper to use in place of the embedded one")
	flags.IntVar(&f.zkPort, "zookeeper-port", 2181, "port of the embedded ZooKeeper; 0 picks a free one")
	flags.StringArrayVar(&f.overrides, "override", nil, "KEY=VALUE for every broker's server.properties; may be repeated")
	flags.StringArrayVar(&f.topics, "topic", nil, "create NAME:PARTITIONS:REPLICAS once the cluster is up; may be repeated")
	flags.BoolVar(&f.restart, "restart", true, "bring a process back that has died")
	flags.BoolVar(&f.keepPorts, "keep-ports", true, "keep the brokers' sockets open: while one is away its clients wait instead of being refused")
	flags.DurationVar(&f.duration, "for", 0, "stop after this time; 0 runs until interrupted")
	flags.BoolVar(&f.traceGC, "gc-trace", false, "brokers write a line about each garbage collection to their log; 'barnabas bench' marks them in its plots")
	flags.StringVar(&f.level, "log-level", "info", "of the processes' log files: debug, info, warn or error")
	return cmd
}

// cluster is the processes of one up.
type cluster struct {
	flags     upFlags
	binary    string
	zookeeper string
	addrs     []string          // of the brokers
	sockets   map[string]socket // of the brokers, by name
	mu        sync.Mutex
	stopping  bool
	procs     map[string]*exec.Cmd
	done      sync.WaitGroup
	failed    chan error
	hold      map[string]chan struct{} // processes that come back when these close, and not after a second
}

// socket is a listening socket that is handed to a broker's processes.
type socket struct {
	file *os.File
	addr string
}

func up(f upFlags) error {
	if f.brokers < 1 || f.brokers > 100 {
		return usage("--brokers %d: from 1 to 100", f.brokers)
	}
	if f.duration < 0 {
		return usage("--for %s: a time from 0 on; 0 runs until interrupted", f.duration)
	}
	topics, err := parseTopics(f.topics)
	if err != nil {
		return err
	}
	c := &cluster{flags: f, procs: map[string]*exec.Cmd{}, sockets: map[string]socket{}, failed: make(chan error, f.brokers+1)}
	if c.binary, err = os.Executable(); err != nil {
		return err
	}
	if c.flags.dir == "" {
		if c.flags.dir, err = os.MkdirTemp("", "barnabas-"); err != nil {
			return err
		}
	}
	if c.flags.dir, err = filepath.Abs(c.flags.dir); err != nil {
		return err
	}
	if err := canHoldLogs("--dir", c.flags.dir); err != nil {
		return err
	}
	release, err := lockDir(c.flags.dir)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer c.stop()
	started := time.Now()
	if err := c.start(); err != nil {
		return err
	}
	if err := c.awaitReady(ctx, 30*time.Second); err != nil {
		return err
	}
	if err := c.createTopics(topics); err != nil {
		return err
	}
	fmt.Printf("ready in %.2f s\nbootstrap: %s\nzookeeper: %s\nfiles:     %s\n", time.Since(started).Seconds(), strings.Join(c.addrs, ","), c.zookeeper, c.flags.dir)
	c.mu.Lock()
	for _, name := range c.names() {
		if p := c.procs[name]; p != nil {
			fmt.Printf("process:   %-10s pid %d\n", name, p.Process.Pid)
		}
	}
	c.mu.Unlock()
	var timer <-chan time.Time
	if f.duration > 0 {
		timer = time.After(f.duration)
	}
	select {
	case <-ctx.Done():
	case <-timer:
	case err := <-c.failed:
		return err
	}
	say("stopping")
	return nil
}

// canHoldLogs refuses a directory whose path a broker's server.properties cannot name: log.dirs is a list, and the file's format knows escapes.
func canHoldLogs(flag, dir string) error {
	if strings.ContainsAny(dir, ",\\\r\n") || strings.TrimSpace(dir) != dir {
		return usage("%s %q: brokers cannot keep their logs there, since log.dirs cannot hold a comma, a backslash, a line break or a blank at the end; choose another directory", flag, dir)
	}
	return nil
}

// lockDir takes the directory of a cluster, made if it is missing, for this process alone, until release is called or the process ends.
func lockDir(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := osenv.New(osenv.Options{Name: "up"}).Lock(dir)
	if errors.Is(err, env.ErrLocked) {
		return nil, usage("--dir %s is in use by another 'barnabas up': stop that one, or choose another directory", dir)
	}
	if err != nil {
		return nil, err
	}
	return lock.Close, nil
}

func (c *cluster) names() []string {
	names := []string{"zookeeper"}
	for i := range c.flags.brokers {
		names = append(names, fmt.Sprintf("broker-%d", i+1))
	}
	return names
}

func (c *cluster) start() error {
	c.zookeeper = c.flags.zookeeper
	if c.zookeeper == "" {
		port, err := pickPort(c.flags.host, c.flags.zkPort)
		if err != nil {
			return err
		}
		c.zookeeper = net.JoinHostPort(c.flags.host, fmt.Sprint(port))
		dir := filepath.Join(c.flags.dir, "zookeeper")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := c.spawn("zookeeper", "zookeeper", "--listen", c.zookeeper, "--tick", "500ms", "--data", filepath.Join(dir, "data"), "--log-level", c.flags.level); err != nil {
			return err
		}
	}
	for i := range c.flags.brokers {
		id := i + 1
		port := c.flags.port
		if port != 0 {
			port += i
		}
		addr, err := c.reserve(id, port)
		if err != nil {
			return err
		}
		port = addr.Port
		c.addrs = append(c.addrs, net.JoinHostPort(c.flags.host, fmt.Sprint(port)))
		file, err := c.writeConfig(id, port)
		if err != nil {
			return err
		}
		args := []string{"broker", "--config", file, "--log-level", c.flags.level}
		for _, o := range c.flags.overrides {
			args = append(args, "--override", o)
		}
		if _, err := loadConfig(file, c.flags.overrides); err != nil {
			return err
		}
		if err := c.spawn(fmt.Sprintf("broker-%d", id), args...); err != nil {
			return err
		}
	}
	return nil
}

// pickPort checks that the port is free, or picks one for 0.
func pickPort(host string, port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return 0, fmt.Errorf("%w; --port and --zookeeper-port choose others, 0 picks free ones", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// reserve takes a broker's port, a free one for 0, and keeps its socket for every process of the broker to come.
func (c *cluster) reserve(id, port int) (*net.TCPAddr, error) {
	if !c.flags.keepPorts {
		port, err := pickPort(c.flags.host, port)
		return &net.TCPAddr{Port: port}, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(c.flags.host, fmt.Sprint(port)))
	if err != nil {
		return nil, fmt.Errorf("%w; --port chooses others, 0 picks free ones", err)
	}
	defer l.Close() // its file stays
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	c.sockets[fmt.Sprintf("broker-%d", id)] = socket{file, l.Addr().String()}
	return l.Addr().(*net.TCPAddr), nil
}

// writeConfig writes a broker's server.properties. A commit waits longer than the session of a broker that has died: only then does it leave the ISR.
func (c *cluster) writeConfig(id, port int) (string, error) {
	dir := filepath.Join(c.flags.dir, fmt.Sprintf("broker-%d", id))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	replicas := min(3, c.flags.brokers)
	text := fmt.Sprintf(`broker.id=%d
listeners=PLAINTEXT://%s
log.dirs=%s
zookeeper.connect=%s
zookeeper.session.timeout.ms=3000
zookeeper.connection.timeout.ms=18000
num.partitions=3
default.replication.factor=%d
min.insync.replicas=%d
offsets.topic.replication.factor=%d
offsets.commit.timeout.ms=10000
transaction.state.log.replication.factor=%d
transaction.state.log.min.isr=%d
group.initial.rebalance.delay.ms=0
`, id, net.JoinHostPort(c.flags.host, fmt.Sprint(port)), filepath.Join(dir, "logs"), c.zookeeper, replicas, max(1, replicas-1), replicas, replicas, max(1, replicas-1))
	file := filepath.Join(dir, "server.properties")
	return file, os.WriteFile(file, []byte(text), 0o644)
}

// spawn starts a process of our own binary and keeps it running. It dies with us, whatever happens to us.
func (c *cluster) spawn(name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(c.flags.dir, name, "log.txt"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	start := func() (*exec.Cmd, error) {
		p := exec.Command(c.binary, args...)
		p.Stdout, p.Stderr = log, log
		p.Env = os.Environ()
		if c.flags.traceGC {
			p.Env = append(p.Env, "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+",gctrace=1", ","))
		}
		if socket := c.sockets[name]; socket.file != nil {
			p.ExtraFiles = []*os.File{socket.file}
			p.Env = append(p.Env, osenv.InheritEnv+"="+socket.addr)
		}
		p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stopping {
			return nil, nil
		}
		if err := p.Start(); err != nil {
			return nil, err
		}
		c.procs[name] = p
		return p, nil
	}
	p, err := start()
	if err != nil {
		return err
	}
	c.done.Add(1)
	go func() {
		defer c.done.Done()
		defer log.Close()
		for p != nil {
			err := p.Wait()
			c.mu.Lock()
			stopping := c.stopping
			delete(c.procs, name)
			c.mu.Unlock()
			if stopping {
				return
			}
			why := "it ended by itself"
			if err != nil {
				why = err.Error()
			}
			if !c.flags.restart || p.ProcessState.ExitCode() == 2 {
				c.failed <- fmt.Errorf("%s: %s; its log is %s", name, why, log.Name())
				return
			}
			c.mu.Lock()
			held := c.hold[name]
			c.mu.Unlock()
			if held != nil {
				<-held
			} else {
				say("%s: %s; it comes back", name, why)
				time.Sleep(time.Second)
			}
			if p, err = start(); err != nil {
				c.failed <- err
				return
			}
			if p != nil {
				say("%s: pid %d", name, p.Process.Pid)
			}
		}
	}()
	return nil
}

// awaitReady waits until the first broker's metadata show all of them, and a controller.
func (c *cluster) awaitReady(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	e := osenv.New(osenv.Options{Name: "up"})
	for {
		missing := c.missing(e)
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return &exitError{code: 1, err: errors.New("interrupted before the cluster was ready")}
		case err := <-c.failed:
			return err
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %s: %s; the logs are in %s", within, missing, c.flags.dir)
		}
	}
}

// missing says what still is not there, or "".
func (c *cluster) missing(e *osenv.Env) string {
	for _, addr := range c.addrs {
		conn, err := client.Dial(e, addr, client.ConnOptions{ClientID: "up", DialTimeout: time.Second, RequestTimeout: time.Second})
		if err != nil {
			return err.Error()
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 9
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, err := conn.Do(req, time.Second)
		conn.Close()
		if err != nil {
			return err.Error()
		}
		m := resp.(*kmsg.MetadataResponse)
		if len(m.Brokers) < c.flags.brokers {
			return fmt.Sprintf("%s sees %d of %d brokers", addr, len(m.Brokers), c.flags.brokers)
		}
		if m.ControllerID < 0 {
			return addr + " sees no controller"
		}
	}
	return ""
}

// stop ends every process: politely, then not.
func (c *cluster) stop() {
	c.mu.Lock()
	c.stopping = true
	var brokers []*exec.Cmd
	for name, p := range c.procs {
		if name != "zookeeper" {
			brokers = append(brokers, p)
		}
	}
	zookeeper := c.procs["zookeeper"]
	c.mu.Unlock()
	for _, p := range brokers {
		p.Process.Signal(syscall.SIGTERM)
	}
	for range 100 {
		c.mu.Lock()
		left := len(c.procs)
		if c.procs["zookeeper"] != nil {
			left--
		}
		c.mu.Unlock()
		if left == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, p := range brokers {
		p.Process.Kill()
	}
	if zookeeper != nil {
		zookeeper.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(5*time.Second, func() { zookeeper.Process.Kill() })
		defer timer.Stop()
	}
	c.done.Wait()
}
