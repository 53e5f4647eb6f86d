package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

var _ zookeeper.Opener = Open

var (
	evConnected    = env.NewKind("zookeeper-connected", env.Info, "session", "timeout-ms")
	evDisconnected = env.NewKind("zookeeper-disconnected", env.Warn, "session")
	evUnreachable  = env.NewKind("zookeeper-unreachable", env.Debug, "session")
	evExpired      = env.NewKind("zookeeper-expired", env.Warn, "session")
)

// Session is a session on env. The task that runs it connects, reads, and connects again; a second task per connection
// writes and pings. Everything below mu is guarded by it; it is never held during I/O.
type Session struct {
	e       env.Env
	servers []string
	random  *rand.Rand
	events  *env.Queue[zookeeper.Event]

	mu       env.Mutex
	changed  env.Cond // state
	state    zookeeper.State
	closing  bool // Close was called: no more requests
	id       int64
	password []byte
	timeout  time.Duration // as negotiated; as wanted before
	lastZxid int64         // the last transaction an answer told of
	xid      int32
	link     *link // nil unless connected

	// What the server watches for us, to be set again after a reconnection.
	dataWatches, existWatches, childWatches map[string]struct{}
}

// Open opens a session with one of servers ("host:port" each). It waits until the session is established, or fails at
// the deadline with zookeeper.ErrConnectionLoss.
func Open(e env.Env, servers []string, sessionTimeoutMs int32, deadline env.Instant) (zookeeper.Session, error) {
	if len(servers) == 0 {
		return nil, fmt.Errorf("open session: no servers: %w", zookeeper.ErrBadArguments)
	}
	mu := e.NewMutex()
	s := &Session{
		e: e, servers: servers, random: e.Rand("zookeeper/client"), events: env.NewQueue[zookeeper.Event](e, 0),
		mu: mu, changed: e.NewCond(mu), password: make([]byte, jute.PasswordLen),
		timeout:     time.Duration(sessionTimeoutMs) * time.Millisecond,
		dataWatches: map[string]struct{}{}, existWatches: map[string]struct{}{}, childWatches: map[string]struct{}{},
	}
	e.Go("zookeeper-session", s.run)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.id == 0 {
		if !s.changed.WaitUntil(deadline) && s.id == 0 {
			s.end(zookeeper.StateClosed)
			return nil, fmt.Errorf("open session with %v: %w", servers, zookeeper.ErrConnectionLoss)
		}
	}
	return s, nil
}

// Events is documented at zookeeper.Session.
func (s *Session) Events() *env.Queue[zookeeper.Event] { return s.events }

// ID is documented at zookeeper.Session.
func (s *Session) ID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// LastZxid is the last transaction that an answer has told of: of a write that was the last request its own, of a read the one
// at which it was answered.
func (s *Session) LastZxid() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastZxid
}

// Close ends the session. ErrConnectionLoss if the server could not be told: it will expire the session then.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.over() || s.closing {
		s.mu.Unlock()
		return nil
	}
	_, err := s.do(&jute.Request{Op: jute.Op{Code: jute.OpCloseSession}})
	if s.over() {
		s.mu.Unlock()
		return nil
	}
	s.end(zookeeper.StateClosed)
	link := s.link
	s.mu.Unlock()
	if link != nil {
		link.net.Close()
	}
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

func (s *Session) over() bool {
	return s.state == zookeeper.StateExpired || s.state == zookeeper.StateClosed
}

// setState changes the state and tells of it. The queue has no bound, so TryPut does not wait.
func (s *Session) setState(state zookeeper.State) {
	s.state = state
	s.events.TryPut(zookeeper.Event{Type: zookeeper.EventSession, State: state})
	s.changed.Broadcast()
}

// end is the last change of state.
func (s *Session) end(state zookeeper.State) {
	s.setState(state)
	s.events.Close()
}

// call is one request that waits for its answer.
type call struct {
	request  *jute.Request
	response jute.Response
	err      error
	done     bool
	answered env.Cond
}

func (c *call) finish(err error) {
	c.err, c.done = err, true
	c.answered.Signal()
}

// do sends a request and waits for its answer. The mutex is held, and released while waiting.
func (s *Session) do(request *jute.Request) (*jute.Response, error) {
	switch {
	case s.state == zookeeper.StateExpired:
		return nil, zookeeper.ErrSessionExpired
	case s.closing:
		return nil, zookeeper.ErrSessionClosed
	}
	s.closing = request.Code == jute.OpCloseSession
	switch {
	case s.state == zookeeper.StateClosed:
		return nil, zookeeper.ErrSessionClosed
	case s.link == nil:
		return nil, zookeeper.ErrConnectionLoss
	}
	s.xid = max(s.xid+1, 1) // back to 1 after the last positive one
	request.Xid = s.xid
	c := &call{request: request, answered: s.e.NewCond(s.mu)}
	if err := s.link.send(c); err != nil {
		return nil, err
	}
	for !c.done {
		c.answered.Wait()
	}
	return &c.response, c.err
}

func (s *Session) call(what, path string, request *jute.Request) (*jute.Response, error) {
	sequential := request.Mode == zookeeper.PersistentSequential || request.Mode == zookeeper.EphemeralSequential
	err := jute.ValidatePath(path, sequential)
	var response *jute.Response
	if err == nil {
		request.Path = path
		s.mu.Lock()
		response, err = s.do(request)
		s.mu.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return response, nil
}

// Create is documented at zookeeper.Session.
func (s *Session) Create(path string, data []byte, mode zookeeper.CreateMode) (string, zookeeper.Stat, error) {
	op := jute.Op{Code: jute.OpCreate2, Data: data, ACL: jute.OpenACL, Mode: mode}
	r, err := s.call("create", path, &jute.Request{Op: op})
	if err != nil {
		return "", zookeeper.Stat{}, err
	}
	return r.Path, r.Stat, nil
}

// Get is documented at zookeeper.Session.
func (s *Session) Get(path string, watch bool) ([]byte, zookeeper.Stat, error) {
	r, err := s.call("get", path, &jute.Request{Op: jute.Op{Code: jute.OpGetData}, Watch: watch})
	if err != nil {
		return nil, zookeeper.Stat{}, err
	}
	return r.Data, r.Stat, nil
}

// Set is documented at zookeeper.Session.
func (s *Session) Set(path string, data []byte, version int32) (zookeeper.Stat, error) {
	r, err := s.call("set", path, &jute.Request{Op: jute.Op{Code: jute.OpSetData, Data: data, Version: version}})
	if err != nil {
		return zookeeper.Stat{}, err
	}
	return r.Stat, nil
}

// Delete is documented at zookeeper.Session.
func (s *Session) Delete(path string, version int32) error {
	_, err := s.call("delete", path, &jute.Request{Op: jute.Op{Code: jute.OpDelete, Version: version}})
	return err
}

// Exists is documented at zookeeper.Session.
func (s *Session) Exists(path string, watch bool) (bool, zookeeper.Stat, error) {
	r, err := s.call("exists", path, &jute.Request{Op: jute.Op{Code: jute.OpExists}, Watch: watch})
	if errors.Is(err, zookeeper.ErrNoNode) {
		return false, zookeeper.Stat{}, nil
	}
	if err != nil {
		return false, zookeeper.Stat{}, err
	}
	return true, r.Stat, nil
}

// Children is documented at zookeeper.Session.
func (s *Session) Children(path string, watch bool) ([]string, zookeeper.Stat, error) {
	r, err := s.call("children", path, &jute.Request{Op: jute.Op{Code: jute.OpGetChildren2}, Watch: watch})
	if err != nil {
		return nil, zookeeper.Stat{}, err
	}
	return sorted(r.Children), r.Stat, nil
}

// Sync is documented at zookeeper.Session.
func (s *Session) Sync(path string) error {
	_, err := s.call("sync", path, &jute.Request{Op: jute.Op{Code: jute.OpSync}})
	return err
}
