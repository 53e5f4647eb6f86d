package gozk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

var _ zookeeper.Opener = Open

var (
	evLibrary     = env.NewKind("zookeeper-library", env.Debug)
	evUnreachable = env.NewKind("zookeeper-unreachable", env.Warn)
)

// complaintPause is the time between two events of one session that say the same: no server can be reached.
const complaintPause = 30 * time.Second

// session implements zookeeper.Session.
//
// go-zookeeper opens a new session by itself when the old one has expired, and would run calls on it that were meant
// for the old one. That must not happen, so from the moment of expiry its dialer refuses every connection.
type session struct {
	e       env.Env
	timeout time.Duration // as asked for
	events  *env.Queue[zookeeper.Event]

	mu         env.Mutex
	changed    env.Cond
	conn       *zk.Conn
	state      zookeeper.State
	id         int64
	link       *conn       // the newest
	complained env.Instant // when complain last spoke, 0 for never
	watches    map[watch]struct{}
	closing    bool
}

// Open opens a session with one of servers ("host:port" each). It waits until the session is established, or fails at
// the deadline with zookeeper.ErrConnectionLoss.
func Open(e env.Env, servers []string, sessionTimeoutMs int32, deadline env.Instant) (zookeeper.Session, error) {
	if len(servers) == 0 {
		return nil, fmt.Errorf("open session: no servers: %w", zookeeper.ErrBadArguments)
	}
	mu := e.NewMutex()
	s := &session{
		e: e, timeout: time.Duration(sessionTimeoutMs) * time.Millisecond,
		events: env.NewQueue[zookeeper.Event](e, 0), mu: mu, changed: e.NewCond(mu), watches: map[watch]struct{}{},
	}
	s.mu.Lock() // the first events wait until conn is set
	conn, _, err := zk.Connect(servers, s.timeout,
		zk.WithHostProvider(&hosts{}), zk.WithDialer(s.dial), zk.WithEventCallback(s.onEvent),
		zk.WithMaxBufferSize(answerMax), zk.WithLogger(logger{e}), zk.WithLogInfo(false))
	if err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("open session: %w", err)
	}
	defer s.mu.Unlock()
	s.conn = conn
	for s.id == 0 {
		if !s.changed.WaitUntil(deadline) && s.id == 0 {
			s.end(zookeeper.StateClosed)
			go conn.Close()
			return nil, fmt.Errorf("open session with %v: %w", servers, zookeeper.ErrConnectionLoss)
		}
	}
	return s, nil
}

// answerMax bounds an answer in bytes; a list of many children may be longer than a server takes as a request.
const answerMax = 64 << 20

// onEvent is called by go-zookeeper's goroutines, in the order of what comes through the connection, and before it
// hands out the answers behind it.
func (s *session) onEvent(ev zk.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over():
	case ev.Type == zk.EventNotWatching:
	case ev.Type != zk.EventSession:
		s.events.TryPut(zookeeper.Event{Type: zookeeper.EventType(ev.Type), Path: ev.Path})
	case ev.State == zk.StateHasSession:
		s.id = s.conn.SessionID()
		s.setState(zookeeper.StateConnected)
	case ev.State == zk.StateExpired:
		s.end(zookeeper.StateExpired)
		go s.conn.Close()
	case ev.State == zk.StateDisconnected && s.state == zookeeper.StateConnected:
		s.state = zookeeper.StateDisconnected
		if !s.closing {
			s.setState(zookeeper.StateDisconnected)
		}
	}
}

func (s *session) over() bool {
	return s.state == zookeeper.StateExpired || s.state == zookeeper.StateClosed
}

func (s *session) setState(state zookeeper.State) {
	s.state = state
	s.events.TryPut(zookeeper.Event{Type: zookeeper.EventSession, State: state})
	s.changed.Broadcast()
}

func (s *session) end(state zookeeper.State) {
	s.setState(state)
	s.events.Close()
}

// Events is documented at zookeeper.Session.
func (s *session) Events() *env.Queue[zookeeper.Event] { return s.events }

// ID is documented at zookeeper.Session.
func (s *session) ID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Close ends the session. ErrConnectionLoss if the server could not be told: it will expire the session then.
func (s *session) Close() error {
	s.mu.Lock()
	if s.over() || s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	connected := s.state == zookeeper.StateConnected
	s.mu.Unlock()
	if connected {
		s.conn.Close() // waits for the answer, or a second
	} else {
		go s.conn.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return nil
	}
	s.end(zookeeper.StateClosed)
	if !connected {
		return fmt.Errorf("close session: %w", zookeeper.ErrConnectionLoss)
	}
	return nil
}

// ready waits until calls may be made: not before the watches have been set again.
func (s *session) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.state == zookeeper.StateConnected && !s.link.settled() && !s.closing {
		s.changed.Wait()
	}
	switch {
	case s.state == zookeeper.StateExpired:
		return zookeeper.ErrSessionExpired
	case s.closing || s.state == zookeeper.StateClosed:
		return zookeeper.ErrSessionClosed
	case s.state != zookeeper.StateConnected:
		return zookeeper.ErrConnectionLoss
	}
	return nil
}

// call runs f while the session is connected and translates its error.
func (s *session) call(what, path string, f func() error) error {
	err := s.ready()
	if err == nil {
		err = s.translate(f())
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, path, err)
	}
	return nil
}

var errorsByLibrary = []struct{ library, ours error }{
	{zk.ErrNoNode, zookeeper.ErrNoNode},
	{zk.ErrNodeExists, zookeeper.ErrNodeExists},
	{zk.ErrBadVersion, zookeeper.ErrBadVersion},
	{zk.ErrNotEmpty, zookeeper.ErrNotEmpty},
	{zk.ErrNoChildrenForEphemerals, zookeeper.ErrNoChildrenForEphemerals},
	{zk.ErrBadArguments, zookeeper.ErrBadArguments},
	{zk.ErrInvalidPath, zookeeper.ErrBadArguments},
	{zk.ErrSessionExpired, zookeeper.ErrSessionExpired},
	{zk.ErrInvalidACL, jute.InvalidACL},
	{zk.ErrNoAuth, jute.NoAuth},
	{zk.ErrAuthFailed, jute.AuthFailed},
	{zk.ErrSessionMoved, jute.SessionMoved},
	{zk.ErrAPIError, jute.SystemError},
}

// translate turns an error of go-zookeeper into one of ours. What it has no name for is an error of the connection.
func (s *session) translate(err error) error {
	if err == nil || errors.Is(err, zookeeper.ErrBadArguments) || errors.Is(err, zookeeper.ErrTooLarge) {
		return err
	}
	for _, known := range errorsByLibrary {
		if errors.Is(err, known.library) {
			return known.ours
		}
	}
	if strings.HasPrefix(err.Error(), "unknown error") {
		return err // a code of the server that the library does not know
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case zookeeper.StateExpired:
		return zookeeper.ErrSessionExpired
	case zookeeper.StateClosed:
		return zookeeper.ErrSessionClosed
	}
	return fmt.Errorf("%w (%w)", zookeeper.ErrConnectionLoss, err)
}

// Create is documented at zookeeper.Session. go-zookeeper does not speak create2, so the Stat is asked for afterwards;
// it is zero if the node is gone by then.
func (s *session) Create(path string, data []byte, mode zookeeper.CreateMode) (string, zookeeper.Stat, error) {
	created, stat := "", zookeeper.Stat{}
	err := s.call("create", path, func() error {
		err := zookeeper.Fits(zookeeper.Op{Path: path, Data: data})
		if err == nil {
			created, err = s.conn.Create(path, data, int32(mode), openACL)
		}
		if err == nil {
			stat, err = s.statOf(created, mode)
		}
		return err
	})
	return created, stat, err
}

// statOf asks for the Stat of a node that this session has created.
func (s *session) statOf(path string, mode zookeeper.CreateMode) (zookeeper.Stat, error) {
	exists, stat, err := s.conn.Exists(path)
	if err != nil || !exists {
		return zookeeper.Stat{}, err
	}
	ephemeral := mode == zookeeper.Ephemeral || mode == zookeeper.EphemeralSequential
	if ephemeral && stat.EphemeralOwner != s.ID() {
		return zookeeper.Stat{}, nil // somebody else's by now
	}
	return ours(stat), nil
}

// Get is documented at zookeeper.Session.
func (s *session) Get(path string, watch bool) (data []byte, stat zookeeper.Stat, err error) {
	err = s.call("get", path, func() error {
		var st *zk.Stat
		var err error
		if watch {
			data, st, _, err = s.conn.GetW(path)
		} else {
			data, st, err = s.conn.Get(path)
		}
		stat = ours(st)
		return err
	})
	return data, stat, err
}

// Set is documented at zookeeper.Session.
func (s *session) Set(path string, data []byte, version int32) (stat zookeeper.Stat, err error) {
	err = s.call("set", path, func() error {
		if err := zookeeper.Fits(zookeeper.Op{Path: path, Data: data}); err != nil {
			return err
		}
		st, err := s.conn.Set(path, data, version)
		stat = ours(st)
		return err
	})
	return stat, err
}

// Delete is documented at zookeeper.Session.
func (s *session) Delete(path string, version int32) error {
	return s.call("delete", path, func() error { return s.conn.Delete(path, version) })
}

// Exists is documented at zookeeper.Session.
func (s *session) Exists(path string, watch bool) (exists bool, stat zookeeper.Stat, err error) {
	err = s.call("exists", path, func() error {
		var st *zk.Stat
		var err error
		if watch {
			exists, st, _, err = s.conn.ExistsW(path)
		} else {
			exists, st, err = s.conn.Exists(path)
		}
		if exists = exists && err == nil; exists {
			stat = ours(st)
		}
		return err
	})
	return exists, stat, err
}

// Children is documented at zookeeper.Session.
func (s *session) Children(path string, watch bool) (names []string, stat zookeeper.Stat, err error) {
	err = s.call("children", path, func() error {
		var st *zk.Stat
		var err error
		if watch {
			names, st, _, err = s.conn.ChildrenW(path)
		} else {
			names, st, err = s.conn.Children(path)
		}
		stat = ours(st)
		return err
	})
	slices.Sort(names)
	return names, stat, err
}

// Sync is documented at zookeeper.Session.
func (s *session) Sync(path string) error {
	return s.call("sync", path, func() error {
		_, err := s.conn.Sync(path)
		return err
	})
}

func ours(st *zk.Stat) zookeeper.Stat {
	if st == nil {
		return zookeeper.Stat{}
	}
	return zookeeper.Stat{
		Czxid: st.Czxid, Mzxid: st.Mzxid, Pzxid: st.Pzxid, CtimeMs: st.Ctime, MtimeMs: st.Mtime,
		Version: st.Version, Cversion: st.Cversion, Aversion: st.Aversion,
		EphemeralOwner: st.EphemeralOwner, DataLength: st.DataLength, NumChildren: st.NumChildren,
	}
}
