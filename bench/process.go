package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ticks a second in /proc: USER_HZ, 100 on every Linux that Go runs on.
const userHz = 100

// procUse is a process's counters at one moment.
type procUse struct {
	cpu         float64 // seconds
	rss         int64
	read, wrote int64 // bytes to and from devices
}

func readProc(pid int) (procUse, error) {
	var u procUse
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	f := strings.Fields(rest) // from field 3, the state, on
	if len(f) < 22 {
		return u, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	u.cpu = float64(user+system) / userHz
	u.rss = pages * int64(os.Getpagesize())
	if io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)); err == nil {
		for _, line := range strings.Split(string(io), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch name {
			case "read_bytes":
				u.read = n
			case "write_bytes":
				u.wrote = n
			}
		}
	}
	return u, nil
}

// usage sums the counters of processes; those that are gone count as they last were.
func usage(pids []int, last map[int]procUse) procUse {
	var sum procUse
	for _, pid := range pids {
		if u, err := readProc(pid); err == nil {
			last[pid] = u
		}
		u := last[pid]
		sum.cpu += u.cpu
		sum.rss += u.rss
		sum.read += u.read
		sum.wrote += u.wrote
	}
	return sum
}

// machineUse is how much CPU all of the machine's processes had, and how much nobody wanted, in seconds since boot.
func machineUse() (busy, idle float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, s := range strings.Fields(line)[1:] {
		v, _ := strconv.ParseFloat(s, 64)
		switch i {
		case 3, 4: // idle, iowait
			idle += v / userHz
		case 8, 9: // guest, counted in user already
		default:
			busy += v / userHz
		}
	}
	return busy, idle
}

// listeners finds the processes of this machine that listen on addrs, if those are addresses of this machine; others may
// listen on the same ports of other addresses. A process that but keeps a socket for a child which serves it ('barnabas up', a supervisor)
// is not one of them. It needs to be allowed to look at the processes' descriptors: the same user, or root.
func listeners(addrs []string) []int {
	inodes := map[string]bool{}
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		n, err2 := strconv.Atoi(port)
		if err != nil || err2 != nil || !isLocal(host) {
			continue
		}
		for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			for _, inode := range listening(file, host, n) {
				inodes["socket:["+inode+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	holders := map[string]map[int]bool{} // of each socket
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && inodes[target] {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			if holders[target] == nil {
				holders[target] = map[int]bool{}
			}
			holders[target][pid] = true
		}
	}
	var list []int
	for _, pids := range holders {
		keepers := map[int]bool{}
		for pid := range pids {
			keepers[parent(pid)] = true
		}
		for pid := range pids {
			if !keepers[pid] {
				list = append(list, pid)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// parent is the process that a process is a child of, 0 if it is gone.
func parent(pid int) int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

func isLocal(host string) bool {
	ips, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	own, _ := net.InterfaceAddrs()
	for _, ip := range ips {
		if ip.IsLoopback() {
			return true
		}
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}

// listening gives the inodes of sockets in state LISTEN on a port of a host, or of all addresses.
func listening(file, host string, port int) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return nil
	}
	var inodes []string
	for _, line := range strings.Split(string(data), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != "0A" {
			continue
		}
		a, p, _ := strings.Cut(f[1], ":")
		b, err := hex.DecodeString(p)
		ip := kernelIP(a)
		if err != nil || len(b) != 2 || int(b[0])<<8|int(b[1]) != port || ip == nil {
			continue
		}
		if ip.IsUnspecified() || slices.ContainsFunc(ips, ip.Equal) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// kernelIP reads an address as /proc/net/tcp and tcp6 write it: words of four bytes, each in the machine's own order. It is nil for what is none.
func kernelIP(text string) net.IP {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != net.IPv4len && len(b) != net.IPv6len {
		return nil
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	return b
}

// commandLine is a process in a few words.
func commandLine(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	text := strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
	if program, rest, ok := strings.Cut(text, " "); ok { // where it is installed is nobody's business
		text = filepath.Base(program) + " " + rest
	}
	for _, word := range strings.Fields(text) { // a JVM's command line is mostly its class path
		if word == "kafka.Kafka" {
			return fmt.Sprintf("pid %d: java … kafka.Kafka", pid)
		}
	}
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return fmt.Sprintf("pid %d: %s", pid, text)
}
