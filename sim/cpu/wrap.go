package cpu

import (
	"time"

	"barnabas/broker/env"
)

// Wrap makes e's calls take time on the process's CPU. Everything else is e's.
func (p *Process) Wrap(e env.Env) env.Env { return &wrapped{Env: e, p: p} }

type wrapped struct {
	env.Env
	p *Process
}

// Listen implements env.Net.
func (w *wrapped) Listen(addr string) (env.Listener, error) {
	l, err := w.Env.Listen(addr)
	if err != nil {
		return nil, err
	}
	return &listener{l, w}, nil
}

// Dial implements env.Net.
func (w *wrapped) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	c, err := w.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &conn{c, w}, nil
}

// Open implements env.FS.
func (w *wrapped) Open(name string, mode env.OpenMode) (env.File, error) {
	f, err := w.Env.Open(name, mode)
	if err != nil {
		return nil, err
	}
	return &file{f, w}, nil
}

type listener struct {
	env.Listener
	w *wrapped
}

func (l *listener) Accept() (env.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{c, l.w}, nil
}

type conn struct {
	env.Conn
	w *wrapped
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	p := c.w.p
	p.use.Reads++
	p.use.NetIn += int64(n)
	if n > 0 {
		p.Spend(c.w, p.costs.Read+perByte(n, p.costs.ReadByte))
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.charge(len(b))
	return c.Conn.Write(b)
}

// WriteMore is half a call: what follows goes out with it.
func (c *conn) WriteMore(b []byte) (int, error) {
	p := c.w.p
	p.use.NetOut += int64(len(b))
	p.Spend(c.w, perByte(len(b), p.costs.WriteByte))
	return c.Conn.WriteMore(b)
}

func (c *conn) charge(n int) {
	p := c.w.p
	p.use.Writes++
	p.use.NetOut += int64(n)
	p.Spend(c.w, p.costs.Write+perByte(n, p.costs.WriteByte))
}

func (c *conn) SendFile(f env.File, offset, n int64) (int64, error) {
	if inner, ok := f.(*file); ok {
		f = inner.File
	}
	p := c.w.p
	p.use.Writes++
	p.use.NetOut += n
	p.use.FileIn += n
	p.Spend(c.w, p.costs.Write+time.Duration(float64(n)*p.costs.SendByte))
	return c.Conn.SendFile(f, offset, n)
}

type file struct {
	env.File
	w *wrapped
}

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	p := f.w.p
	p.use.FileIn += int64(len(b))
	p.Spend(f.w, p.costs.FileRead+perByte(len(b), p.costs.FileReadByte))
	return f.File.ReadAt(b, offset)
}

func (f *file) WriteAt(b []byte, offset int64) (int, error) {
	p := f.w.p
	p.use.FileWrites++
	p.use.FileOut += int64(len(b))
	p.Spend(f.w, p.costs.FileWrite+perByte(len(b), p.costs.FileWriteByte))
	return f.File.WriteAt(b, offset)
}

func (f *file) Sync() error {
	f.w.p.use.Syncs++
	return f.File.Sync()
}
