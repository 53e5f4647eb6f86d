package server_test

import (
	"bytes"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// real starts a server on real sockets.
func real(t testing.TB, handle server.Handler) (env.Env, *server.Server) {
	e := osenv.New(osenv.Options{})
	s, err := server.Listen(server.Options{Env: e, Addr: "127.0.0.1:0", Handle: handle, FrameBytesMax: 1 << 24, InFlightMax: 16, IdleMax: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Close(time.Second) })
	return e, s
}

// Over real sockets too: many connections at once, each with its replies in order, records by sendfile included.
func TestRealSockets(t *testing.T) {
	content := bytes.Repeat([]byte("Barnabas "), 20_000)
	dir := t.TempDir()
	var file env.File
	e, s := real(t, func(r *server.Request) server.Reply {
		if _, ok := r.Body.(*kmsg.FetchRequest); ok {
			slice := wire.Slice{File: file, Pos: 9, Len: int32(len(content) - 9)}
			return server.With(fetched(17, []wire.Slice{slice, {File: file, Pos: 0, Len: 9}}))
		}
		return server.Now(answer(r))
	})
	var err error
	if file, err = e.Open(dir+"/log", env.Create); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	group := env.NewGroup(e)
	for range 8 {
		group.Go("client", func() {
			c, err := e.Dial(s.Addr(), time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for round := range int32(50) {
				out := wire.AppendRequest(nil, "c", round, ask(round))
				out = wire.AppendRequest(out, "c", round+1000, fetchRequest(17))
				if _, err := c.Write(out); err != nil {
					t.Error(err)
					return
				}
				for _, want := range []int32{round, round + 1000} {
					frame, err := wire.ReadFrame(c, 1<<24, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if got, _ := wire.Correlation(frame); got != want {
						t.Errorf("reply %d, want %d", got, want)
					}
					if want < 1000 {
						continue
					}
					_, resp, err := wire.ParseResponse(frame, fetchRequest(17))
					if err != nil {
						t.Error(err)
						return
					}
					parts := resp.(*kmsg.FetchResponse).Topics[0].Partitions
					if !bytes.Equal(parts[0].RecordBatches, content[9:]) || !bytes.Equal(parts[1].RecordBatches, content[:9]) {
						t.Error("records differ")
					}
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkRoundTrip is a tiny request and its reply on one connection.
func BenchmarkRoundTrip(b *testing.B) {
	e, s := real(b, func(r *server.Request) server.Reply { return server.Now(answer(r)) })
	c, err := e.Dial(s.Addr(), time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	out := wire.AppendRequest(nil, "c", 1, ask(1))
	buf := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := wire.ReadFrame(c, 1<<20, buf); err != nil {
			b.Fatal(err)
		}
	}
}
