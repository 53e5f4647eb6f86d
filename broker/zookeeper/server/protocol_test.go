package server_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
	"barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"
)

// simulate runs f as a task beside a server "zk:2181" with ticks of a second, and returns what the server's node said.
func simulate(t *testing.T, f func(p *peer)) []env.Event {
	t.Helper()
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	var events []env.Event
	w.OnEmit(func(node string, ev env.Event) {
		if node == "zk" {
			events = append(events, ev)
		}
	})
	p := &peer{t: t}
	w.AddNode("zk", func(e env.Env) {
		s, err := server.New(e, server.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 1000, OutstandingMax: 10})
		if err == nil {
			p.server = s
			err = s.Run()
		}
		if err != nil {
			t.Errorf("server: %v", err)
		}
	})
	w.Start("zk")
	done := false
	w.Go("peer", func(e env.Env) {
		p.e = e
		f(p)
		done = true
	})
	w.RunUntil(func() bool { return done }, env.Instant(10*time.Minute))
	for _, c := range w.Crashes() {
		t.Error(c)
	}
	if !done && !t.Failed() {
		t.Errorf("the test does not end\n%s", w.Stuck())
	}
	return events
}

// peer speaks ZooKeeper's protocol by hand.
type peer struct {
	t      *testing.T
	e      env.Env
	server *server.Server
}

type wire struct {
	*peer
	env.Conn
	xid int32
}

func (p *peer) dial() *wire {
	conn, err := p.e.Dial("zk:2181", time.Second)
	for errors.Is(err, env.ErrRefused) && p.server == nil { // it is only starting
		p.e.Sleep(time.Millisecond)
		conn, err = p.e.Dial("zk:2181", time.Second)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	conn.SetReadDeadline(p.e.Mono().Add(30 * time.Second))
	return &wire{peer: p, Conn: conn}
}

// connect shakes hands.
func (p *peer) connect(request jute.ConnectRequest) (*wire, jute.ConnectResponse) {
	w := p.dial()
	w.send(request.Append(nil))
	frame, err := jute.ReadFrame(w, 1<<20, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := jute.ParseConnectResponse(frame)
	if err != nil {
		p.t.Fatal(err)
	}
	return w, response
}

func (p *peer) session() (*wire, jute.ConnectResponse) {
	return p.connect(jute.ConnectRequest{TimeoutMs: 10_000, Password: make([]byte, 16)})
}

func (w *wire) send(data []byte) {
	if _, err := w.Write(data); err != nil {
		w.t.Fatal(err)
	}
}

// frame reads the next frame's header and body.
func (w *wire) frame() (jute.ReplyHeader, []byte) {
	frame, err := jute.ReadFrame(w, 1<<20, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	h, body, err := jute.ParseReply(frame)
	if err != nil {
		w.t.Fatal(err)
	}
	return h, body
}

// do sends one request and reads its answer.
func (w *wire) do(r jute.Request) (jute.Response, jute.Code) {
	w.xid++
	r.Xid = w.xid
	w.send(r.Append(nil))
	h, body := w.frame()
	if h.Xid != r.Xid {
		w.t.Fatalf("answer to %d, want %d", h.Xid, r.Xid)
	}
	if h.Err != jute.OK {
		return jute.Response{}, h.Err
	}
	response, err := jute.ParseResponse(r.Code, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response, jute.OK
}

func (w *wire) mustDo(r jute.Request, want jute.Code) jute.Response {
	w.t.Helper()
	response, code := w.do(r)
	if code != want {
		w.t.Errorf("%+v: %v, want %v", r.Op, code, want)
	}
	return response
}

func (w *wire) closed(what string) {
	w.t.Helper()
	if n, err := w.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, env.ErrReset) {
		w.t.Errorf("%s: %d bytes and error %v, want a closed connection", what, n, err)
	}
}

func create(path string) jute.Request {
	return jute.Request{Op: jute.Op{Code: jute.OpCreate, Path: path, ACL: jute.OpenACL}}
}

// Goal: an operator's four-letter words are answered, before any session.
func TestFourLetterWords(t *testing.T) {
	simulate(t, func(p *peer) {
		s, _ := p.session()
		s.mustDo(create("/a"), jute.OK)
		for word, want := range map[string]string{
			"ruok": "imok", "isro": "rw", "srvr": "Mode: standalone\nNode count: 5\n", "stat": "Clients:\n harness:",
			"mntr": "zk_znode_count\t5\n",
		} {
			w := p.dial()
			w.send([]byte(word))
			answer, err := io.ReadAll(w)
			if err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("%s: %q, %v", word, answer, err)
			}
		}
	})
}

// Goal: a malformed frame closes its connection, is told once with the peer, and hurts nobody else.
func TestMalformedFrameClosesItsConnectionOnly(t *testing.T) {
	hello := (&jute.ConnectRequest{TimeoutMs: 4000, Password: make([]byte, 16)}).Append(nil)
	bad := map[string][]byte{
		"http":              []byte("GET / HTTP/1.1\r\n\r\n"),
		"negative length":   {0xff, 0xff, 0xff, 0xff},
		"short connect":     {0, 0, 0, 2, 0, 0},
		"frame too long":    append(bytes.Clone(hello), 0, 0x10, 0, 0, 1),
		"path beyond frame": append(bytes.Clone(hello), 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0x7f, 0xff, 0xff, 0xff),
		"header cut":        append(bytes.Clone(hello), 0, 0, 0, 2, 0, 0),
	}
	events := simulate(t, func(p *peer) {
		good, _ := p.session()
		for name, data := range bad {
			w := p.dial()
			if rest, ok := bytes.CutPrefix(data, hello); ok {
				w, _ = p.session()
				data = rest
			}
			w.send(data)
			w.closed(name)
		}
		cut := p.dial()
		cut.send(hello[:10])
		cut.Close()
		good.mustDo(create("/a"), jute.OK)
	})
	refused := 0
	for _, ev := range events {
		if ev.Kind.Name == "zookeeper-refused" && strings.HasPrefix(ev.Text, "harness:") {
			refused++
		}
	}
	if refused != len(bad) {
		t.Errorf("%d events for %d malformed frames", refused, len(bad))
	}
}

// Goal: sessions are negotiated, re-attached and refused as ZooKeeper does.
func TestHandshake(t *testing.T) {
	simulate(t, func(p *peer) {
		for asked, want := range map[int32]int32{0: 2000, 5000: 5000, 1 << 30: 20_000, -1: 2000} {
			_, r := p.connect(jute.ConnectRequest{TimeoutMs: asked, Password: make([]byte, 16)})
			if r.TimeoutMs != want || r.SessionID == 0 || len(r.Password) != 16 || r.NoReadOnly {
				t.Errorf("asked for %d ms: %+v", asked, r)
			}
		}
		_, old := p.connect(jute.ConnectRequest{TimeoutMs: 5000, NoReadOnly: true})
		if old.SessionID == 0 || !old.NoReadOnly {
			t.Errorf("client without the readOnly byte: %+v", old)
		}

		first, s := p.session()
		first.mustDo(create("/a"), jute.OK)
		for name, request := range map[string]jute.ConnectRequest{
			"wrong password": {SessionID: s.SessionID, Password: make([]byte, 16)},
			"unknown id":     {SessionID: 77, Password: s.Password},
		} {
			w, r := p.connect(request)
			if r.TimeoutMs != 0 || r.SessionID != 0 {
				t.Errorf("%s: %+v", name, r)
			}
			w.closed(name)
		}
		first.mustDo(create("/b"), jute.OK) // nobody has moved it

		second, r := p.connect(jute.ConnectRequest{TimeoutMs: 3000, SessionID: s.SessionID, Password: s.Password})
		if r.SessionID != s.SessionID || r.TimeoutMs != 3000 || !bytes.Equal(r.Password, s.Password) {
			t.Errorf("re-attached: %+v", r)
		}
		first.closed("the connection that the session has left")
		second.mustDo(create("/c"), jute.OK)

		ahead := p.dial()
		ahead.send((&jute.ConnectRequest{LastZxidSeen: 1 << 40, TimeoutMs: 5000}).Append(nil))
		ahead.closed("a client that has seen more than the server")
	})
}

// Goal: the operations that no Session of ours uses, and what is not served, are answered as documented.
func TestOperationsOfOtherClients(t *testing.T) {
	simulate(t, func(p *peer) {
		w, s := p.session()
		w.mustDo(create("/a"), jute.OK)
		ephemeral := create("/a/e")
		ephemeral.Mode = zookeeper.Ephemeral
		if r := w.mustDo(ephemeral, jute.OK); r.Path != "/a/e" {
			t.Errorf("create: %+v", r)
		}
		if r := w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpGetChildren, Path: "/a"}}, jute.OK); !reflect.DeepEqual(r.Children, []string{"e"}) {
			t.Errorf("children: %+v", r)
		}
		if r := w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpGetEphemerals, Path: "/"}}, jute.OK); !reflect.DeepEqual(r.Children, []string{"/a/e"}) {
			t.Errorf("ephemerals of %#x: %+v", s.SessionID, r)
		}
		if r := w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpAllChildrenNumber, Path: "/"}}, jute.OK); r.Count != 5 {
			t.Errorf("all children: %+v", r)
		}
		if r := w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpGetACL, Path: "/a"}}, jute.OK); !reflect.DeepEqual(r.ACL, jute.OpenACL) || r.Stat.Czxid == 0 {
			t.Errorf("acl: %+v", r)
		}
		setACL := jute.Request{Op: jute.Op{Code: jute.OpSetACL, Path: "/a", ACL: jute.OpenACL}}
		if r := w.mustDo(setACL, jute.OK); r.Stat.Aversion != 1 {
			t.Errorf("set acl: %+v", r)
		}
		w.mustDo(setACL, jute.BadVersion)
		closedACL := create("/b")
		closedACL.ACL = []jute.ACL{{Perms: jute.PermAll, Scheme: "digest", ID: "u:p"}}
		w.mustDo(closedACL, jute.InvalidACL)
		closedACL.ACL = nil
		w.mustDo(closedACL, jute.InvalidACL)
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpCheck, Path: "/a", Version: 1}}, jute.BadVersion)
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpAuth}}, jute.OK)
		for _, code := range []jute.OpCode{16, 19, 21, 22, 102, 106, 107, 999, -10} {
			w.mustDo(jute.Request{Op: jute.Op{Code: code}}, jute.Unimplemented)
		}
		container := create("/container")
		container.Mode = 4
		w.mustDo(container, jute.Unimplemented)

		multi := jute.Request{Op: jute.Op{Code: jute.OpMulti}, Ops: []jute.Op{create("/x").Op, closedACL.Op, create("/y").Op}}
		want := []jute.OpResult{{Code: -1}, {Code: -1, Err: jute.InvalidACL}, {Code: -1, Err: jute.RuntimeInconsistency}}
		if r := w.mustDo(multi, jute.OK); !reflect.DeepEqual(r.Results, want) {
			t.Errorf("multi: %+v", r.Results)
		}
		multi.Ops[0].Path = "/a"
		want = []jute.OpResult{{Code: -1, Err: jute.NodeExists}, {Code: -1, Err: jute.RuntimeInconsistency}, {Code: -1, Err: jute.RuntimeInconsistency}}
		if r := w.mustDo(multi, jute.OK); !reflect.DeepEqual(r.Results, want) {
			t.Errorf("multi: %+v", r.Results)
		}
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpExists, Path: "/x"}}, jute.NoNode)
		removeWatches(w)
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpCloseSession}}, jute.OK)
		w.closed("after the session's end")
	})
}

func removeWatches(w *wire) {
	remove := func(kind int32, want jute.Code) {
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpRemoveWatches, Path: "/a"}, WatcherType: kind}, want)
	}
	remove(3, jute.NoWatcher)
	remove(0, jute.BadArguments)
	w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpGetData, Path: "/a"}, Watch: true}, jute.OK)
	remove(1, jute.NoWatcher)
	remove(2, jute.OK)
	w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpGetChildren, Path: "/a"}, Watch: true}, jute.OK)
	remove(1, jute.OK)
	w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpSetData, Path: "/a", Version: -1}}, jute.OK) // no event in between
	w.mustDo(create("/a/second"), jute.OK)
}

// Goal: requests of one connection are answered in order however many are under way, and their writes share syncs.
func TestPipelinedRequestsShareSyncs(t *testing.T) {
	simulate(t, func(p *peer) {
		w, _ := p.session()
		w.mustDo(create("/a"), jute.OK)
		began := p.e.Mono()
		w.mustDo(jute.Request{Op: jute.Op{Code: jute.OpSetData, Path: "/a", Version: -1}}, jute.OK)
		one := p.e.Mono().Sub(began)

		const n = 400 // more than may wait on one connection
		var out []byte
		for i := range int32(n) {
			r := jute.Request{Xid: i, Op: jute.Op{Code: jute.OpSetData, Path: "/a", Version: -1}}
			if i%4 == 3 {
				r.Code = jute.OpGetData
			}
			out = r.Append(out)
		}
		began = p.e.Mono()
		w.send(out)
		for i := range int32(n) {
			if h, _ := w.frame(); h.Xid != i {
				t.Fatalf("answer to %d, want %d", h.Xid, i)
			}
		}
		if all := p.e.Mono().Sub(began); all > n/4*one {
			t.Errorf("%d requests took %v, one alone %v", n, all, one)
		}
	})
}

// Goal: a client that sends and does not read is not given memory without end, and hurts nobody else.
func TestClientThatDoesNotReadIsNotReadEither(t *testing.T) {
	events := simulate(t, func(p *peer) {
		deaf, _ := p.connect(jute.ConnectRequest{TimeoutMs: 2000, Password: make([]byte, 16)})
		good, _ := p.session()
		good.mustDo(create("/a"), jute.OK)
		big := jute.Request{Op: jute.Op{Code: jute.OpSetData, Path: "/a", Version: -1, Data: make([]byte, 500_000)}}
		good.mustDo(big, jute.OK)
		get := jute.Request{Op: jute.Op{Code: jute.OpGetData, Path: "/a"}}
		var out []byte
		for range 2000 {
			out = get.Append(out)
		}
		deaf.SetWriteDeadline(p.e.Mono().Add(20 * time.Second))
		deaf.Write(out)
		for range 8 {
			p.e.Sleep(time.Second)
			good.mustDo(get, jute.OK)
		}
	})
	for _, ev := range events {
		if ev.Kind.Name == "zookeeper-session-expired" {
			return
		}
	}
	t.Error("the client that does not read keeps its session")
}
