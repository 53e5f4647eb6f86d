package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper/jute"
)

var errRefused = errors.New("refused")

var (
	evSessionOpened   = env.NewKind("zookeeper-session-opened", env.Info, "session", "timeout-ms")
	evSessionAttached = env.NewKind("zookeeper-session-attached", env.Info, "session", "timeout-ms")
	evSessionGone     = env.NewKind("zookeeper-session-unknown", env.Info, "session")
	evSessionClosed   = env.NewKind("zookeeper-session-closed", env.Info, "session", "ephemerals")
	evSessionExpired  = env.NewKind("zookeeper-session-expired", env.Warn, "session", "ephemerals")
)

// session is what the tree does not need to know about an open session: its clock and its connection.
type session struct {
	id       int64
	timeout  time.Duration
	deadline env.Instant
	conn     *conn // nil while disconnected
}

func (ss *session) touch(now env.Instant) { ss.deadline = now.Add(ss.timeout) }

// adoptSessions gives every recovered session a full time-out: while the server was down nobody could ping.
func (s *Server) adoptSessions(now env.Instant) {
	for _, id := range s.tree.Sessions() {
		timeoutMs, _, _ := s.tree.Session(id)
		ss := &session{id: id, timeout: time.Duration(timeoutMs) * time.Millisecond}
		ss.touch(now)
		s.sessions[id] = ss
	}
}

// connect answers a connect request: a new session, one attached again, or the news that it is over.
func (c *conn) connect(frame []byte) error {
	request, err := jute.ParseConnectRequest(frame)
	if err != nil {
		return err
	}
	s := c.s
	now, wall := s.e.Mono(), s.e.Now().UnixMilli()
	s.mu.Lock()
	defer s.unlock()
	if c.dead {
		return env.ErrClosed
	}
	if request.LastZxidSeen > s.tree.Zxid() {
		// Our clock of transactions is behind what this client has seen: of another server, or our directory is older.
		return fmt.Errorf("%w: client has seen transaction %#x, our last is %#x", errRefused, request.LastZxidSeen, s.tree.Zxid())
	}
	timeoutMs := min(max(request.TimeoutMs, 2*s.cfg.TickMs), 20*s.cfg.TickMs)
	response := jute.ConnectResponse{Password: make([]byte, jute.PasswordLen), NoReadOnly: request.NoReadOnly}
	kind, id := evSessionAttached, request.SessionID
	if id == 0 {
		kind, id = evSessionOpened, s.openSession(wall, timeoutMs)
	}
	_, password, open := s.tree.Session(id)
	if open && (kind == evSessionOpened || bytes.Equal(password, request.Password)) {
		response.SessionID, response.Password, response.TimeoutMs = id, password, timeoutMs
		s.attach(c, id, timeoutMs, now)
	} else {
		kind = evSessionGone
	}
	s.e.Emit(env.Event{Kind: kind, V: [4]int64{id, int64(timeoutMs)}, Text: c.peer})
	c.reply(response.Append)
	c.last = response.SessionID == 0
	c.writing = true
	s.group.Go("zookeeper-write", c.write)
	if c.last {
		return env.ErrClosed
	}
	return nil
}

func (s *Server) openSession(wall int64, timeoutMs int32) int64 {
	password := binary.BigEndian.AppendUint64(nil, s.random.Uint64())
	password = binary.BigEndian.AppendUint64(password, s.random.Uint64())
	txn := s.tree.OpenSession(wall, timeoutMs, password)
	s.log(&txn)
	s.sessions[txn.Session] = &session{id: txn.Session}
	return txn.Session
}

// attach makes c the session's connection. The one it had is closed: a client that comes anew has given it up, and
// nothing that still comes through it may be done on the session's behalf.
func (s *Server) attach(c *conn, id int64, timeoutMs int32, now env.Instant) {
	ss := s.sessions[id]
	if ss.conn != nil {
		s.kill(ss.conn)
	}
	ss.conn, c.session = c, ss
	ss.timeout = time.Duration(timeoutMs) * time.Millisecond
	ss.touch(now)
}

// endSession closes a session, with its ephemeral nodes, and reports how many those were. The mutex is held.
func (s *Server) endSession(id, wall int64) int {
	ephemerals := len(s.tree.Ephemerals(id))
	txn, changes, ok := s.tree.CloseSession(wall, id)
	if !ok {
		return 0
	}
	s.log(&txn)
	delete(s.sessions, id)
	s.fire(changes)
	return ephemerals
}

// expireLoop looks at the clock four times a tick and ends the sessions that nothing was heard of for their time-out.
func (s *Server) expireLoop() {
	s.mu.Lock()
	for !s.closed {
		now, wall := s.e.Mono(), s.e.Now().UnixMilli()
		var over []int64
		for id, ss := range s.sessions {
			if ss.deadline <= now {
				over = append(over, id)
			}
		}
		for forced := s.forced.Swap(nil); forced != nil; forced = forced.next {
			over = append(over, forced.id)
		}
		slices.Sort(over)
		for _, id := range slices.Compact(over) {
			s.expire(id, wall)
		}
		s.unlock()
		s.mu.Lock()
		if !s.closed {
			s.stopping.WaitUntil(now.Add(s.cfg.tick() / 4))
		}
	}
	s.mu.Unlock()
}

func (s *Server) expire(id, wall int64) {
	ss := s.sessions[id]
	if ss == nil {
		return
	}
	if ss.conn != nil {
		s.kill(ss.conn)
	}
	ephemerals := s.endSession(id, wall)
	s.e.Emit(env.Event{Kind: evSessionExpired, V: [4]int64{id, int64(ephemerals)}})
}
