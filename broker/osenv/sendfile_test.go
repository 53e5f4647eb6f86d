package osenv

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"barnabas/broker/env"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect gives both ends of a connection; the test closes them.
func connect(t *testing.T, e *Env) (client, server *conn) {
	t.Helper()
	l, err := e.Listen("127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dialled, err := e.Dial(l.Addr(), 10*time.Second)
	must(t, err)
	accepted, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled.(*conn), accepted.(*conn)
}

// randomFile makes a file of n random bytes.
func randomFile(t *testing.T, e *Env, n int) (env.File, []byte) {
	t.Helper()
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	f, err := e.Open(filepath.Join(t.TempDir(), "segment"), env.CreateNew)
	must(t, err)
	_, err = f.WriteAt(data, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f, data
}

// Goal: many connections send ranges of one descriptor at once, to slow readers, through small socket buffers, and
// each gets exactly its bytes, none of which entered user space.
func TestSendfileToSlowReadersFromOneDescriptor(t *testing.T) {
	e := New(Options{Seed: 1})
	f, data := randomFile(t, e, 8<<20)
	var wg sync.WaitGroup
	var total int64
	for i := range 4 {
		client, server := connect(t, e)
		must(t, server.tcp.SetWriteBuffer(16<<10))
		must(t, client.tcp.SetReadBuffer(16<<10))
		offset, n := int64(1_000_003*i), int64(4<<20)
		total += n
		wg.Go(func() {
			if sent, err := server.SendFile(f, offset, n); sent != n || err != nil {
				t.Errorf("connection %d: sent %d, %v", i, sent, err)
			}
			server.Close()
		})
		wg.Go(func() {
			got := make([]byte, 0, n)
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for {
				p := make([]byte, 1+r.IntN(40_000))
				k, err := client.Read(p)
				got = append(got, p[:k]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					break
				}
			}
			if !bytes.Equal(got, data[offset:offset+n]) {
				t.Errorf("connection %d: got %d bytes, and not those of the file", i, len(got))
			}
		})
	}
	wg.Wait()
	stats := e.Stats()
	if stats.SendfileBytes != total || stats.CopiedBytes != 0 {
		t.Errorf("stats %+v, want all %d bytes by sendfile", stats, total)
	}
	if stats.SendfileCalls <= 4 {
		t.Errorf("%d calls for 4 transfers: none was partial, so the test shows too little", stats.SendfileCalls)
	}
}

// wrapped is a file of another world: SendFile cannot know its descriptor.
type wrapped struct{ env.File }

// Goal: a file that is not the system's is copied, with the same bytes and the same errors.
func TestSendFileCopiesForeignFiles(t *testing.T) {
	e := New(Options{Seed: 1})
	f, data := randomFile(t, e, 700_000)
	client, server := connect(t, e)
	var wg sync.WaitGroup
	wg.Go(func() {
		sent, err := server.SendFile(wrapped{f}, 100_000, 700_000)
		if sent != 600_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("sent %d, %v; want 600000 and an unexpected end", sent, err)
		}
		server.Close()
	})
	got, err := io.ReadAll(client)
	wg.Wait()
	must(t, err)
	if !bytes.Equal(got, data[100_000:]) {
		t.Errorf("got %d bytes, and not those of the file", len(got))
	}
	if stats := e.Stats(); stats.CopiedBytes != 600_000 || stats.SendfileBytes != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// Goal: a transfer to a peer that does not read ends at its deadline, tells how much went out, and the peer can still
// read exactly that.
func TestSendfileStopsAtItsDeadline(t *testing.T) {
	e := New(Options{Seed: 1})
	f, data := randomFile(t, e, 16<<20)
	client, server := connect(t, e)
	server.SetWriteDeadline(e.Mono().Add(30 * time.Millisecond))
	sent, err := server.SendFile(f, 0, int64(len(data)))
	if !errors.Is(err, env.ErrTimeout) || sent == 0 || sent >= int64(len(data)) {
		t.Fatalf("sent %d, %v; want a part and ErrTimeout", sent, err)
	}
	server.Close()
	got, err := io.ReadAll(client)
	must(t, err)
	if !bytes.Equal(got, data[:sent]) {
		t.Errorf("the peer got %d bytes, %d were sent", len(got), sent)
	}
}

// Goal: closing the connection, the peer or the file ends a transfer with the right error.
func TestSendfileEndsWithItsConnectionOrFile(t *testing.T) {
	e := New(Options{Seed: 1})
	f, _ := randomFile(t, e, 16<<20)
	for name, c := range map[string]struct {
		end  func(client, server *conn)
		want error
	}{
		"own":  {func(_, server *conn) { server.Close() }, env.ErrClosed},
		"peer": {func(client, _ *conn) { client.tcp.SetLinger(0); client.Close() }, env.ErrReset},
	} {
		client, server := connect(t, e)
		result := make(chan error)
		go func() {
			_, err := server.SendFile(f, 0, 16<<20)
			result <- err
		}()
		one := make([]byte, 1)
		_, err := io.ReadFull(client, one) // the transfer is under way
		must(t, err)
		c.end(client, server)
		if err := <-result; !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, server := connect(t, e)
	f.Close()
	if _, err := server.SendFile(f, 0, 10); !errors.Is(err, env.ErrClosed) {
		t.Errorf("closed file: %v", err)
	}
}

// Goal: a header by WriteMore and a body by SendFile arrive in order, for bodies around the size of a segment.
func TestHeaderAndBodyStayInOrder(t *testing.T) {
	e := New(Options{Seed: 1})
	f, data := randomFile(t, e, 70_000)
	client, server := connect(t, e)
	var want []byte
	sizes := []int64{0, 1, 1447, 1448, 1449, 65_535, 65_536, 70_000}
	for _, n := range sizes {
		want = append(append(want, "header"...), data[:n]...)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, n := range sizes {
			_, err := server.WriteMore([]byte("header"))
			if err == nil {
				_, err = server.SendFile(f, 0, n)
			}
			if err != nil {
				t.Error(err)
			}
		}
		server.Close()
	})
	got, err := io.ReadAll(client)
	wg.Wait()
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d in order", len(got), len(want))
	}
}

// BenchmarkSendFile is the way of a fetch: a header and a megabyte.
func BenchmarkSendFile(b *testing.B) {
	e := New(Options{Seed: 1})
	l, _ := e.Listen("127.0.0.1:0")
	client, err := e.Dial(l.Addr(), time.Second)
	if err != nil {
		b.Fatal(err)
	}
	server, _ := l.Accept()
	go io.Copy(io.Discard, client)
	f, _ := e.Open(filepath.Join(b.TempDir(), "segment"), env.CreateNew)
	f.WriteAt(make([]byte, 1<<20), 0)
	head := make([]byte, 80)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		server.WriteMore(head)
		if _, err := server.SendFile(f, 0, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// Goal: an answer in parts of 64 KiB, wherever in the file its records lie, is one packet where packets are that large, as a
// sendfile(2) of the records alone would be; whatever the lengths, the peer gets every part in order, and the last at once.
// Method: loopback; the kernel counts the packets.
func TestAnswerInPartsIsOnePacket(t *testing.T) {
	e := New(Options{Seed: 1})
	f, data := randomFile(t, e, 1<<20)
	client, server := connect(t, e)
	answer := func(head, offset, n, tail int) {
		t.Helper()
		want := bytes.Join([][]byte{data[:head], data[offset : offset+n], data[:tail]}, nil)
		_, err := server.WriteMore(want[:head])
		if err == nil {
			_, err = server.SendFile(f, int64(offset), int64(n))
		}
		if err == nil {
			_, err = server.Write(want[head+n:])
		}
		must(t, err)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %d from %d on, %d: other bytes arrived, or %v", head, n, offset, tail, err)
		}
	}
	packets := func() uint32 {
		var info *unix.TCPInfo
		var err error
		server.raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
		must(t, err)
		if info.Snd_mss < 65_400 {
			t.Skipf("packets of %d bytes", info.Snd_mss)
		}
		return info.Data_segs_out
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 { // also to have the windows grow
		answer(r.IntN(3000), r.IntN(1<<19), r.IntN(200_000), r.IntN(3))
		if r.IntN(3) == 0 {
			_, err := server.Write([]byte("alone"))
			must(t, err)
			_, err = io.ReadFull(client, make([]byte, 5))
			must(t, err)
		}
	}
	const answers = 200
	before := packets()
	for range answers {
		answer(67, r.IntN(1<<19), 65_213, 3)
	}
	if n := packets() - before; n > answers*11/10 { // a window may have been full
		t.Errorf("%d packets for %d answers", n, answers)
	}
}
