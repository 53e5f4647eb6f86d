// Goal: a log directory has one manager at a time, in both worlds, and the second touches nothing. Method: open a second one while the
// first lives, after it has stopped, and after a crash; the real world by osenv, for the links that the simulated one has not.
package log_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
)

func TestLogDirectoryHasOneManager(t *testing.T) {
	run(t, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		create(t, m, topic("t", 0), 3)
		for _, dirs := range [][]string{{"/data/a"}, {"/data/b", "/data/../data/a"}} {
			if _, err := log.OpenManager(e, brokerConfig(dirs...)); !errors.Is(err, env.ErrLocked) {
				t.Fatalf("a second manager of %v: %v, want ErrLocked", dirs, err)
			}
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		m = manager(t, e, brokerConfig("/data/b", "/data/a")) // whoever was refused holds nothing
		if l := m.Get(topic("t", 0)); l == nil || l.EndOffset() != 3 {
			t.Errorf("the log is %v", l)
		}
		if err := m.Shutdown(false); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLogDirectoryUnderTwoNames(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o755), os.Symlink("a", filepath.Join(dir, "b"))); err != nil {
		t.Fatal(err)
	}
	e := osenv.New(osenv.Options{})
	if _, err := log.OpenManager(e, brokerConfig(filepath.Join(dir, "a"), filepath.Join(dir, "b"))); !errors.Is(err, env.ErrLocked) {
		t.Fatalf("one directory twice: %v, want ErrLocked", err)
	}
	m, err := log.OpenManager(e, brokerConfig(filepath.Join(dir, "a")))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Shutdown(true); err != nil {
		t.Fatal(err)
	}
	again, err := log.OpenManager(e, brokerConfig(filepath.Join(dir, "b"))) // .lock lies there
	if err != nil || len(again.List()) != 0 {
		t.Fatalf("opened again: %v", err)
	}
	again.Shutdown(true)
}
