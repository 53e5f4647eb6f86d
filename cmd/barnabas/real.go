package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"barnabas/broker/osenv"
	"barnabas/broker/osenv/gozk"
	"barnabas/reports"
	"barnabas/scenarios"
)

// realFlags are the flags of run that only the real world knows.
type realFlags struct {
	brokers   int
	duration  time.Duration
	budget    time.Duration
	zkJar     string
	bootstrap string
	keep      bool
	level     string
}

// zookeeperTick makes sessions from 400 ms to 4 s possible, and their ends exact to 50 ms.
const zookeeperTick = 200 * time.Millisecond

// checkReal refuses what does not go together.
func (p *plan) checkReal() error {
	f := p.flags
	switch {
	case f.world != "sim" && f.world != "real":
		return usage("--world %s: sim or real", f.world)
	case f.real.bootstrap != "" && f.bugs != "":
		return usage("--bug needs brokers of our own; --bootstrap names somebody's")
	case f.real.bootstrap != "" && f.schedule != "":
		return usage("--schedule needs brokers of our own; nobody breaks those of --bootstrap")
	case f.real.bootstrap != "" && f.real.zkJar != "":
		return usage("--zookeeper-jar needs brokers of our own; --bootstrap names somebody's")
	case f.world == "sim" && f.real != (realFlags{level: f.real.level}):
		return usage("--brokers, --for, --budget, --zookeeper-jar and --keep are of the real world: add --world real")
	case f.world == "sim":
		return nil
	case f.twice:
		return usage("--twice compares hashes, which only the simulated world has")
	case f.real.brokers < 0 || f.real.brokers > 100:
		return usage("--brokers %d: from 1 to 100", f.real.brokers)
	case f.real.duration < 0 || f.real.budget < 0:
		return usage("--for and --budget are not below zero")
	}
	for addr := range strings.SplitSeq(f.real.bootstrap, ",") {
		if _, _, err := net.SplitHostPort(addr); err != nil && f.real.bootstrap != "" {
			return usage("--bootstrap %s: %w; write HOST:PORT[,HOST:PORT…]", f.real.bootstrap, err)
		}
	}
	if f.real.bootstrap == "" {
		dir, err := filepath.Abs(f.out)
		if err != nil {
			return err
		}
		if err := canHoldLogs("--out", dir); err != nil {
			return err
		}
	}
	if f.real.zkJar != "" {
		if _, err := os.Stat(f.real.zkJar); err != nil {
			return usage("--zookeeper-jar: %w (Debian's package zookeeper has /usr/share/java/zookeeper.jar)", err)
		}
		if _, err := exec.LookPath("java"); err != nil {
			return usage("--zookeeper-jar: %w", err)
		}
	}
	return nil
}

// reals runs one seed after the other in the real world.
type reals struct {
	*plan
	interrupted atomic.Bool
	binary      string // of the processes; "" for our own
	progress    *liveLine
}

func (p *plan) newReals() *reals {
	p.flags.jobs = 1 // one cluster at a time: they would measure each other
	r := &reals{plan: p, progress: newLiveLine(p.scenario.Name)}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		r.interrupted.Store(true)
		say("\ninterrupted: the cluster is stopped; once more to stop at once")
		<-signals
		os.Exit(1) // the processes die with us
	}()
	return r
}

// attempt is one run.
func (r *reals) attempt(seed uint64) *scenarios.Result {
	o := scenarios.RealOptions{Scenario: r.scenario, Seed: seed, Schedule: r.schedule, Bugs: r.bugs, Brokers: r.flags.real.brokers, For: r.flags.real.duration,
		OpenSession: gozk.Open, Topic: fmt.Sprintf("barnabas-%s-%d-%08x", r.scenario.Name, seed, rand.Uint32())}
	began := time.Now()
	fail := func(err error) *scenarios.Result {
		return &scenarios.Result{Report: &reports.Run{Scenario: r.scenario.Name, Summary: r.scenario.Summary, Seed: seed, World: "real", Converged: -1,
			Verdict: reports.Error, Reason: err.Error(), Wall: time.Since(began)}}
	}
	dir, err := filepath.Abs(filepath.Join(r.flags.out, (&reports.Run{Scenario: r.scenario.Name, Seed: seed, Bugs: r.bugs.String()}).ID()))
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "logs")), os.RemoveAll(filepath.Join(dir, "data")), os.MkdirAll(filepath.Join(dir, "logs"), 0o755)); err != nil {
		return fail(err)
	}
	hook := osenv.NewHook()
	bind := ""
	var p *procs
	if r.flags.real.bootstrap != "" {
		o.Bootstrap = strings.Split(r.flags.real.bootstrap, ",")
	} else {
		if p, err = r.cluster(dir, scenarios.RealBrokers(o)); err != nil {
			return fail(err)
		}
		o.Processes, hook, bind = p, p.clients, p.hosts[clientsHost]
	}
	log, err := os.Create(filepath.Join(dir, "logs", "run.txt"))
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	o.Env = osenv.New(osenv.Options{Name: "harness", LogWriter: log})
	clients := osenv.New(osenv.Options{Name: "clients", LogWriter: log, Seed: seed, Bind: bind, Hook: hook})
	o.NewLife = func() scenarios.Life { return clients.NewMortal() }
	budget := r.flags.real.budget
	if budget == 0 {
		budget = scenarios.RealBudget(o)
	}
	o.Interrupted = func() (string, reports.Verdict) {
		switch {
		case r.interrupted.Load():
			return "interrupted", reports.Error
		case time.Since(began) > budget:
			return fmt.Sprintf("the budget of %s is over", budget), reports.Liveness
		}
		return "", ""
	}
	var mu sync.Mutex
	o.Progress = func(at time.Duration, what string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(log, "%9.3fs %s\n", at.Seconds(), what)
		r.progress.show(at, what)
	}
	// The last resort, if the run itself hangs: what it has is lost, but it ends, and nothing of it is left behind.
	watchdog := time.AfterFunc(budget+30*time.Second, func() {
		if p != nil {
			p.close(false)
		}
		say("barnabas: the run did not end by its budget of %s; logs: %s", budget, filepath.Join(dir, "logs"))
		os.Exit(reports.Liveness.ExitCode())
	})
	defer watchdog.Stop()
	result := scenarios.RunReal(o)
	if p != nil {
		p.close(!r.interrupted.Load())
	}
	r.progress.end()
	clients.Flush()
	result.Report.Wall, result.Report.Commit = time.Since(began), commit()
	result.Report.Logs = logTails(filepath.Join(dir, "logs"))
	if p != nil && result.Report.Verdict == reports.Pass && !r.flags.real.keep {
		os.RemoveAll(filepath.Join(dir, "data"))
	}
	return result
}

const (
	logTailLines = 80
	logTailBytes = 64 << 10
)

// logTails are the ends of the logs in a directory.
func logTails(dir string) (tails []reports.LogTail) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			continue
		}
		data := make([]byte, min(info.Size(), logTailBytes))
		n, _ := f.ReadAt(data, info.Size()-int64(len(data)))
		f.Close()
		lines := strings.Split(strings.TrimSpace(string(data[:n])), "\n")
		tails = append(tails, reports.LogTail{Node: strings.TrimSuffix(filepath.Base(name), ".txt"), Lines: lines[max(0, len(lines)-logTailLines):]})
	}
	return tails
}

func (r *reals) cluster(dir string, brokers int) (*procs, error) {
	p, err := newProcs(dir, brokers)
	if err != nil {
		return nil, err
	}
	p.bugs, p.level, p.zkTick = r.flags.bugs, r.flags.real.level, zookeeperTick
	if r.binary != "" {
		p.binary = r.binary
	}
	if jar := r.flags.real.zkJar; jar != "" {
		p.zkJar = "/etc/zookeeper/conf:" + jar + ":" + filepath.Join(filepath.Dir(jar), "*")
	}
	return p, nil
}

// one runs one seed and writes its directory.
func (r *reals) one(seed uint64) *reports.Run {
	result := r.attempt(seed)
	report := result.Report
	if err := writeRun(filepath.Join(r.flags.out, report.ID()), result); err != nil {
		fmt.Fprintln(os.Stderr, "barnabas:", err)
	}
	return report
}

// liveLine shows on a terminal what goes on, and nothing elsewhere.
type liveLine struct {
	name  string
	shown bool
}

func newLiveLine(name string) *liveLine {
	if !isTerminal(os.Stderr) {
		return nil
	}
	return &liveLine{name: name}
}

func (s *liveLine) show(at time.Duration, what string) {
	if s != nil {
		s.shown = true
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s %5.1fs  %.100s", s.name, at.Seconds(), what)
	}
}

func (s *liveLine) end() {
	if s != nil && s.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
