package osenv

import (
	"errors"
	"io"
	"sync"

	"barnabas/broker/env"
	"golang.org/x/sys/unix"
)

// sendfileMax bounds one sendfile(2), which takes no more than 0x7ffff000 bytes.
const sendfileMax = 1 << 30

const copyBytes = 128 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// errNoSendfile says that this file or socket does not do sendfile(2), and nothing was sent.
var errNoSendfile = errors.New("sendfile not supported")

// WriteMore is Write with TCP_CORK: the kernel holds back a partial segment, and that of a SendFile behind it too, until Write
// or for 200 ms. MSG_MORE would hold back the header alone, and what follows the file would be a packet of its own.
func (c *conn) WriteMore(p []byte) (int, error) {
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	if !c.corked {
		c.cork(1)
	}
	n, err := c.tcp.Write(p)
	return n, wrap("write", c.remote, err)
}

// cork sets TCP_CORK. It is a hint: an error does not matter, or shows in the next write.
func (c *conn) cork(on int) {
	c.corked = on != 0
	c.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on) })
}

// SendFile sends n bytes of f from offset: with sendfile(2) for a file of this package, by copying for any other.
// See env.Conn.
func (c *conn) SendFile(f env.File, offset, n int64) (int64, error) {
	var sent int64
	if f, ok := f.(*file); ok {
		call, err := f.hook.before(opRead, f.name, nil)
		if err != nil {
			return 0, wrap("sendfile", f.name, err)
		}
		defer call.end()
		if err := c.beforeWrite(); err != nil {
			return 0, err
		}
		if sent, err = c.sendfile(f, offset, n); err != errNoSendfile {
			return sent, err
		}
	}
	return c.sendCopy(f, offset, n, sent)
}

// sendfile passes the range to the socket inside the kernel. The offset is explicit, so that any number of
// connections may send from one descriptor.
func (c *conn) sendfile(f *file, offset, n int64) (sent int64, err error) {
	if err := f.hold(); err != nil { // from here on the descriptor is not closed, and its number not reused
		return 0, wrap("sendfile", f.name, err)
	}
	defer f.drop()
	for sent < n && err == nil {
		var moved int
		moved, err = c.sendfileOnce(f.fd, offset+sent, n-sent)
		sent += int64(moved)
	}
	switch err {
	case nil, errNoSendfile:
		return sent, err
	case io.ErrUnexpectedEOF, unix.EIO:
		return sent, wrap("sendfile", f.name, err)
	}
	return sent, wrap("sendfile", c.remote, err)
}

// sendfileOnce moves what fits into the socket, waiting until something does.
func (c *conn) sendfileOnce(fd int, offset, n int64) (moved int, err error) {
	cerr := c.raw.Write(func(socket uintptr) bool {
		for {
			at := offset
			moved, err = unix.Sendfile(int(socket), fd, &at, int(min(n, sendfileMax)))
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP || err == unix.EOVERFLOW:
		return 0, errNoSendfile
	case err != nil:
		return 0, err
	case moved == 0:
		return 0, io.ErrUnexpectedEOF // the file is shorter than the caller believed
	}
	c.env.stats.sendfileCalls.Add(1)
	c.env.stats.sendfileBytes.Add(int64(moved))
	return moved, nil
}

// sendCopy sends the range from sent on through a buffer.
func (c *conn) sendCopy(f env.File, offset, n, sent int64) (int64, error) {
	buf := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	for sent < n {
		p := buf[:min(n-sent, copyBytes)]
		read, err := f.ReadAt(p, offset+sent)
		if read == 0 && err != nil {
			if err == io.EOF {
				err = wrap("read", f.Name(), io.ErrUnexpectedEOF)
			}
			return sent, err
		}
		wrote, err := c.Write(p[:read])
		sent += int64(wrote)
		c.env.stats.copiedBytes.Add(int64(wrote))
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
