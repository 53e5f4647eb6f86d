package zktest

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// World is what a case runs against: a client, a server, and what it takes to disturb them.
type World struct {
	Env       env.Env // of the client
	Open      zookeeper.Opener
	Server    string // host:port
	ProxyAddr string // where a proxy may listen
	TickMs    int32  // the server's
	// Restart kills the server and starts it again on the same data; nil if it cannot.
	Restart func() error
	// Expire makes the server expire a session by order; nil if it cannot.
	Expire func(id int64)
}

// Case is one case. It works below a node of its own, "/<name>".
type Case struct {
	Name string
	run  func(r *run)
}

// Run runs the case. Errors: all that was not as it must be.
func (c Case) Run(w *World) error {
	r := &run{World: w, root: "/" + c.Name}
	r.s = r.open(w.Server)
	if r.s != nil {
		if _, _, err := r.s.Create(r.root, nil, zookeeper.Persistent); r.ok(err, "create root") {
			c.run(r)
		}
	}
	for _, s := range r.opened {
		s.Close()
	}
	return errors.Join(r.errs...)
}

// Cases lists the suite.
func Cases() []Case {
	var cases []Case
	for _, list := range [][]Case{nodeCases, multiCases, watchCases, sessionCases} {
		cases = append(cases, list...)
	}
	return cases
}

// run is one run of a case. s is its first session.
type run struct {
	*World
	root   string
	s      zookeeper.Session
	opened []zookeeper.Session
	errs   []error
}

func (r *run) failf(format string, args ...any) bool {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
	return false
}

func (r *run) ok(err error, what string) bool {
	if err != nil {
		return r.failf("%s: %w", what, err)
	}
	return true
}

func (r *run) fails(err, want error, what string) bool {
	if !errors.Is(err, want) {
		return r.failf("%s: error %v, want %v", what, err, want)
	}
	return true
}

func (r *run) equal(got, want any, what string) bool {
	if !reflect.DeepEqual(got, want) {
		return r.failf("%s: %v, want %v", what, got, want)
	}
	return true
}

const patience = 20 * time.Second

func (r *run) deadline() env.Instant { return r.Env.Mono().Add(patience) }

// open opens a session of 8 ticks, and takes the event of its establishment; nil if that fails.
func (r *run) open(server string) zookeeper.Session { return r.openFor(server, 8) }

func (r *run) openFor(server string, ticks int32) zookeeper.Session {
	s, err := r.Open(r.Env, []string{server}, ticks*r.TickMs, r.deadline())
	if !r.ok(err, "open") {
		return nil
	}
	r.opened = append(r.opened, s)
	if !r.state(s, zookeeper.StateConnected) || s.ID() == 0 {
		r.failf("open: id %#x", s.ID())
		return nil
	}
	return s
}

// proxied opens a session through a proxy; nil if that fails.
func (r *run) proxied(ticks int32) (zookeeper.Session, *Proxy) {
	p, err := NewProxy(r.Env, r.ProxyAddr, r.Server)
	if !r.ok(err, "proxy") {
		return nil, nil
	}
	s := r.openFor(p.Addr(), ticks)
	if s == nil {
		p.Close()
	}
	return s, p
}

// event takes the next event, which must be of this type and path.
func (r *run) event(s zookeeper.Session, typ zookeeper.EventType, path string) bool {
	return r.next(s, zookeeper.Event{Type: typ, Path: path})
}

// state takes the next event, which must be this change of state.
func (r *run) state(s zookeeper.Session, state zookeeper.State) bool {
	return r.next(s, zookeeper.Event{Type: zookeeper.EventSession, State: state})
}

func (r *run) next(s zookeeper.Session, want zookeeper.Event) bool {
	got, ok := s.Events().GetUntil(r.deadline())
	if !ok {
		return r.failf("no event, want %+v", want)
	}
	return r.equal(got, want, "event")
}

// quiet requires that no event has come that was due before an answer of now.
func (r *run) quiet(s zookeeper.Session) bool {
	if !r.ok(s.Sync(r.root), "sync") {
		return false
	}
	if n := s.Events().Len(); n > 0 {
		ev, _ := s.Events().Get()
		return r.failf("%d events nobody asked for, the first %+v", n, ev)
	}
	return true
}

// eventually asks again and again until done says so.
func (r *run) eventually(what string, done func() bool) bool {
	for deadline := r.deadline(); r.Env.Mono() < deadline; r.Env.Sleep(10 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return r.failf("%s: not within %v", what, patience)
}

func (r *run) create(s zookeeper.Session, name, data string, mode zookeeper.CreateMode) string {
	path, _, err := s.Create(r.root+name, []byte(data), mode)
	r.ok(err, "create "+name)
	return path
}

func (r *run) value(s zookeeper.Session, name, want string) bool {
	data, _, err := s.Get(r.root+name, false)
	return r.ok(err, "get "+name) && r.equal(string(data), want, "value of "+name)
}
