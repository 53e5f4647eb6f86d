package log_test

import (
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
)

// handles is a file system that counts the files that are open.
type handles struct {
	env.Env
	open *int
}

func (c handles) Open(name string, mode env.OpenMode) (env.File, error) {
	f, err := c.Env.Open(name, mode)
	if err != nil {
		return nil, err
	}
	*c.open++
	return handle{f, c.open}, nil
}

type handle struct {
	env.File
	open *int
}

func (c handle) Close() error {
	err := c.File.Close()
	if err == nil {
		*c.open--
	}
	return err
}

// Goal: a start that fails leaves no file open and no directory locked. Method: a log that is in two directories, which nobody can decide, beside others that open; a
// file system that counts.
func TestFailedOpenClosesTheLogs(t *testing.T) {
	run(t, func(e env.Env) {
		for _, dir := range []string{"/data/a", "/data/b"} {
			m := manager(t, e, brokerConfig(dir))
			for n := range int32(3) {
				create(t, m, topic(dir[6:], n), 20)
			}
			create(t, m, topic("both", 0), 20)
			if err := m.Shutdown(true); err != nil {
				t.Fatal(err)
			}
		}
		open := 0
		if m, err := log.OpenManager(handles{e, &open}, brokerConfig("/data/a", "/data/b")); err == nil || m != nil {
			t.Fatalf("opened: %v", err)
		}
		if open != 0 {
			t.Errorf("%d files are open", open)
		}
		m := manager(t, handles{e, &open}, brokerConfig("/data/a"))
		if open == 0 || len(m.List()) != 4 {
			t.Errorf("%d files are open, of %v", open, m.List())
		}
		if err := m.Shutdown(true); err != nil || open != 0 {
			t.Errorf("shut down: %v, %d files are open", err, open)
		}
	})
}
