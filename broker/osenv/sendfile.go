package osenv

import (
	"errors"
	"io"
	"os"
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

const (
	// aheadBytesMax is how much of WriteMore waits in memory for what comes behind it.
	aheadBytesMax = 1 << 10
	// alignBytesMin is from where on a SendFile is worth having its beginning copied.
	alignBytesMin = 32 << 10
)

// WriteMore is Write with TCP_CORK: the kernel holds back a partial segment, and that of a SendFile behind it too, until Write
// or for 200 ms. MSG_MORE would hold back the header alone, and what follows the file would be a packet of its own. A few bytes
// wait here, and go out in one call with what follows.
func (c *conn) WriteMore(p []byte) (int, error) {
	if len(c.ahead)+len(p) <= aheadBytesMax {
		c.ahead = append(c.ahead, p...)
		return len(p), nil
	}
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	c.hold()
	if err := c.sendAhead(nil); err != nil {
		return 0, wrap("write", c.remote, err)
	}
	n, err := c.tcp.Write(p)
	return n, wrap("write", c.remote, err)
}

// sendAhead sends what WriteMore left here, and p behind it.
func (c *conn) sendAhead(p []byte) error {
	c.ahead = append(c.ahead, p...)
	var err error
	if len(c.ahead) > 0 {
		_, err = c.tcp.Write(c.ahead)
	}
	c.ahead = c.ahead[:0]
	return err
}

// hold sets TCP_CORK: from here on the kernel waits for full segments, until push.
func (c *conn) hold() {
	if c.holds = true; !c.corked {
		c.corked = true
		c.option(unix.TCP_CORK, 1)
	}
}

// push has the kernel send what it holds back. TCP_NODELAY does so although TCP_CORK stays on (tcp(7)), and so the next answer in parts
// need not set that again; a Write of its own takes it off.
func (c *conn) push() {
	switch {
	case c.holds:
		c.option(unix.TCP_NODELAY, 1)
	case c.corked:
		c.corked = false
		c.option(unix.TCP_CORK, 0)
	}
	c.holds = false
}

// option sets one of TCP's. An error shows in the next write, if it matters.
func (c *conn) option(name, value int) {
	c.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, name, value) })
}

// sendBeginning sends what WriteMore left here, and with it the file's bytes up to the next page and one page more; it returns how many
// of these. A packet of 64 KiB has room for 17 pieces of pages: an answer of as much, with a piece at each end, would need 18, and for a
// few bytes a second packet, at a quarter of its cost.
func (c *conn) sendBeginning(f *file, offset, n int64) (sent int64, err error) {
	if len(c.ahead) == 0 {
		return 0, nil
	}
	c.hold()
	if n < alignBytesMin {
		return 0, wrap("write", c.remote, c.sendAhead(nil))
	}
	buf := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	page := int64(os.Getpagesize())
	k, err := f.read(buf[:page+(page-offset%page)%page], offset)
	if err != nil && err != io.EOF { // at the end sendfile(2) finds out by itself
		return 0, wrap("read", f.name, err)
	}
	c.env.stats.copiedBytes.Add(int64(k))
	return int64(k), wrap("write", c.remote, c.sendAhead(buf[:k]))
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
		if sent, err = c.sendBeginning(f, offset, n); err != nil {
			return 0, err
		}
		more, err := c.sendfile(f, offset+sent, n-sent)
		if sent += more; err != errNoSendfile {
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
