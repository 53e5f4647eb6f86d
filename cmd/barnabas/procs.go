package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"barnabas/broker/osenv"
	"barnabas/scenarios"
)

// procs are the processes of a cluster on trial (scenarios.Processes). Each has a loopback address of its own, by which
// hooks tell them apart. None outlives us: they get SIGKILL when the thread that started them dies, whatever kills it.
type procs struct {
	dir       string // of everything
	sockets   string // a short path: a socket's has 108 bytes at most
	binary    string // ours
	bugs      string
	level     string
	zkJar     string // class path of Apache ZooKeeper; "" for the embedded one
	zkTick    time.Duration
	clients   *osenv.Hook
	hosts     map[string]string
	addrs     map[string]string
	start     chan func() // to the thread that starts processes
	done      sync.WaitGroup
	mu        sync.Mutex
	live      map[string]*proc // the present or last life of each
	ended     bool
	panicName string
	panicText string
}

// proc is one life of a process.
type proc struct {
	cmd    *exec.Cmd
	state  scenarios.ProcessState
	killed bool
	gone   chan struct{}
	logAt  int64 // where its log begins
}

const clientsHost = "clients"

// newProcs finds addresses for so many brokers.
func newProcs(dir string, brokers int) (*procs, error) {
	p := &procs{dir: dir, level: "info", clients: osenv.NewHook(), hosts: map[string]string{}, addrs: map[string]string{}, live: map[string]*proc{}, start: make(chan func())}
	var err error
	if p.binary, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.sockets, err = os.MkdirTemp("", "barnabas-"); err != nil {
		return nil, err
	}
	network := fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(256))
	names := []string{"zk"}
	for i := range brokers {
		names = append(names, fmt.Sprintf("b%d", i+1))
	}
	p.hosts[clientsHost] = network + ".251"
	for i, name := range names {
		p.hosts[name] = fmt.Sprintf("%s.%d", network, i+1)
		port, err := quietPort(p.hosts[name])
		if err != nil {
			return nil, err
		}
		p.addrs[name] = net.JoinHostPort(p.hosts[name], fmt.Sprint(port))
	}
	go func() {
		runtime.LockOSThread() // for ever: the processes die with this thread
		for f := range p.start {
			f()
		}
	}()
	return p, nil
}

// quietPort finds a port that is free at the host and is none of those that the system gives to dials.
func quietPort(host string) (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port))); err == nil {
			l.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port at %s: %w; the real world needs the loopback network 127.0.0.0/8", host, err)
}

// Configure writes the broker's server.properties.
func (p *procs) Configure(name, properties string) error {
	if err := os.MkdirAll(p.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p.config(name), []byte(properties), 0o644)
}

func (p *procs) config(name string) string { return filepath.Join(p.dir, "logs", name+".properties") }
func (p *procs) log(name string) string    { return filepath.Join(p.dir, "logs", name+".txt") }
func (p *procs) socket(name string) string { return filepath.Join(p.sockets, name) }

// Dir is the directory of the process's data.
func (p *procs) Dir(name string) string { return filepath.Join(p.dir, "data", name) }

// Host and Addr are where the process is.
func (p *procs) Host(name string) string { return p.hosts[name] }
func (p *procs) Addr(name string) string { return p.addrs[name] }

// Hooked tells whether the process obeys orders.
func (p *procs) Hooked(name string) bool { return name != "zk" || p.zkJar == "" }

// command is how to start the process.
func (p *procs) command(name, orders string) (*exec.Cmd, error) {
	if name == "zk" && p.zkJar != "" {
		cfg := filepath.Join(p.dir, "logs", "zoo.cfg")
		host, port, _ := net.SplitHostPort(p.addrs[name])
		text := fmt.Sprintf("tickTime=%d\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nadmin.enableServer=false\nmaxClientCnxns=0\n", p.zkTick.Milliseconds(), p.Dir(name), port, host)
		if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
			return nil, err
		}
		return exec.Command("java", "-Xmx256m", "-cp", p.zkJar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg), nil
	}
	args := []string{"--log-level", p.level, "--bind", p.hosts[name], "--control", p.socket(name), "--control-init", orders}
	if name == "zk" {
		return exec.Command(p.binary, append([]string{"zookeeper", "--listen", p.addrs[name], "--data", p.Dir(name), "--tick", p.zkTick.String()}, args...)...), nil
	}
	if p.bugs != "" {
		args = append(args, "--bug", p.bugs)
	}
	return exec.Command(p.binary, append([]string{"broker", "--config", p.config(name)}, args...)...), nil
}

// Start starts the process under these orders.
func (p *procs) Start(name string, orders []string) error {
	if err := errors.Join(os.MkdirAll(p.Dir(name), 0o755), os.MkdirAll(filepath.Join(p.dir, "logs"), 0o755)); err != nil {
		return err
	}
	init := p.socket(name) + ".orders"
	if err := os.WriteFile(init, []byte(strings.Join(orders, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	cmd, err := p.command(name, init)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.live[name]; p.ended || old != nil && (old.state == scenarios.ProcessRunning || old.state == scenarios.ProcessPaused) {
		return errors.New("it is up")
	}
	os.Remove(p.socket(name)) // a life that was killed leaves it
	log, err := os.OpenFile(p.log(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	life := &proc{cmd: cmd, state: scenarios.ProcessRunning, gone: make(chan struct{})}
	if info, err := log.Stat(); err == nil {
		life.logAt = info.Size()
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	p.start <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return err
	}
	p.live[name] = life
	p.done.Add(1)
	go p.await(name, life)
	return nil
}

// await waits for the end of a life.
func (p *procs) await(name string, life *proc) {
	defer p.done.Done()
	life.cmd.Wait()
	text := p.panicIn(name, life)
	p.mu.Lock()
	life.state = scenarios.ProcessExited
	if life.killed {
		life.state = scenarios.ProcessDown
	}
	if text != "" && p.panicName == "" {
		p.panicName, p.panicText = name, text
	}
	p.mu.Unlock()
	close(life.gone)
}

// panicIn finds the panic in the log of a life, with its stack.
func (p *procs) panicIn(name string, life *proc) string {
	f, err := os.Open(p.log(name))
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < life.logAt {
		return ""
	}
	data := make([]byte, info.Size()-life.logAt)
	n, _ := f.ReadAt(data, life.logAt)
	data = append([]byte("\n"), data[:n]...)
	for _, mark := range []string{"\npanic: ", "\nfatal error: ", "\nWARNING: DATA RACE"} {
		if i := bytes.Index(data, []byte(mark)); i >= 0 {
			return string(data[i+1 : min(len(data), i+6000)])
		}
	}
	return ""
}

// Panicked names the first process that panicked.
func (p *procs) Panicked() (name, stack string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.panicName, p.panicText
}

// State is how the process is.
func (p *procs) State(name string) scenarios.ProcessState {
	p.mu.Lock()
	defer p.mu.Unlock()
	if life := p.live[name]; life != nil {
		return life.state
	}
	return scenarios.ProcessDown
}

// alive is the life of a process that has not ended; nil for none. mu is held.
func (p *procs) alive(name string) *proc {
	life := p.live[name]
	if life == nil || life.state == scenarios.ProcessDown || life.state == scenarios.ProcessExited {
		return nil
	}
	return life
}

// Kill ends the process by SIGKILL, which works on one that is stopped, too.
func (p *procs) Kill(name string) bool {
	p.mu.Lock()
	life := p.alive(name)
	if life == nil {
		p.mu.Unlock()
		return false
	}
	life.killed = true
	life.cmd.Process.Kill()
	p.mu.Unlock()
	<-life.gone
	return true
}

// Stop asks the process to end.
func (p *procs) Stop(name string) { p.signal(name, syscall.SIGTERM, 0) }

// Pause and Resume are SIGSTOP and SIGCONT.
func (p *procs) Pause(name string) bool {
	return p.signal(name, syscall.SIGSTOP, scenarios.ProcessPaused)
}
func (p *procs) Resume(name string) bool {
	return p.signal(name, syscall.SIGCONT, scenarios.ProcessRunning)
}

func (p *procs) signal(name string, s syscall.Signal, then scenarios.ProcessState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	life := p.alive(name)
	if life == nil || life.cmd.Process.Signal(s) != nil {
		return false
	}
	if then != scenarios.ProcessDown {
		life.state = then
	}
	return true
}

const (
	orderTimeout = time.Second
	orderTries   = 5 * time.Second // a process that has just started does not listen at once
)

// Order gives a line to the hook of a process or of the clients.
func (p *procs) Order(name, line string) (string, error) {
	if name == clientsHost {
		return p.clients.Obey(line)
	}
	for deadline := time.Now().Add(orderTries); ; time.Sleep(5 * time.Millisecond) {
		words, err := osenv.Order(p.socket(name), line, orderTimeout)
		starting := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
		if !starting || p.State(name) != scenarios.ProcessRunning || time.Now().After(deadline) {
			return words, err
		}
	}
}

// Wipe empties the directory of a process that does not live.
func (p *procs) Wipe(name string) error {
	if s := p.State(name); s == scenarios.ProcessRunning || s == scenarios.ProcessPaused {
		return fmt.Errorf("%s is up", name)
	}
	return errors.Join(os.RemoveAll(p.Dir(name)), os.MkdirAll(p.Dir(name), 0o755))
}

// stopMax is how long processes have to end when they are asked to.
const stopMax = 5 * time.Second

// close ends every process: brokers first, politely if polite; then by force. Nothing starts afterwards.
func (p *procs) close(polite bool) {
	p.mu.Lock()
	p.ended = true
	var names []string
	for name := range p.live {
		names = append(names, name)
	}
	p.mu.Unlock()
	if polite {
		for _, name := range names {
			if name != "zk" {
				p.Resume(name)
				p.Stop(name)
			}
		}
		deadline := time.After(stopMax)
		for _, name := range names {
			p.mu.Lock()
			life := p.live[name]
			p.mu.Unlock()
			if name == "zk" {
				continue
			}
			select {
			case <-life.gone:
			case <-deadline:
			}
		}
	}
	for _, name := range names {
		p.Kill(name)
	}
	p.done.Wait()
	os.RemoveAll(p.sockets)
}
