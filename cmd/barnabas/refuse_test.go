package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Goal: what a flag cannot be is an error of usage that names it, before anything is started. Method: where a server would go on for ever if the flag were taken, a
// second one that is looked at later is wrong, too.
func TestFlagsOfProcessesAreChecked(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"zookeeper --data " + dir + " --tick 0s --listen nowhere", "--tick 0s"},
		{"zookeeper --data " + dir + " --tick -2s --listen nowhere", "--tick -2s"},
		{"zookeeper --data " + dir + " --tick 2h --listen nowhere", "--tick 2h"},
		{"zookeeper --data " + dir + " --listen nowhere", "--listen"},
		{"zookeeper --data " + dir + " --listen 127.0.0.1:99999", "--listen"},
		{"zookeeper", "--data"},
		{"up --for -1s --topic : --dir " + dir, "--for -1s"},
		{"up --brokers 0 --topic : --dir " + dir, "--brokers 0"},
		{"broker", "--config"},
		{"broker --config " + dir + "/missing", "missing"},
		{"up --brokers 1 --port 0 --zookeeper-port 0 --for 1ms --dir " + dir + "/a,b", "log.dirs cannot hold a comma"},
	} {
		root := rootCommand()
		root.SetArgs(strings.Fields(c.args))
		root.SetOut(io.Discard)
		if err := root.Execute(); codeOf(err) != 2 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: exit code %d, %v", c.args, codeOf(err), err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Goal: a second 'up' on a directory is an error of usage that says so, changes nothing there, and the directory is free when the first has ended.
func TestUpTwiceOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	release, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(buildBinary(t), "up", "--brokers", "1", "--port", "0", "--zookeeper-port", "0", "--for", "1ms", "--dir", dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), dir+" is in use by another 'barnabas up'") {
		t.Errorf("the second: %v\n%s", err, out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the second left %v, %v", files, err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if release, err = lockDir(dir); err != nil {
		t.Fatalf("after the first: %v", err)
	}
	release()
}

// Goal: a broker process that reaches no ZooKeeper ends with exit code 1 within zookeeper.connection.timeout.ms, and says why. Method: a
// port that nobody listens on, and one that takes connections and never answers.
func TestBrokerWithoutZooKeeperEnds(t *testing.T) {
	binary := buildBinary(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, zookeeper := range []string{closed.Addr().String(), silent.Addr().String()} {
		dir := t.TempDir()
		file := filepath.Join(dir, "server.properties")
		text := "broker.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs=" + dir + "/logs\nzookeeper.connect=" + zookeeper +
			"\nzookeeper.session.timeout.ms=60000\nzookeeper.connection.timeout.ms=1500\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		cmd := exec.Command(binary, "broker", "--config", file)
		cmd.Stderr = &said
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		var exit *exec.ExitError
		if took := time.Since(began); !errors.As(err, &exit) || exit.ExitCode() != 1 || took < time.Second {
			t.Errorf("%s: %v after %s\n%s", zookeeper, err, took, said.String())
		}
		for _, want := range []string{"no ZooKeeper session with [" + zookeeper + "]", "zookeeper.connection.timeout.ms", "1.5s"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s: it does not say %q:\n%s", zookeeper, want, said.String())
			}
		}
	}
}
