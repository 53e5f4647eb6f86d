package osenv

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"barnabas/broker/env"
)

var (
	evLead = env.NewKind("become-leader", env.Info, "epoch", "leo")
	evPoll = env.NewKind("poll", env.Debug)
	evBad  = env.NewKind("bad-frame", env.Warn)
)

// Goal: events become lines of the documented form, those below the level do not, and a peer's text cannot break one.
func TestEventsBecomeLines(t *testing.T) {
	var out strings.Builder
	e := New(Options{LogWriter: &out, LogLevel: env.Info, Name: "broker-1"})
	e.Emit(env.Event{Kind: evLead, Topic: "t", V: [4]int64{3, 17}})
	e.Emit(env.Event{Kind: evPoll})
	e.Emit(env.Event{Kind: evBad, Text: "10.0.0.1:5\n2026-11-21T10:00:00.123Z info forged"})
	e.Flush()
	const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `
	want := regexp.MustCompile(`^` + stamp + `info broker-1 become-leader t-0 epoch=3 leo=17\n` +
		stamp + `warn broker-1 bad-frame: "10\.0\.0\.1:5\\n2026[^\n]*forged"\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("wrote:\n%s", out.String())
	}
}

// stuck is a writer that takes its first line only when it is let go.
type stuck struct {
	strings.Builder
	entered, release chan struct{}
	first            bool
}

func (s *stuck) Write(p []byte) (int, error) {
	if !s.first {
		s.first = true
		close(s.entered)
		<-s.release
	}
	return s.Builder.Write(p)
}

// Goal: a writer that does not write holds nobody up; what does not fit is dropped, and the log says how much.
func TestStuckLogHoldsNobodyUp(t *testing.T) {
	s := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	e := New(Options{LogWriter: s})
	e.Emit(env.Event{Kind: evBad})
	<-s.entered
	const lines = 4000
	text := strings.Repeat("x", 1000)
	for range lines {
		e.Emit(env.Event{Kind: evBad, Text: text})
	}
	close(s.release)
	e.Flush()
	kept := strings.Count(s.String(), text)
	if kept == 0 || kept == lines {
		t.Fatalf("kept %d of %d lines", kept, lines)
	}
	if want := fmt.Sprintf("warn log-lines-dropped n=%d\n", lines-kept); !strings.Contains(s.String(), want) {
		t.Errorf("the log does not say %q", want)
	}
}

// Goal: errors of the system are env's errors, keep the system's, and read well.
func TestErrorsAreTranslated(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOSPC: env.ErrNoSpace, syscall.EDQUOT: env.ErrNoSpace, syscall.EIO: env.ErrIO, syscall.EROFS: env.ErrIO,
		syscall.ENOENT: env.ErrNotExist, syscall.EEXIST: env.ErrExist, syscall.ENOTEMPTY: env.ErrExist,
		syscall.ECONNRESET: env.ErrReset, syscall.EPIPE: env.ErrReset, syscall.ECONNREFUSED: env.ErrRefused,
		syscall.ETIMEDOUT: env.ErrTimeout,
	} {
		err := wrap("write", "/data/a", &os.PathError{Op: "write", Path: "/data/a", Err: errno})
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v: got %v", errno, err)
		}
		if got := err.Error(); got != "write /data/a: "+errno.Error() {
			t.Errorf("reads %q", got)
		}
	}
	if wrap("read", "x", nil) != nil {
		t.Error("nil became an error")
	}
}

// Goal: a full device is env.ErrNoSpace, from the kernel itself.
func TestFullDeviceIsErrNoSpace(t *testing.T) {
	e := New(Options{})
	f, err := e.Open("/dev/full", env.ReadWrite)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
}

// Goal: a dial to where nothing answers ends at its time-out. Method: a listener whose queue is full.
func TestDialTimesOut(t *testing.T) {
	e := New(Options{})
	if _, err := e.Dial("127.0.0.1:1", 0); !errors.Is(err, env.ErrTimeout) {
		t.Errorf("no time at all: %v", err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	must(t, err)
	defer syscall.Close(fd)
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	must(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := e.Dial(addr, 50*time.Millisecond)
		if errors.Is(err, env.ErrTimeout) {
			return
		}
		must(t, err)
		defer c.Close()
	}
	t.Error("ten dials went into a queue for one")
}
