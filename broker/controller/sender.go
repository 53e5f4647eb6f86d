package controller

import (
	"sync/atomic"
	"time"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// sendBackoff is the pause before a request is tried again (RequestSendThread#backoff).
const sendBackoff = 100 * time.Millisecond

// sender delivers requests to one life of one broker: in order, one at a time, each again and again until it is answered or
// the broker is gone (RequestSendThread). A request may so arrive twice, the second time after others: its epochs and its number make that harmless.
type sender struct {
	env     env.Env
	dial    func(addr string) (Conn, error)
	timeout time.Duration
	broker  int32
	epoch   int64 // of the broker: another life gets another sender
	queue   *env.Queue[kmsg.Request]
	stopped atomic.Bool
	pending atomic.Int64 // requests that were handed over and are not answered

	mu   env.Mutex // guards what follows
	addr string
	conn Conn
}

// A request may be late, and it may come twice: what was answered may not be known to be.
var rareSentLate, rareSentTwice = env.NewRare("request-sent-late"), env.NewRare("request-sent-twice")

// run is the sender's task. answered is called with every answer, in order.
func (s *sender) run(answered func(req kmsg.Request, resp kmsg.Response)) {
	for {
		req, ok := s.queue.Get()
		if !ok || s.stopped.Load() {
			return
		}
		resp := s.deliver(req)
		if resp == nil {
			return
		}
		s.pending.Add(-1)
		answered(req, resp)
	}
}

// deliver returns the answer, or nil once the sender is stopped.
func (s *sender) deliver(req kmsg.Request) kmsg.Response {
	if rareSentLate.Strikes(s.env) {
		s.env.Sleep(sendBackoff)
	}
	for !s.stopped.Load() {
		conn, err := s.connection()
		if err == nil {
			var resp kmsg.Response
			if resp, err = conn.Do(req, s.timeout); err == nil && !rareSentTwice.Strikes(s.env) {
				return resp
			}
			s.drop(conn)
		}
		if !s.stopped.Load() {
			s.env.Sleep(sendBackoff)
		}
	}
	return nil
}

// connection is the open connection, or a new one.
func (s *sender) connection() (Conn, error) {
	s.mu.Lock()
	conn, addr := s.conn, s.addr
	s.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	conn, err := s.dial(addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	if s.stopped.Load() { // stop has not seen this one
		s.drop(conn)
		return nil, env.ErrClosed
	}
	return conn, nil
}

func (s *sender) drop(conn Conn) {
	s.mu.Lock()
	if s.conn == conn {
		s.conn = nil
	}
	s.mu.Unlock()
	conn.Close()
}

// move changes where the broker is reached.
func (s *sender) move(addr string) {
	s.mu.Lock()
	conn := s.conn
	moved := s.addr != addr
	s.addr = addr
	s.mu.Unlock()
	if moved && conn != nil {
		s.drop(conn)
	}
}

// stop ends the sender without waiting for it; what was not delivered yet will not be, except for the one request
// that may be on its way.
func (s *sender) stop() {
	s.stopped.Store(true)
	s.queue.Close()
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		s.drop(conn)
	}
}
