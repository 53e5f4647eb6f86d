package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// probes is what this machine does by itself, without any broker.
type probes struct {
	rtt      []time.Duration // sorted, of 100 bytes over loopback
	call     time.Duration   // CPU of one read or write of a socket, waking included
	sockByte float64         // CPU of a byte written to and read from a socket, ns, each side half
	filePer  time.Duration   // CPU of a small WriteAt
	fileByte float64         // CPU of a byte written into the page cache, ns
	sync     []time.Duration // sorted, fdatasync after 16 KiB
	write    float64         // bytes/s, synced each MiB
}

func at(sorted []time.Duration, percentile float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(percentile/100*float64(len(sorted))))]
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// probe measures for about two seconds. dir is where a broker's log would be.
func probe(dir string) (*probes, error) {
	p := &probes{}
	if err := p.loopback(); err != nil {
		return nil, fmt.Errorf("probe of loopback: %w", err)
	}
	if err := p.disk(dir); err != nil {
		return nil, fmt.Errorf("probe of %s: %w", dir, err)
	}
	return p, nil
}

func (p *probes) loopback() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(onlyWriter{c}, onlyReader{c})
			}()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	trip := func(buf []byte, n int) error {
		for range n {
			if _, err := c.Write(buf); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				return err
			}
		}
		return nil
	}
	small, large := make([]byte, 100), make([]byte, 24<<10)
	if err := trip(small, 500); err != nil {
		return err
	}
	const rounds = 5000
	cpu := cpuTime()
	for range rounds {
		began := time.Now()
		if err := trip(small, 1); err != nil {
			return err
		}
		p.rtt = append(p.rtt, time.Since(began))
	}
	cpu = cpuTime() - cpu
	p.call = cpu / (4 * rounds)
	sort.Slice(p.rtt, func(i, j int) bool { return p.rtt[i] < p.rtt[j] })
	cpu = cpuTime()
	if err := trip(large, rounds); err != nil {
		return err
	}
	more := float64(cpuTime()-cpu)/(4*rounds) - float64(p.call)
	p.sockByte = max(0, more) / float64(len(large))
	return nil
}

type onlyWriter struct{ io.Writer } // without ReadFrom: Go would splice, and a broker cannot
type onlyReader struct{ io.Reader }

func (p *probes) disk(dir string) error {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	block, large := make([]byte, 16<<10), make([]byte, 1<<20)
	cpu := cpuTime()
	const calls = 4000
	for i := range calls {
		if _, err := f.WriteAt(block[:64], int64(i)*64); err != nil {
			return err
		}
	}
	p.filePer = (cpuTime() - cpu) / calls
	cpu = cpuTime()
	for i := range calls {
		if _, err := f.WriteAt(block, int64(i%1024)*int64(len(block))); err != nil {
			return err
		}
	}
	p.fileByte = max(0, float64(cpuTime()-cpu)/calls-float64(p.filePer)) / float64(len(block))
	for i := range 100 {
		if _, err := f.WriteAt(block, int64(i)*int64(len(block))); err != nil {
			return err
		}
		began := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		p.sync = append(p.sync, time.Since(began))
	}
	sort.Slice(p.sync, func(i, j int) bool { return p.sync[i] < p.sync[j] })
	began := time.Now()
	const mib = 64
	for i := range mib {
		if _, err := f.WriteAt(large, int64(i)<<20); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
	}
	p.write = mib * (1 << 20) / time.Since(began).Seconds()
	return nil
}

// profile is a first guess from the probes alone. How often others take the cores is no more than a guess.
func (p *probes) profile() *Profile {
	ns := func(d time.Duration) Duration { return Duration(max(d, 100*time.Nanosecond)) }
	wire := max(at(p.rtt, 50)/2-2*p.call, 20*time.Microsecond) // processes wake each other less quickly than a ping-pong
	costs := ProfileCosts{Read: ns(p.call), Write: ns(p.call), ReadByte: p.sockByte, WriteByte: p.sockByte, SendByte: p.sockByte,
		FileWrite: ns(p.filePer), FileRead: ns(p.filePer / 2), FileWriteByte: p.fileByte, FileReadByte: p.fileByte / 3}
	client := costs
	client.Record = Duration(700 * time.Nanosecond)
	return &Profile{Name: "calibrated", Machine: ProfileMachine{Cores: runtime.NumCPU(), Shared: true, AwayEvery: Duration(200 * time.Millisecond), AwayFor: Duration(10 * time.Millisecond)}, Zones: ProfileZones{Count: 1},
		Network: ProfileNetwork{LatencyMin: Duration(wire * 3 / 4), LatencyMax: Duration(wire * 5 / 4), Bandwidth: 4e9},
		Disk:    ProfileDisk{Seek: 20_000, Bandwidth: Size(max(p.write, 1e6)), Flush: Duration(at(p.sync, 50)), FlushTail: Duration(at(p.sync, 99)), FlushTailOneIn: 100},
		Broker:  costs, Client: client}
}
