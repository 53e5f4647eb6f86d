package osenv

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"
)

// Goal: an Env under a hook that breaks nothing does what package env says.
func TestConformsToEnvUnderHook(t *testing.T) {
	for _, c := range envtest.FS() {
		t.Run("FS/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{Hook: NewHook()}), t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range envtest.Env() {
		t.Run("Env/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{Hook: NewHook()}), "127.0.0.1:0", t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}

const hostA, hostB = "127.10.0.1", "127.10.0.2"

// pair connects two environments with addresses of their own: a dials b.
func pair(t *testing.T) (a, b *Hook, ea *Env, fromA, fromB env.Conn, addr string) {
	t.Helper()
	a, b = NewHook(), NewHook()
	ea = New(Options{Bind: hostA, Hook: a})
	l, err := New(Options{Hook: b}).Listen(hostB + ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan env.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	if fromA, err = ea.Dial(l.Addr(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	fromB = <-accepted
	t.Cleanup(func() { fromA.Close(); fromB.Close() })
	return a, b, ea, fromA, fromB, l.Addr()
}

func send(t *testing.T, c env.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c env.Conn, n int) string {
	t.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	return string(buf)
}

// Goal: a link that is cut one way holds what is sent that way, and lets the other way pass; after the heal what was
// held arrives, whole and in order.
func TestHookCutsOneWay(t *testing.T) {
	_, b, ea, fromA, fromB, addr := pair(t)
	b.SetLink(hostA, LinkFault{CutIn: true})
	send(t, fromA, "held")
	send(t, fromB, "back")
	if got := receive(t, fromA, 4); got != "back" {
		t.Fatalf("the other way brought %q", got)
	}
	fromB.SetReadDeadline(New(Options{}).Mono()) // past: what is there may not pass, and nothing waits for ever
	if _, err := fromB.Read(make([]byte, 4)); !errors.Is(err, env.ErrTimeout) {
		t.Fatalf("a read over a cut link: %v", err)
	}
	fromB.SetReadDeadline(env.Never)
	got := make(chan string)
	go func() { got <- receive(t, fromB, 8) }()
	send(t, fromA, "more")
	waitUntil(t, func() bool { return b.Felt()["in "+hostA] > 0 })
	b.SetLink(hostA, LinkFault{})
	if text := <-got; text != "heldmore" {
		t.Fatalf("after the heal came %q", text)
	}
	if _, err := ea.Dial(addr, time.Second); err != nil {
		t.Fatalf("a dial after the heal: %v", err)
	}
}

// Goal: dials over a cut link time out, those that are refused are refused, and both are counted.
func TestHookStopsDials(t *testing.T) {
	a, _, ea, _, _, addr := pair(t)
	a.SetLink(hostB, LinkFault{NoDial: true})
	if _, err := ea.Dial(addr, 20*time.Millisecond); !errors.Is(err, env.ErrTimeout) {
		t.Errorf("cut: %v", err)
	}
	a.SetLink(hostB, LinkFault{Refuse: true})
	if _, err := ea.Dial(addr, time.Minute); !errors.Is(err, env.ErrRefused) {
		t.Errorf("refused: %v", err)
	}
	if felt := a.Felt(); felt["out "+hostB] != 1 || felt["refuse"] != 1 {
		t.Errorf("felt %v", felt)
	}
}

// Goal: both ends of a connection that the hook resets learn of it, and no others.
func TestHookResets(t *testing.T) {
	a, _, _, fromA, fromB, _ := pair(t)
	if n := a.Reset("127.10.0.9"); n != 0 {
		t.Fatalf("%d connections with nobody", n)
	}
	if n := a.Reset(hostB); n != 1 {
		t.Fatalf("%d connections reset", n)
	}
	for _, c := range []env.Conn{fromA, fromB} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, env.ErrReset) {
			t.Errorf("read after the reset: %v", err)
		}
	}
}

// Goal: a delay adds to the way and not to each read: what was sent at once arrives at once, later.
func TestHookDelays(t *testing.T) {
	_, b, _, fromA, fromB, _ := pair(t)
	const delay = 60 * time.Millisecond
	b.SetLink(hostA, LinkFault{DelayIn: delay})
	began := time.Now()
	for range 50 {
		send(t, fromA, "0123456789")
		time.Sleep(time.Millisecond) // segments of their own
	}
	receive(t, fromB, 500)
	if took := time.Since(began); took < delay {
		t.Errorf("arrived after %s, before the delay of %s was over", took, delay)
	}
	if b.Felt()["in "+hostA] == 0 {
		t.Error("the delay was not felt")
	}
}

// Goal: towards a peer without a hook, a cut lets no write out before its deadline.
func TestHookHoldsWrites(t *testing.T) {
	a, _, _, fromA, _, _ := pair(t)
	a.SetLink(hostB, LinkFault{CutOut: true})
	fromA.SetWriteDeadline(1)
	if _, err := fromA.Write([]byte("x")); !errors.Is(err, env.ErrTimeout) {
		t.Fatalf("a write that is held: %v", err)
	}
	fromA.SetWriteDeadline(env.Never)
	done := make(chan error)
	go func() { _, err := fromA.Write([]byte("x")); done <- err }()
	a.SetLink(hostB, LinkFault{})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Goal: each fault of the disk fails what it says with the error it says, is counted, and is gone when healed.
func TestHookBreaksDisk(t *testing.T) {
	h := NewHook()
	e := New(Options{Hook: h})
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	f, err := e.Open(name, env.Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func() error { _, err := f.WriteAt([]byte("abc"), 0); return err }
	grow := func() error {
		size, _ := f.Size()
		_, err := f.WriteAt([]byte("abc"), size)
		return err
	}
	read := func() error { _, err := f.ReadAt(make([]byte, 3), 0); return err }
	if err := write(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		order string
		do    func() error
		want  error
		felt  string
	}{
		{"disk fail-sync", f.Sync, env.ErrIO, "disk sync"},
		{"disk fail-sync", func() error { return e.SyncDir(dir) }, env.ErrIO, "disk sync"},
		{"disk fail-sync", write, nil, ""},
		{"disk fail-read", read, env.ErrIO, "disk read"},
		{"disk fail-write", write, env.ErrIO, "disk write"},
		{"disk fail-write", func() error { return f.Truncate(1) }, env.ErrIO, "disk write"},
		{"disk full", grow, env.ErrNoSpace, "disk full"},
		{"disk full", write, nil, ""},
		{"disk dir=" + dir, read, env.ErrIO, "disk dir"},
		{"disk dir=" + dir, func() error { _, err := e.ReadDir(dir); return err }, env.ErrIO, "disk dir"},
		{"disk dir=" + dir[:len(dir)-1], read, nil, ""},
		{"disk slow=3", read, nil, "disk slow"},
		{"disk stall=20ms", read, nil, "disk stall"},
	} {
		before := h.Felt()[c.felt]
		if _, err := h.Obey(c.order); err != nil {
			t.Fatal(err)
		}
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.order, err, c.want)
		}
		if c.felt != "" && h.Felt()[c.felt] == before {
			t.Errorf("%s: not counted as %q", c.order, c.felt)
		}
		h.Obey("disk")
		if err := errors.Join(read(), write(), f.Sync()); err != nil {
			t.Fatalf("healed after %s: %v", c.order, err)
		}
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
		f.Truncate(3)
	}
}

// Goal: sendfile of a file whose reads fail sends nothing.
func TestHookBreaksSendFile(t *testing.T) {
	a, _, ea, fromA, _, _ := pair(t)
	f, err := ea.Open(filepath.Join(t.TempDir(), "f"), env.Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt([]byte("abc"), 0)
	a.SetDisk(DiskFault{FailRead: true})
	if n, err := fromA.SendFile(f, 0, 3); n != 0 || !errors.Is(err, env.ErrIO) {
		t.Fatalf("sent %d, %v", n, err)
	}
}

// Goal: an end that is forgotten is gone here at once, and the peer learns of it when it next says something, not before.
func TestHookForgets(t *testing.T) {
	a, _, _, fromA, fromB, _ := pair(t)
	if n := a.Forget(hostB); n != 1 {
		t.Fatalf("%d connections forgotten", n)
	}
	if _, err := fromA.Read(make([]byte, 1)); !errors.Is(err, env.ErrReset) {
		t.Errorf("read here: %v", err)
	}
	if _, err := fromA.Write([]byte("x")); !errors.Is(err, env.ErrReset) {
		t.Errorf("write here: %v", err)
	}
	fromA.Close()
	fromB.SetReadDeadline(1)
	if _, err := fromB.Read(make([]byte, 1)); !errors.Is(err, env.ErrTimeout) {
		t.Errorf("the peer knows before it has said anything: %v", err)
	}
	fromB.SetReadDeadline(env.Never)
	send(t, fromB, "hello?")
	if _, err := fromB.Read(make([]byte, 1)); !errors.Is(err, env.ErrReset) {
		t.Errorf("the peer afterwards: %v", err)
	}
}

// Goal: what is held back comes after what a newer connection brings.
func TestHookHoldsBack(t *testing.T) {
	_, b, ea, fromA, fromB, addr := pair(t)
	if n := b.HoldBack(hostA, time.Hour); n != 1 {
		t.Fatalf("%d connections", n)
	}
	send(t, fromA, "old")
	if c, err := ea.Dial(addr, 10*time.Second); err != nil {
		t.Fatal(err)
	} else {
		defer c.Close()
		send(t, c, "new")
	}
	fromB.SetReadDeadline(1)
	if _, err := fromB.Read(make([]byte, 1)); !errors.Is(err, env.ErrTimeout) {
		t.Errorf("held back: %v", err)
	}
	fromB.SetReadDeadline(env.Never)
	b.HoldBack(hostA, 0)
	if got := receive(t, fromB, 3); got != "old" {
		t.Errorf("got %q", got)
	}
}

// Goal: a lost segment comes, a retransmission later; a torn write leaves a leading part and an error.
func TestHookLosesAndTears(t *testing.T) {
	_, b, _, fromA, fromB, _ := pair(t)
	if _, err := b.Obey("link " + hostA + " loss-in=1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	send(t, fromA, "x")
	receive(t, fromB, 1)
	if took := time.Since(began); took < retransmission || b.Felt()["in "+hostA] == 0 {
		t.Errorf("a lost segment came after %s; felt %v", took, b.Felt())
	}
	e := New(Options{Hook: b})
	f, err := e.Open(filepath.Join(t.TempDir(), "f"), env.Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.Obey("disk torn")
	n, err := f.WriteAt([]byte("abcdef"), 0)
	if size, _ := f.Size(); n != 3 || size != 3 || !errors.Is(err, env.ErrIO) || b.Felt()["disk torn"] != 1 {
		t.Errorf("torn: wrote %d, size %d, %v, felt %v", n, size, err, b.Felt())
	}
}

// Goal: the wall clock is off by what the hook says, and the monotonic clock is not.
func TestHookMovesWallClock(t *testing.T) {
	h := NewHook()
	e := New(Options{Hook: h})
	if _, err := h.Obey("clock offset=-1h"); err != nil {
		t.Fatal(err)
	}
	if off := time.Until(e.Now()); off > -59*time.Minute || off < -61*time.Minute {
		t.Errorf("off by %s", off)
	}
	if e.Mono() > env.Instant(time.Minute) {
		t.Error("the monotonic clock moved")
	}
}

// Goal: the control socket obeys, answers what was felt, and refuses what it does not understand with a reason, without
// ending the conversation or changing anything.
func TestControlSocket(t *testing.T) {
	h := NewHook()
	h.Handle("greet", func(args []string) (string, error) { return "hello " + strings.Join(args, " "), nil })
	socket := filepath.Join(t.TempDir(), "s")
	l, err := h.Serve(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for line, want := range map[string]string{"greet you": "hello you", "link 127.0.0.9 cut-in delay-in=5ms rate-in=1000": "", "reset 127.0.0.9": "0", "": "", "# words": ""} {
		if got, err := Order(socket, line, time.Minute); err != nil || got != want {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{"dance", "link", "link h fly", "link h delay-in=-1s", "hold h", "hold h x", "disk slow=x", "disk dir=", "disk stall=-1s", "clock offset=1", "reset",
		"greet " + strings.Repeat("x", controlLineMax)} {
		if _, err := Order(socket, line, time.Minute); err == nil {
			t.Errorf("%.40q: obeyed", line)
		}
	}
	h.hurt.sync.Add(3)
	words, err := Order(socket, "felt", time.Minute)
	if err != nil || words != "disk sync=3" {
		t.Errorf("felt: %q, %v", words, err)
	}
}

func waitUntil(t *testing.T, pred func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !pred(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came")
		}
	}
}
