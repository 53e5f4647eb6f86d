package bench

import (
	"encoding/binary"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// netUse is bytes that went over sockets.
type netUse struct{ in, out int64 }

// portsOf gives the ports of those addresses that are this machine's.
func portsOf(addrs []string) map[uint16]bool {
	ports := map[uint16]bool{}
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		n, err2 := strconv.ParseUint(port, 10, 16)
		if err == nil && err2 == nil && isLocal(host) {
			ports[uint16(n)] = true
		}
	}
	return ports
}

// sockets follows the TCP connections that brokers on these ports have accepted, by the kernel's own counters (sock_diag,
// what `ss -ti` shows). A connection that has closed keeps what was last seen of it.
type sockets struct {
	ports map[uint16]bool
	last  map[uint64]netUse // by cookie
}

func newSockets(ports map[uint16]bool) *sockets {
	return &sockets{ports: ports, last: map[uint64]netUse{}}
}

// use sums over all connections seen so far; zero where the kernel does not tell.
func (s *sockets) use() netUse {
	if len(s.ports) > 0 {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			s.dump(family)
		}
	}
	var sum netUse
	for _, u := range s.last {
		sum.in += u.in
		sum.out += u.out
	}
	return sum
}

const (
	sockDiagByFamily = 20
	inetDiagInfo     = 2  // the attribute that holds struct tcp_info
	diagRequestLen   = 56 // struct inet_diag_req_v2
	diagMessageLen   = 72 // struct inet_diag_msg
	ackedAt          = 120
	receivedAt       = 128 // tcpi_bytes_acked and tcpi_bytes_received in struct tcp_info
)

// dump asks for every established connection of a family.
func (s *sockets) dump(family uint8) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	timeout := unix.Timeval{Sec: 1}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	req := make([]byte, unix.NLMSG_HDRLEN+diagRequestLen)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := req[unix.NLMSG_HDRLEN:]
	body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(inetDiagInfo-1)
	const established = 1
	binary.NativeEndian.PutUint32(body[4:], 1<<established)
	if unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || n < unix.NLMSG_HDRLEN {
			return
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return
			case sockDiagByFamily:
				s.message(m.Data)
			}
		}
	}
}

func (s *sockets) message(data []byte) {
	if len(data) < diagMessageLen || !s.ports[binary.BigEndian.Uint16(data[4:])] {
		return
	}
	cookie := binary.NativeEndian.Uint64(data[44:])
	for rest := data[diagMessageLen:]; len(rest) >= 4; {
		size, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if size < 4 || size > len(rest) {
			return
		}
		if info := rest[4:size]; kind == inetDiagInfo && len(info) >= receivedAt+8 {
			s.last[cookie] = netUse{in: int64(binary.NativeEndian.Uint64(info[receivedAt:])), out: int64(binary.NativeEndian.Uint64(info[ackedAt:]))}
		}
		rest = rest[min((size+3)&^3, len(rest)):]
	}
}
