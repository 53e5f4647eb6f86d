package osenv

import (
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// InheritEnv is the environment variable by which a parent process hands listening sockets down: comma-separated addresses, host:port, of file
// descriptors 3, 4 and so on. The parent keeps the sockets open, so that while a broker dies and comes back its clients wait in the
// queue instead of being refused, as under systemd's socket activation.
const InheritEnv = "BARNABAS_LISTEN"

// inherited is the listening socket that was handed down for addr, nil where there is none.
func inherited(addr string) (*net.TCPListener, error) {
	list := os.Getenv(InheritEnv)
	if list == "" {
		return nil, nil
	}
	for i, a := range strings.Split(list, ",") {
		if a != addr {
			continue
		}
		// The descriptor itself stays open, so that the address can be listened to again.
		fd, err := unix.FcntlInt(uintptr(3+i), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		file := os.NewFile(uintptr(fd), addr)
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, err
		}
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			l.Close()
			return nil, os.ErrInvalid
		}
		return tcp, nil
	}
	return nil, nil
}
