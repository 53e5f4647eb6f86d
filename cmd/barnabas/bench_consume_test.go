package main

import (
	bin "encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// Goal: what the broker adds to sendfile(2) when a consumer reads (make bench-broker).
// Method: the client of both sides is the same loop over one connection, a request and then as many bytes as one answer has, read into
// the same buffer. The broker gets fetches of a session, as consumers send them; the plain server is a process of its own with a
// socket of the same kind, that answers each request of some bytes with sendfile(2) of the same file, position and length. They
// take turns, a quarter of a GB each, and what is compared is nanoseconds of their threads on a CPU, kernel included.
//
// The goal counts from plain sendfile(2). What no fetch can do without is measured beside it: the same server with a header before the
// records and a few bytes behind them, as the protocol has them.

const (
	frameHead = 71 // of a fetch v12 of one partition, with the frame's size
	frameTail = 3
)

// consume has all sides read the last topic in answers of at most size bytes, and returns the CPU seconds a GB of each, by turn, and
// the length of an answer.
func (b *brokerBench) consume(size int32, rounds int) (ours, plain, framed []float64, answer int64) {
	b.t.Helper()
	const stretch = 256 << 20
	fetcher := b.newFetcher(size)
	defer fetcher.conn.Close()
	servers := []*plainServer{nil, b.plainSendfile(false), b.plainSendfile(true)}
	for _, s := range servers[1:] {
		defer s.stop()
	}
	for turn := range rounds + 1 {
		var cost [3]float64
		for i := range cost {
			if side := (turn + i) % len(cost); side == 0 {
				before := b.cpu()
				bytes := fetcher.read(stretch)
				cost[0] = (b.cpu() - before) / (float64(bytes) / 1e9)
			} else {
				server := servers[side]
				before := threadsCPU(b.t, server.cmd.Process.Pid)
				bytes := server.read(fetcher.answers, stretch)
				cost[side] = (threadsCPU(b.t, server.cmd.Process.Pid) - before) / (float64(bytes) / 1e9)
			}
		}
		if turn > 0 { // the first teaches the plain ones how long answers are
			ours, plain, framed = append(ours, cost[0]), append(plain, cost[1]), append(framed, cost[2])
		}
	}
	return ours, plain, framed, fetcher.answers[0]
}

// unpaced is a listening socket for a process to inherit, whose connections have no congestion control that paces: over loopback
// BBR's timers cost as much as the rest, and more the longer a server thinks between two answers.
func unpaced(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := unix.SetsockoptString(int(file.Fd()), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"); err != nil {
		t.Logf("no cubic: %v; the system's congestion control it is", err)
	}
	return file, l.Addr().String()
}

// fetcher reads a topic over and over.
type fetcher struct {
	b       *brokerBench
	conn    net.Conn
	req     *kmsg.FetchRequest
	buf     []byte
	offset  int64
	end     int64
	answers []int64 // the bytes of records of each answer, from the topic's beginning on
}

func (b *brokerBench) newFetcher(size int32) *fetcher {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	b.must(err)
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, -1, 500, 1, 50<<20
	topic, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	topic.Topic, p.PartitionMaxBytes = b.topic(), size
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return &fetcher{b: b, conn: conn, req: req, buf: make([]byte, size+64<<10)}
}

// read fetches about so many bytes of records, in whole readings of the topic's first gigabyte.
func (f *fetcher) read(stretch int64) (bytes int64) {
	for bytes < stretch {
		n := f.fetch()
		if n == 0 {
			f.b.t.Fatal("an answer without records")
		}
		bytes += n
	}
	return bytes
}

func (f *fetcher) fetch() int64 {
	f.req.Topics[0].Partitions[0].FetchOffset = f.offset
	out := f.req.AppendTo(append(bin.BigEndian.AppendUint32([]byte{0, 0, 0, 0, 0, 1, 0, byte(f.req.Version)}, 7), 0, 1, 'b', 0))
	bin.BigEndian.PutUint32(out, uint32(len(out)-4))
	_, err := f.conn.Write(out)
	f.b.must(err)
	n, err := io.ReadAtLeast(f.conn, f.buf, 4)
	f.b.must(err)
	total := 4 + int(bin.BigEndian.Uint32(f.buf))
	_, err = io.ReadFull(f.conn, f.buf[n:total])
	f.b.must(err)
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = f.req.Version
	f.b.must(resp.ReadFrom(f.buf[9:total]))
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		f.b.t.Fatalf("fetch: error %d, %d topics", resp.ErrorCode, len(resp.Topics))
	}
	p := &resp.Topics[0].Partitions[0]
	for rest := p.RecordBatches; len(rest) > 0; {
		var batch record.Batch
		batch, rest, err = record.Next(rest)
		f.b.must(err)
		f.offset = batch.NextOffset()
	}
	if len(f.answers) == 0 || f.end == 0 {
		f.answers = append(f.answers, int64(len(p.RecordBatches)))
	}
	if f.offset >= p.HighWatermark { // once around
		f.offset, f.end = 0, p.HighWatermark
	}
	f.req.SessionID, f.req.SessionEpoch = resp.SessionID, f.req.SessionEpoch+1
	return int64(len(p.RecordBatches))
}

// plainServer is the process that does sendfile(2) and nothing else.
type plainServer struct {
	b    *brokerBench
	cmd  *exec.Cmd
	conn net.Conn
	buf  []byte
	next int
	pos  int64
	more int64 // bytes of an answer besides the records
}

func (b *brokerBench) plainSendfile(framed bool) *plainServer {
	b.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServeBySendfile$", "-test.v")
	cmd.Env = append(os.Environ(), "BARNABAS_SENDFILE="+filepath.Join(b.dir, "logs", b.topic()+"-0", fmt.Sprintf("%020d.log", 0)))
	socket, addr := unpaced(b.t)
	cmd.Env = append(cmd.Env, osenv.InheritEnv+"="+addr)
	cmd.ExtraFiles = []*os.File{socket}
	s := &plainServer{b: b, cmd: cmd, buf: make([]byte, 2<<20)}
	if framed {
		cmd.Env = append(cmd.Env, "BARNABAS_SENDFILE_FRAMED=1")
		s.more = frameHead + frameTail
	}
	b.must(cmd.Start())
	conn, err := net.Dial("tcp", addr)
	b.must(err)
	s.conn = conn
	return s
}

func (s *plainServer) stop() { s.conn.Close(); s.cmd.Process.Kill(); s.cmd.Wait() }

// read asks for answers as long as those of the broker, one behind the other in the file.
func (s *plainServer) read(answers []int64, stretch int64) (bytes int64) {
	ask := make([]byte, 90) // about what a fetch has
	for bytes < stretch {
		n := answers[s.next]
		bin.BigEndian.PutUint64(ask, uint64(s.pos))
		bin.BigEndian.PutUint64(ask[8:], uint64(n))
		_, err := s.conn.Write(ask)
		s.b.must(err)
		_, err = io.ReadFull(s.conn, s.buf[:n+s.more])
		s.b.must(err)
		bytes, s.pos = bytes+n, s.pos+n
		if s.next++; s.next == len(answers) {
			s.next, s.pos = 0, 0
		}
	}
	return bytes
}

// TestServeBySendfile is the other process of plainSendfile.
func TestServeBySendfile(t *testing.T) {
	name := os.Getenv("BARNABAS_SENDFILE")
	if name == "" {
		t.Skip("part of 'make bench-broker'")
	}
	e := osenv.New(osenv.Options{})
	f, err := e.Open(name, env.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Listen(os.Getenv(osenv.InheritEnv))
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ask, framed := make([]byte, 90), os.Getenv("BARNABAS_SENDFILE_FRAMED") != ""
	head, tail := make([]byte, frameHead), make([]byte, frameTail)
	for {
		for n := 0; n < len(ask); {
			got, err := c.Read(ask[n:])
			if err != nil {
				return
			}
			n += got
		}
		if framed {
			c.WriteMore(head)
		}
		if _, err := c.SendFile(f, int64(bin.BigEndian.Uint64(ask)), int64(bin.BigEndian.Uint64(ask[8:]))); err != nil {
			t.Fatal(err)
		}
		if framed {
			c.Write(tail)
		}
	}
}

// threadsCPU is how long the threads of a process have been on a CPU, in seconds; of those that are gone nothing counts.
func threadsCPU(t *testing.T, pid int) float64 {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	var sum time.Duration
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(data), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum.Seconds()
}
