package osenv

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"barnabas/broker/env"
)

// Listen binds addr, or takes the socket that was handed down for it. See env.Net, InheritEnv.
func (e *Env) Listen(addr string) (env.Listener, error) {
	switch tcp, err := inherited(addr); {
	case err != nil:
		return nil, wrap("listen on the socket handed down for", addr, err)
	case tcp != nil:
		return &listener{env: e, tcp: tcp}, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, wrap("listen", addr, err)
	}
	return &listener{env: e, tcp: l.(*net.TCPListener)}, nil
}

// Dial connects to addr, in no time when timeout ≤ 0, which is to say never. See env.Net.
func (e *Env) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	if timeout <= 0 {
		return nil, wrap("dial", addr, os.ErrDeadlineExceeded)
	}
	if e.hook != nil {
		left, err := e.hook.beforeDial(addr, timeout)
		if err != nil {
			return nil, wrap("dial", addr, err)
		}
		timeout = max(left, time.Millisecond)
	}
	d := net.Dialer{Timeout: timeout}
	if e.bind != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(e.bind)}
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, wrap("dial", addr, err)
	}
	return e.newConn(c.(*net.TCPConn))
}

type listener struct {
	env *Env
	tcp *net.TCPListener
}

const acceptRetryMax = time.Second

// Accept waits for the next connection. A client that gave up in the queue is skipped. When descriptors or memory run
// out it waits for some to come back: a broker that stops accepting then would never recover.
func (l *listener) Accept() (env.Conn, error) {
	retry := 5 * time.Millisecond
	for {
		c, err := l.tcp.AcceptTCP()
		var errno syscall.Errno
		switch {
		case err == nil:
			conn, err := l.env.newConn(c)
			if err != nil {
				continue
			}
			return conn, nil
		case !errors.As(err, &errno):
			return nil, wrap("accept", l.Addr(), err)
		case errno == syscall.ECONNABORTED || errno == syscall.EINTR:
		case errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOBUFS || errno == syscall.ENOMEM:
			time.Sleep(retry)
			retry = min(2*retry, acceptRetryMax)
		default:
			return nil, wrap("accept", l.Addr(), err)
		}
	}
}

// Addr is the bound address.
func (l *listener) Addr() string { return l.tcp.Addr().String() }

// Close stops listening and wakes Accept.
func (l *listener) Close() error { return wrap("close", l.Addr(), l.tcp.Close()) }

// conn is one TCP connection. TCP_NODELAY is on, as package net sets it.
type conn struct {
	env           *Env
	tcp           *net.TCPConn
	raw           syscall.RawConn
	local, remote string

	// Of the task that writes:
	ahead  []byte // of WriteMore, not sent yet
	corked bool   // TCP_CORK is on
	holds  bool   // since something went out that the kernel may hold back

	in      *inbound  // under a hook; nil without one
	peer    string    // its host, under a hook
	writeBy time.Time // under a hook, guarded by in.mu
}

func (e *Env) newConn(tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, wrap("connect", tcp.RemoteAddr().String(), err)
	}
	c := &conn{env: e, tcp: tcp, raw: raw, local: tcp.LocalAddr().String(), remote: tcp.RemoteAddr().String()}
	if e.hook != nil {
		e.hook.begin(c)
	}
	return c, nil
}

// Read reads 1 to len(p) bytes. See env.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.in != nil {
		return c.in.read(p)
	}
	n, err := c.tcp.Read(p)
	return n, wrap("read", c.remote, err)
}

// Write writes all of p. See env.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	n, err := len(p), error(nil)
	if c.corked && !c.holds {
		c.push()
	}
	if len(c.ahead) > 0 {
		if err = c.sendAhead(p); err != nil {
			n = 0
		}
	} else if len(p) > 0 {
		n, err = c.tcp.Write(p)
	}
	if c.holds {
		c.push()
	}
	return n, wrap("write", c.remote, err)
}

// SetReadDeadline bounds reads. See env.Conn.
func (c *conn) SetReadDeadline(t env.Instant) {
	if c.in != nil {
		c.in.setDeadline(c.env.at(t))
		return
	}
	c.tcp.SetReadDeadline(c.env.at(t))
}

// SetWriteDeadline bounds writes. See env.Conn.
func (c *conn) SetWriteDeadline(t env.Instant) {
	if c.in != nil {
		c.in.mu.Lock()
		if c.writeBy = c.env.at(t); t == env.Never {
			c.writeBy = farFuture
		}
		c.in.mu.Unlock()
	}
	c.tcp.SetWriteDeadline(c.env.at(t))
}

// Close closes both ways and wakes readers and writers. A second Close is fine.
func (c *conn) Close() error {
	if c.in != nil {
		c.in.fail(wrap("read", c.remote, net.ErrClosed))
		if c.in.forgotten() {
			return nil
		}
	}
	err := wrap("close", c.remote, c.tcp.Close())
	if errors.Is(err, env.ErrClosed) {
		return nil
	}
	return err
}

// LocalAddr is this end's address.
func (c *conn) LocalAddr() string { return c.local }

// RemoteAddr is the peer's address.
func (c *conn) RemoteAddr() string { return c.remote }
