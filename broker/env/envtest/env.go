package envtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"barnabas/broker/env"
)

// EnvCase is one behaviour of tasks, clocks or connections.
type EnvCase struct {
	Name string
	// Run checks it in a task of e. Listeners bind addr, a host of e's with port 0; files go below dir.
	Run func(e env.Env, addr, dir string) error
}

// Env lists the cases. None takes more than a second of e's time.
func Env() []EnvCase {
	return []EnvCase{
		{"SleepPassesTime", sleepPasses},
		{"RandStreamsAreNamed", randNamed},
		{"BootStays", bootStays},
		{"MutexExcludes", mutexExcludes},
		{"SignalWakesOneBroadcastAll", signalAndBroadcast},
		{"WaitUntilEndsAtItsDeadline", waitUntil},
		{"ConnectionCarriesBytesBothWays", carries},
		{"OrderlyCloseIsEOF", orderlyClose},
		{"NobodyListeningIsErrRefused", refused},
		{"ReadDeadlineIsErrTimeoutAndPasses", readDeadline},
		{"DeadlineReachesAReadThatWaits", deadlineReachesWaiting},
		{"WriteDeadlineIsErrTimeout", writeDeadline},
		{"CloseWakesReaderAndAccept", closeWakes},
		{"SendFileSendsTheRange", sendFile},
		{"SendFileBehindTheEndIsAnError", sendFileShort},
	}
}

const grace = 300 * time.Millisecond // longer than anything that should come

func sleepPasses(e env.Env, _, _ string) error {
	start := e.Mono()
	e.Sleep(0)
	e.Sleep(20 * time.Millisecond)
	passed := e.Mono().Sub(start)
	return fail(passed >= 20*time.Millisecond && passed < time.Second, "slept %v for 20ms", passed)
}

func randNamed(e env.Env, _, _ string) error {
	a, b := e.Rand("envtest/a").Uint64(), e.Rand("envtest/b").Uint64()
	return first(fail(a != b, "two streams are one"),
		fail(a != e.Rand("envtest/a").Uint64(), "two tasks that open one name draw the same numbers"))
}

func bootStays(e env.Env, _, _ string) error {
	first := e.BootID()
	e.Sleep(time.Millisecond)
	return fail(e.BootID() == first, "one boot is named %q, then %q", first, e.BootID())
}

func mutexExcludes(e env.Env, _, _ string) error {
	mu, group := e.NewMutex(), env.NewGroup(e)
	n, inside, overlaps := 0, false, 0
	for i := range 4 {
		group.Go(fmt.Sprintf("adder-%d", i), func() {
			for range 25 {
				mu.Lock()
				if inside {
					overlaps++
				}
				inside = true
				was := n
				e.Sleep(0)
				n, inside = was+1, false
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return fail(n == 100 && overlaps == 0, "counted to %d of 100, with %d overlaps", n, overlaps)
}

func signalAndBroadcast(e env.Env, _, _ string) error {
	mu := e.NewMutex()
	c, group := e.NewCond(mu), env.NewGroup(e)
	waiting, tickets, served := 0, 0, 0
	for range 5 {
		group.Go("waiter", func() {
			mu.Lock()
			waiting++
			for tickets == 0 {
				c.Wait()
			}
			tickets--
			served++
			mu.Unlock()
		})
	}
	until := func(what string, ok func() bool) error {
		for range 500 {
			mu.Lock()
			done := ok()
			mu.Unlock()
			if done {
				return nil
			}
			e.Sleep(time.Millisecond)
		}
		return fmt.Errorf("%s: %d waiting, %d served", what, waiting, served)
	}
	err := until("five wait", func() bool { return waiting == 5 })
	mu.Lock()
	tickets++
	c.Signal()
	mu.Unlock()
	err = first(err, until("one signal", func() bool { return served == 1 }))
	mu.Lock()
	tickets += 4
	c.Broadcast()
	mu.Unlock()
	err = first(err, until("one broadcast", func() bool { return served == 5 }))
	if err == nil {
		group.Wait()
	}
	return err
}

func waitUntil(e env.Env, _, _ string) error {
	mu := e.NewMutex()
	c := e.NewCond(mu)
	mu.Lock()
	defer mu.Unlock()
	start := e.Mono()
	if c.WaitUntil(start) || c.WaitUntil(start.Add(-time.Second)) {
		return errors.New("a passed deadline was met")
	}
	if c.WaitUntil(start.Add(20 * time.Millisecond)) {
		return errors.New("nobody signalled")
	}
	passed := e.Mono().Sub(start)
	e.Go("signaller", func() {
		mu.Lock()
		c.Signal()
		mu.Unlock()
	})
	return first(fail(passed >= 20*time.Millisecond, "came back after %v", passed),
		fail(c.WaitUntil(e.Mono().Add(time.Minute)), "the signal did not come before a minute"))
}

// pair connects two ends, closes the listener, and gives both ends to f.
func pair(e env.Env, addr string, f func(client, server env.Conn) error) error {
	l, err := e.Listen(addr)
	if err != nil {
		return err
	}
	group := env.NewGroup(e)
	var server env.Conn
	var errAccept error
	group.Go("accept", func() { server, errAccept = l.Accept() })
	client, err := e.Dial(l.Addr(), 10*time.Second)
	if err != nil {
		l.Close()
		group.Wait()
		return err
	}
	group.Wait()
	defer client.Close()
	if errAccept != nil {
		return errAccept
	}
	defer server.Close()
	return first(l.Close(), f(client, server))
}

func carries(e env.Env, addr, _ string) error {
	return pair(e, addr, func(client, server env.Conn) error {
		data := make([]byte, 300_000)
		for i := range data {
			data[i] = byte(i * i >> 8)
		}
		e.Go("echo", func() {
			buf := make([]byte, 10_000)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
			}
		})
		errs := env.NewQueue[error](e, 0)
		e.Go("send", func() {
			_, errMore := client.WriteMore(data[:1000])
			_, err := client.Write(data[1000:])
			errs.Put(first(errMore, err))
		})
		got := make([]byte, len(data))
		_, err := io.ReadFull(client, got)
		sent, _ := errs.Get()
		return first(err, sent, fail(bytes.Equal(got, data), "the echo differs"),
			fail(client.RemoteAddr() == server.LocalAddr() && client.LocalAddr() == server.RemoteAddr(),
				"client %s→%s, server %s→%s", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr()))
	})
}

func orderlyClose(e env.Env, addr, _ string) error {
	return pair(e, addr, func(client, server env.Conn) error {
		_, err := server.Write([]byte("last words"))
		if err = first(err, server.Close(), server.Close()); err != nil {
			return err
		}
		got, err := io.ReadAll(client)
		if err = first(err, fail(string(got) == "last words", "read %q", got)); err != nil {
			return err
		}
		_, errRead := server.Read(make([]byte, 1))
		_, errWrite := server.Write([]byte("x"))
		// The first write may still go into the dark; the peer's answer to it is a reset.
		for range 100 {
			if _, err = client.Write([]byte("x")); err != nil {
				break
			}
			e.Sleep(2 * time.Millisecond)
		}
		return first(is("Read after Close", errRead, env.ErrClosed), is("Write after Close", errWrite, env.ErrClosed),
			is("Write to a closed peer", err, env.ErrReset))
	})
}

func refused(e env.Env, addr, _ string) error {
	l, err := e.Listen(addr)
	if err != nil {
		return err
	}
	free := l.Addr()
	if err := l.Close(); err != nil {
		return err
	}
	_, err = e.Dial(free, 10*time.Second)
	return is("Dial", err, env.ErrRefused)
}

func readDeadline(e env.Env, addr, _ string) error {
	return pair(e, addr, func(client, server env.Conn) error {
		start := e.Mono()
		client.SetReadDeadline(start.Add(20 * time.Millisecond))
		_, errFirst := client.Read(make([]byte, 1))
		passed := e.Mono().Sub(start)
		_, errSecond := client.Read(make([]byte, 1))
		client.SetReadDeadline(env.Never)
		_, err := server.Write([]byte("x"))
		n, errThird := client.Read(make([]byte, 8))
		return first(err, is("the first", errFirst, env.ErrTimeout), is("the second", errSecond, env.ErrTimeout),
			fail(passed >= 20*time.Millisecond, "timed out after %v", passed),
			fail(n == 1 && errThird == nil, "after the deadline was lifted: %d, %v", n, errThird))
	})
}

func deadlineReachesWaiting(e env.Env, addr, _ string) error {
	return pair(e, addr, func(client, _ env.Conn) error {
		errs := env.NewQueue[error](e, 0)
		e.Go("reader", func() {
			_, err := client.Read(make([]byte, 1))
			errs.Put(err)
		})
		e.Sleep(5 * time.Millisecond)
		client.SetReadDeadline(e.Mono())
		err, ok := errs.GetUntil(e.Mono().Add(grace))
		return first(fail(ok, "the reader still waits"), is("Read", err, env.ErrTimeout))
	})
}

func writeDeadline(e env.Env, addr, _ string) error {
	return pair(e, addr, func(client, _ env.Conn) error {
		client.SetWriteDeadline(e.Mono().Add(50 * time.Millisecond))
		chunk := make([]byte, 1<<20)
		var err error
		for range 64 { // more than any buffer between the two takes
			if _, err = client.Write(chunk); err != nil {
				break
			}
		}
		return is("Write to a peer that does not read", err, env.ErrTimeout)
	})
}

func closeWakes(e env.Env, addr, _ string) error {
	l, err := e.Listen(addr)
	if err != nil {
		return err
	}
	errs := env.NewQueue[error](e, 0)
	e.Go("accept", func() {
		_, err := l.Accept()
		errs.Put(err)
	})
	e.Sleep(5 * time.Millisecond)
	errClose := l.Close()
	errAccept, ok := errs.GetUntil(e.Mono().Add(grace))
	if err := first(errClose, fail(ok, "Accept still waits"), is("Accept", errAccept, env.ErrClosed)); err != nil {
		return err
	}
	return pair(e, addr, func(client, _ env.Conn) error {
		e.Go("reader", func() {
			_, err := client.Read(make([]byte, 1))
			errs.Put(err)
		})
		e.Sleep(5 * time.Millisecond)
		err := client.Close()
		errRead, ok := errs.GetUntil(e.Mono().Add(grace))
		return first(err, fail(ok, "Read still waits"), is("Read", errRead, env.ErrClosed))
	})
}

func sendFile(e env.Env, addr, dir string) error {
	f, data, err := testFile(e, dir, 500_000)
	if err != nil {
		return err
	}
	defer f.Close()
	return pair(e, addr, func(client, server env.Conn) error {
		errs := env.NewQueue[error](e, 0)
		e.Go("send", func() {
			_, err := server.WriteMore([]byte("head"))
			n, errFile := server.SendFile(f, 1234, 400_000)
			none, errNone := server.SendFile(f, 0, 0)
			_, errTail := server.Write([]byte("tail"))
			errs.Put(first(err, errFile, errNone, errTail, fail(n == 400_000 && none == 0, "sent %d and %d", n, none),
				server.Close()))
		})
		got, err := io.ReadAll(client)
		sent, _ := errs.Get()
		want := "head" + string(data[1234:401_234]) + "tail"
		return first(err, sent, fail(string(got) == want, "got %d bytes, and not those of the file", len(got)))
	})
}

func sendFileShort(e env.Env, addr, dir string) error {
	f, _, err := testFile(e, dir, 1000)
	if err != nil {
		return err
	}
	defer f.Close()
	return pair(e, addr, func(_, server env.Conn) error {
		n, err := server.SendFile(f, 900, 200)
		return fail(n == 100 && err != nil, "sent %d of the 100 bytes there are, error %v", n, err)
	})
}

// testFile makes a file of n bytes.
func testFile(e env.Env, dir string, n int) (env.File, []byte, error) {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>7)
	}
	f, err := e.Open(dir+"/sendfile", env.CreateNew)
	if err != nil {
		return nil, nil, err
	}
	_, err = f.WriteAt(data, 0)
	return f, data, err
}
