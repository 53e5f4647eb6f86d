package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

const (
	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
)

// run connects, serves the connection, and connects again, until the session is over.
func (s *Session) run() {
	next := s.random.IntN(len(s.servers))
	backoff := backoffMin
	for {
		server := s.servers[next%len(s.servers)]
		next++
		link, r, err := s.connect(server)
		if err == nil {
			backoff = backoffMin
			err = s.serve(link, r)
		}
		s.mu.Lock()
		id, over := s.id, s.over()
		if !over {
			s.e.Emit(env.Event{Kind: evUnreachable, V: [4]int64{id}, Text: server + ": " + err.Error()})
			wait := backoff/2 + time.Duration(s.random.Int64N(int64(backoff/2)))
			backoff = min(2*backoff, backoffMax)
			for deadline := s.e.Mono().Add(wait); !s.over() && s.changed.WaitUntil(deadline); {
			}
			over = s.over()
		}
		s.mu.Unlock()
		if over {
			return
		}
	}
}

// connect dials a server and shakes hands: a new session, or ours again, or the end of it.
func (s *Session) connect(server string) (*link, *bufio.Reader, error) {
	s.mu.Lock()
	request := jute.ConnectRequest{
		LastZxidSeen: s.lastZxid, TimeoutMs: int32(s.timeout / time.Millisecond), SessionID: s.id, Password: s.password,
	}
	patience := max(s.timeout/time.Duration(len(s.servers)), 100*time.Millisecond)
	s.mu.Unlock()

	nc, err := s.e.Dial(server, patience)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(nc, 16<<10)
	response, err := shake(s.e, nc, r, &request, patience)
	if err == nil && request.SessionID == 0 && response.TimeoutMs <= 0 {
		err = errors.New("server refuses a new session")
	}
	if err != nil {
		nc.Close()
		return nil, nil, err
	}

	link, err := s.established(nc, response)
	if errors.Is(err, zookeeper.ErrSessionClosed) {
		// Closed meanwhile: the server need not keep the session until it expires.
		nc.Write((&jute.Request{Xid: 1, Op: jute.Op{Code: jute.OpCloseSession}}).Append(nil))
	}
	if err != nil {
		nc.Close()
	}
	return link, r, err
}

// established takes over what the server said about the session.
func (s *Session) established(nc env.Conn, response jute.ConnectResponse) (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return nil, zookeeper.ErrSessionClosed
	}
	if response.TimeoutMs <= 0 {
		s.e.Emit(env.Event{Kind: evExpired, V: [4]int64{s.id}, Text: nc.RemoteAddr()})
		s.end(zookeeper.StateExpired)
		return nil, zookeeper.ErrSessionExpired
	}
	s.id, s.password = response.SessionID, response.Password
	s.timeout = time.Duration(response.TimeoutMs) * time.Millisecond
	s.link = newLink(s, nc)
	s.e.Emit(env.Event{Kind: evConnected, V: [4]int64{s.id, int64(response.TimeoutMs)}, Text: nc.RemoteAddr()})
	s.setState(zookeeper.StateConnected)
	s.sendWatches()
	return s.link, nil
}

func shake(e env.Env, nc env.Conn, r *bufio.Reader, request *jute.ConnectRequest, patience time.Duration) (jute.ConnectResponse, error) {
	deadline := e.Mono().Add(patience)
	nc.SetWriteDeadline(deadline)
	nc.SetReadDeadline(deadline)
	if _, err := nc.Write(request.Append(nil)); err != nil {
		return jute.ConnectResponse{}, err
	}
	frame, err := jute.ReadFrame(r, jute.MaxFrame, nil)
	if err != nil {
		return jute.ConnectResponse{}, err
	}
	return jute.ParseConnectResponse(frame)
}

// serve reads answers and events until the connection fails, and then fails what is still waiting.
func (s *Session) serve(l *link, r *bufio.Reader) error {
	group := env.NewGroup(s.e)
	group.Go("zookeeper-send", l.write)
	err := l.read(r)
	s.mu.Lock()
	s.link = nil
	l.broken = true
	l.work.Broadcast()
	if !s.over() {
		s.e.Emit(env.Event{Kind: evDisconnected, V: [4]int64{s.id}, Text: l.net.RemoteAddr() + ": " + err.Error()})
		if s.state = zookeeper.StateDisconnected; !s.closing {
			s.setState(zookeeper.StateDisconnected)
		}
	}
	for _, c := range l.calls {
		c.finish(zookeeper.ErrConnectionLoss)
	}
	s.mu.Unlock()
	l.net.Close()
	group.Wait()
	return err
}

// answer takes one frame. It returns an error for what no ZooKeeper sends.
func (s *Session) answer(l *link, frame []byte) error {
	h, body, err := jute.ParseReply(frame)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h.Xid {
	case jute.XidPing, jute.XidAuth:
		return nil
	case jute.XidNotification:
		ev, err := jute.ParseEvent(body)
		if err == nil && ev.Type != zookeeper.EventSession {
			s.forgetWatch(ev)
			s.events.TryPut(zookeeper.Event{Type: ev.Type, Path: ev.Path})
		}
		return err
	}
	if len(l.calls) == 0 || l.calls[0].request.Xid != h.Xid {
		return fmt.Errorf("%w: answer to request %d, which is not the next", jute.ErrMalformed, h.Xid)
	}
	c := l.calls[0]
	l.calls = l.calls[1:]
	if h.Zxid > 0 {
		s.lastZxid = h.Zxid
	}
	if h.Err != jute.OK {
		s.rememberWatch(c.request, h.Err)
		c.finish(h.Err.Err())
		return nil
	}
	if c.response, err = jute.ParseResponse(c.request.Code, body); err != nil {
		c.finish(zookeeper.ErrConnectionLoss) // we cannot know what was said
		return err
	}
	c.response.Data = bytes.Clone(c.response.Data) // the frame's buffer is used again
	s.rememberWatch(c.request, jute.OK)
	c.finish(nil)
	return nil
}
