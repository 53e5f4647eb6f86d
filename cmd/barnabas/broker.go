package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barnabas/broker"
	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/osenv/gozk"
	zkserver "barnabas/broker/zookeeper/server"
)

func brokerCommand() *cobra.Command {
	var file, level, bugs string
	var overrides []string
	var trial hookFlags
	cmd := &cobra.Command{
		Use:   "broker --config server.properties",
		Short: "Run a broker",
		Long: `Run one broker on real sockets and files, with the configuration of Apache Kafka 3.9 in ZooKeeper mode. It logs to
standard error. SIGTERM or SIGINT hands its leaderships over and stops it cleanly; a second signal stops it at once.`,
		Example: "  barnabas broker --config server.properties --override log.flush.interval.messages=1",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(file, overrides)
			if err != nil {
				return err
			}
			if cfg.Bugs, err = bug.Parse(bugs); err != nil {
				return usage("--bug: %w", err)
			}
			hook, err := trial.hook()
			if err != nil {
				return err
			}
			name := "broker"
			if cfg.BrokerID >= 0 {
				name = fmt.Sprintf("broker-%d", cfg.BrokerID)
			}
			e, err := realEnv(name, level, trial.bind, hook)
			if err != nil {
				return err
			}
			o := broker.Options{Env: e, Config: cfg, OpenSession: gozk.Open, ConnectTimeout: cfg.ConnectTimeout()}
			if hook != nil {
				o.ControllerEnv = holds(hook, e)
			}
			if err := trial.serve(hook); err != nil {
				return err
			}
			b := broker.New(o)
			onSignal(b.Stop)
			go func() {
				for !b.Ready() {
					time.Sleep(50 * time.Millisecond)
				}
				time.Sleep(time.Second) // what a start leaves to do
				releaseStartup()
			}()
			return b.Run()
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "server.properties (needed)")
	cmd.Flags().StringArrayVar(&overrides, "override", nil, "KEY=VALUE over what the file says; may be repeated")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().StringVar(&bugs, "bug", "", "switch on these bugs of the zoo")
	cmd.Flags().MarkHidden("bug")
	trial.add(cmd.Flags())
	return cmd
}

func loadConfig(file string, overrides []string) (*config.Broker, error) {
	if file == "" {
		return nil, usage("--config is needed: a server.properties")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("%w", err)
	}
	cfg, notes, err := config.Load(file, data, overrides...)
	if err != nil {
		return nil, usage("%w", err)
	}
	for _, note := range notes {
		say("%s", note)
	}
	return cfg, nil
}

func zookeeperCommand() *cobra.Command {
	var addr, dir, level string
	var tick time.Duration
	var trial hookFlags
	cmd := &cobra.Command{
		Use:   "zookeeper",
		Short: "Run the embedded ZooKeeper",
		Long: `Run one ZooKeeper server that speaks ZooKeeper's own protocol: zkCli.sh, the Java client and go-zookeeper talk to it.
Every write is synced before it is answered; sessions and their ephemeral nodes survive a restart.`,
		Example: "  barnabas zookeeper --listen 127.0.0.1:2181 --data /var/lib/barnabas-zookeeper",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return usage("--data is needed: a directory")
			}
			if tick < time.Millisecond || tick > time.Hour {
				return usage("--tick %s: from 1ms to 1h", tick)
			}
			if _, _, err := config.SplitHostPort(addr); err != nil {
				return usage("--listen %w", err)
			}
			hook, err := trial.hook()
			if err != nil {
				return err
			}
			e, err := realEnv("zookeeper", level, trial.bind, hook)
			if err != nil {
				return err
			}
			var running atomic.Pointer[zkserver.Server]
			if hook != nil {
				expires(hook, &running)
			}
			if err := trial.serve(hook); err != nil {
				return err
			}
			if err := e.MkdirAll(dir); err != nil {
				return err
			}
			s, err := zkserver.New(e, zkserver.Config{Addr: addr, DataDir: dir, TickMs: int32(tick.Milliseconds())})
			if err != nil {
				return err
			}
			running.Store(s)
			say("zookeeper listens on %s", s.Addr())
			onSignal(s.Close)
			return s.Run()
		},
	}
	cmd.Flags().StringVar(&addr, "listen", "127.0.0.1:2181", "host:port; port 0 picks a free one")
	cmd.Flags().StringVar(&dir, "data", "", "directory for its log and snapshots (needed)")
	cmd.Flags().DurationVar(&tick, "tick", 2*time.Second, "the tick; sessions last 2 to 20 ticks")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	trial.add(cmd.Flags())
	return cmd
}

// realEnv is the world of a process that logs to standard error; bind and hook may be zero.
func realEnv(name, level, bind string, hook *osenv.Hook) (*osenv.Env, error) {
	for l := env.Debug; l <= env.Error; l++ {
		if l.String() == level {
			return osenv.New(osenv.Options{Name: name, LogLevel: l, LogWriter: os.Stderr, Bind: bind, Hook: hook}), nil
		}
	}
	return nil, usage("--log-level %s: debug, info, warn or error", level)
}

// onSignal calls stop at the first SIGINT or SIGTERM and ends the process at the second.
func onSignal(stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		go stop()
		<-signals
		os.Exit(1)
	}()
}
