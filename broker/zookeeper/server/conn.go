package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
	"barnabas/broker/zookeeper/server/tree"
)

var evRefused = env.NewKind("zookeeper-refused", env.Warn)

// conn is one client's connection: a task that reads and applies, and one that writes what is durable. All fields but
// net, id and peer are guarded by the server's mutex.
type conn struct {
	s    *Server
	id   int64
	net  env.Conn
	peer string

	session *session // nil before the handshake

	out     []byte // frames, in order
	marks   []mark // where they end, and what they wait for
	work    env.Cond
	room    env.Cond
	gated   bool // in Server.gated
	last    bool // closes once out is sent
	dead    bool
	writing bool // the writer task runs

	dataWatches  map[string]struct{}
	childWatches map[string]struct{}
}

// mark ends a frame in conn.out. The frame may leave when the log is synced to zxid.
type mark struct {
	end  int
	zxid int64
}

const outBytesMax = 4 << 20

func (s *Server) newConn(nc env.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.cfg.ConnectionsMax {
		s.e.Emit(env.Event{Kind: evRefused, Text: nc.RemoteAddr() + ": no more connections"})
		return nil
	}
	s.connIDs++
	c := &conn{
		s: s, id: s.connIDs, net: nc, peer: nc.RemoteAddr(), work: s.e.NewCond(s.mu), room: s.e.NewCond(s.mu),
		dataWatches: map[string]struct{}{}, childWatches: map[string]struct{}{},
	}
	s.conns = append(s.conns, c)
	return c
}

// kill ends a connection at once; unlock closes it. The mutex is held.
func (s *Server) kill(c *conn) {
	if c.dead {
		return
	}
	c.dead = true
	c.work.Broadcast()
	c.room.Broadcast()
	s.watches.removeAll(c)
	if c.session != nil && c.session.conn == c {
		c.session.conn = nil
	}
	s.doomed = append(s.doomed, c)
}

// read is the connection's first task. It returns, and everything about the connection ends, with its first error.
func (c *conn) read() {
	err := c.serve(bufio.NewReaderSize(c.net, 16<<10))
	s := c.s
	s.mu.Lock()
	if errors.Is(err, jute.ErrMalformed) || errors.Is(err, errRefused) {
		s.e.Emit(env.Event{Kind: evRefused, Text: c.peer + ": " + err.Error()})
	}
	if !c.last {
		s.kill(c)
	}
	c.net.SetWriteDeadline(s.e.Mono().Add(10 * s.cfg.tick())) // for a client that does not read its last answer
	for c.writing {
		c.room.Wait() // the writer says good-bye here
	}
	s.kill(c)
	s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
	s.unlock()
}

// serve does the handshake and then the requests.
func (c *conn) serve(r *bufio.Reader) error {
	s := c.s
	c.net.SetReadDeadline(s.e.Mono().Add(10 * s.cfg.tick()))
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	if answer, ok := s.word(string(head[:])); ok {
		c.net.SetWriteDeadline(s.e.Mono().Add(s.cfg.tick()))
		_, err := io.WriteString(c.net, answer)
		return err
	}
	frame, err := jute.ReadBody(r, binary.BigEndian.Uint32(head[:]), jute.MaxFrame, nil)
	if err != nil {
		return err
	}
	if err := c.connect(frame); err != nil {
		return err
	}
	c.net.SetReadDeadline(env.Never)
	for {
		if frame, err = jute.ReadFrame(r, jute.MaxFrame, frame); err != nil {
			return err
		}
		request, err := jute.ParseRequest(frame)
		if err != nil {
			return err
		}
		if !c.handle(&request) {
			return nil
		}
	}
}

// An answer may be late, and a connection may end when a write is done and its client has not heard of it.
var rareLateAnswer, rareLostAnswer = env.NewRare("answer-late"), env.NewRare("answer-lost")

const rareAnswerDelay = 100 * time.Millisecond

// handle applies one request and queues its answer. It reports false when there will be no more.
func (c *conn) handle(request *jute.Request) bool {
	s := c.s
	now, wall := s.e.Mono(), s.e.Now().UnixMilli()
	s.received.Add(1)
	s.mu.Lock()
	defer s.unlock()
	for !c.dead && (len(c.marks) >= s.cfg.OutstandingMax || len(c.out) >= outBytesMax) {
		c.room.Wait()
		now = s.e.Mono()
	}
	if c.dead || c.last {
		return false
	}
	c.session.touch(now)
	before := s.tree.Zxid()
	response, code := c.dispatch(request, wall)
	if s.tree.Zxid() > before && rareLostAnswer.Strikes(s.e) {
		s.kill(c)
		return false
	}
	c.reply(func(dst []byte) []byte {
		h := jute.ReplyHeader{Xid: request.Xid, Zxid: s.tree.Zxid(), Err: code}
		return jute.AppendReply(dst, h, request.Code, &response)
	})
	c.last = request.Code == jute.OpCloseSession
	return !c.last
}

// reply queues a frame behind everything the tree has done so far. The mutex is held.
func (c *conn) reply(encode func(dst []byte) []byte) {
	if c.dead || c.last {
		return
	}
	c.out = encode(c.out)
	zxid := c.s.tree.Zxid()
	c.marks = append(c.marks, mark{len(c.out), zxid})
	c.wake(zxid)
}

// wake sees to it that the writer runs when zxid is durable.
func (c *conn) wake(zxid int64) {
	if zxid <= c.s.synced {
		c.work.Signal()
	} else if !c.gated {
		c.gated = true
		c.s.gated = append(c.s.gated, c)
	}
}

// write is the connection's second task.
func (c *conn) write() {
	s := c.s
	var buf []byte
	s.mu.Lock()
	for {
		n := 0
		for n < len(c.marks) && c.marks[n].zxid <= s.synced {
			n++
		}
		if c.dead || n == 0 && c.last && len(c.marks) == 0 {
			break
		}
		if n == 0 {
			if len(c.marks) > 0 {
				c.wake(c.marks[0].zxid) // what woke us was the sync of an earlier batch
			}
			c.work.Wait()
			continue
		}
		end := c.marks[n-1].end
		buf = append(buf[:0], c.out[:end]...)
		c.out = c.out[:copy(c.out, c.out[end:])]
		c.marks = c.marks[:copy(c.marks, c.marks[n:])]
		for i := range c.marks {
			c.marks[i].end -= end
		}
		c.room.Signal()
		s.mu.Unlock()
		if rareLateAnswer.Strikes(s.e) {
			s.e.Sleep(rareAnswerDelay)
		}
		_, err := c.net.Write(buf)
		s.sent.Add(int64(n))
		s.mu.Lock()
		if err != nil {
			break
		}
	}
	s.kill(c)
	c.writing = false
	c.room.Broadcast()
	s.unlock()
}

// fire queues the events of a transaction's changes at the connections that watch for them. The mutex is held.
func (s *Server) fire(changes []tree.Change) {
	for _, ch := range changes {
		for _, c := range s.watches.fire(ch) {
			if s.breaksOnWatch(c) {
				s.kill(c)
				continue
			}
			c.event(ch.Type, ch.Path)
		}
	}
}

func (c *conn) event(typ zookeeper.EventType, path string) {
	c.reply(func(dst []byte) []byte {
		return jute.AppendEvent(dst, jute.Event{Type: typ, State: zookeeper.StateConnected, Path: path})
	})
}
