package zookeeper

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
)

// ErrControllerMoved says that /controller_epoch is not at the version that the writer was elected with: it is not
// the controller any more and nothing was written (ControllerMovedException).
var ErrControllerMoved = errors.New("zookeeper: controller moved to another broker")

// Fence is a controller's right to write: its epoch, and the version of /controller_epoch at its election. Every
// write of a controller is a multi that begins with a check of this version, so one who was replaced writes nothing.
type Fence struct {
	Epoch   int32
	Version int32
	// Reign is the first epoch of the unbroken line of controllers that keep lists of eligible leader replicas, up to this one; 0 if it
	// does not (StoreOptions.Reigns).
	Reign int32
}

// StoreOptions is what a Store needs besides its session.
type StoreOptions struct {
	Chroot         string        // "/kafka"; "" for none
	SessionTimeout time.Duration // how long a stale registration of this broker may outlive its session
	RetryBackoff   time.Duration // between attempts while the connection is lost; 0 takes 50 ms
	Bugs           bug.Set
	Reigns         bool // as a controller, it keeps lists of eligible leader replicas: see Reign
	// Next is for bug.ZKUnfenced: given a session that has expired, it waits for the one that follows, nil if none does. May be nil.
	Next func(Session) Session
}

// Store is Kafka's operations on its znodes over one session (KafkaZkClient). Its methods may be called from several
// tasks at once.
//
// While the connection is lost they try again until it is back, and find out first whether the lost attempt had been
// done after all. They fail for good with ErrSessionExpired, and with ErrSessionClosed after Close.
type Store struct {
	env       env.Env
	session   Session
	options   StoreOptions
	listeners []func(Event)
	gaveUp    atomic.Bool // GiveUp or Close was called
	closed    atomic.Bool // Close was called
}

// NewStore makes a store over a session. Its owner calls Run once everything that listens has been started.
func NewStore(e env.Env, session Session, o StoreOptions) *Store {
	if o.RetryBackoff <= 0 {
		o.RetryBackoff = 50 * time.Millisecond
	}
	o.Chroot = strings.TrimSuffix(o.Chroot, "/")
	return &Store{env: e, session: session, options: o}
}

// Session is the session that the store works over.
func (s *Store) Session() Session { return s.session }

// Listen has f called for every event of the session, in order, in the task of Run; the chroot is taken off the
// paths. f must not wait. Listen is called before Run.
func (s *Store) Listen(f func(Event)) { s.listeners = append(s.listeners, f) }

// Run reads the session's events until the session is over, and says how it ended: StateExpired or StateClosed.
func (s *Store) Run() State {
	for {
		ev, ok := s.session.Events().Get()
		if !ok {
			if s.closed.Load() {
				return StateClosed
			}
			return StateExpired
		}
		if ev.Type != EventSession {
			ev.Path = strings.TrimPrefix(ev.Path, s.options.Chroot)
		}
		for _, f := range s.listeners {
			f(ev)
		}
		if ev.Type == EventSession && (ev.State == StateExpired || ev.State == StateClosed) {
			return ev.State
		}
	}
}

// GiveUp makes operations that wait for the connection to come back fail with ErrSessionClosed, these and all later
// ones. The session stays open: this is for an owner that stops and will not wait for ZooKeeper.
func (s *Store) GiveUp() { s.gaveUp.Store(true) }

// Close ends the session, and whatever still tries to reach ZooKeeper through this store gives up.
func (s *Store) Close() error {
	s.gaveUp.Store(true)
	s.closed.Store(true)
	return s.session.Close()
}

// retry does op until it is answered with anything but a lost connection. lost tells that some attempt's answer was
// lost, so that what the last answer complains about may be the earlier attempt's own doing.
func (s *Store) retry(op func() error) (lost bool, err error) {
	for {
		if err = op(); errors.Is(err, ErrSessionExpired) && s.options.Bugs.Has(bug.ZKUnfenced) && s.options.Next != nil {
			// As Kafka before KAFKA-6082: what an old controller is about goes on in the broker's next session.
			if next := s.options.Next(s.session); next != nil {
				s.session, lost = next, true
				continue
			}
		}
		if !errors.Is(err, ErrConnectionLoss) {
			return lost, err
		}
		if s.gaveUp.Load() {
			return true, ErrSessionClosed
		}
		lost = true
		s.env.Sleep(s.options.RetryBackoff)
	}
}

func (s *Store) get(path string, watch bool) (data []byte, stat Stat, err error) {
	_, err = s.retry(func() error {
		data, stat, err = s.session.Get(s.options.Chroot+path, watch)
		return err
	})
	return data, stat, wrap("get", path, err)
}

func (s *Store) exists(path string, watch bool) (ok bool, stat Stat, err error) {
	_, err = s.retry(func() error {
		ok, stat, err = s.session.Exists(s.options.Chroot+path, watch)
		return err
	})
	return ok, stat, wrap("exists", path, err)
}

// children lists names, none where the parent is missing.
func (s *Store) children(path string, watch bool) (names []string, err error) {
	_, err = s.retry(func() error {
		names, _, err = s.session.Children(s.options.Chroot+path, watch)
		return err
	})
	if errors.Is(err, ErrNoNode) {
		return nil, nil
	}
	return names, wrap("children", path, err)
}

func (s *Store) create(path string, data []byte, mode CreateMode) (lost bool, err error) {
	lost, err = s.retry(func() error {
		_, _, err := s.session.Create(s.options.Chroot+path, data, mode)
		return err
	})
	return lost, wrap("create", path, err)
}

// ensure creates a persistent znode and those above it where they are missing.
func (s *Store) ensure(path string, data []byte) error {
	_, err := s.create(path, data, Persistent)
	if errors.Is(err, ErrNoNode) && parentPath(path) != "" {
		if err := s.ensure(parentPath(path), nil); err != nil {
			return err
		}
		_, err = s.create(path, data, Persistent)
	}
	if errors.Is(err, ErrNodeExists) {
		return nil
	}
	return err
}

// delete removes a znode whatever its version; that it is gone already is no error.
func (s *Store) delete(path string) error {
	_, err := s.retry(func() error { return s.session.Delete(s.options.Chroot+path, AnyVersion) })
	if errors.Is(err, ErrNoNode) {
		return nil
	}
	return wrap("delete", path, err)
}

func (s *Store) multi(ops ...Op) (results []OpResult, lost bool, err error) {
	rooted := make([]Op, len(ops))
	for i, op := range ops {
		op.Path = s.options.Chroot + op.Path
		rooted[i] = op
	}
	lost, err = s.retry(func() error {
		results, err = s.session.Multi(rooted...)
		return err
	})
	return results, lost, err
}

// fenced is multi under a fence. Results and the index in an OpError are those of ops, without the check before them.
func (s *Store) fenced(f Fence, ops ...Op) (results []OpResult, lost bool, err error) {
	if s.options.Bugs.Has(bug.ZKUnfenced) {
		results, lost, err = s.multi(ops...)
		if err != nil && !errors.As(err, new(*OpError)) {
			err = wrap("multi", ops[len(ops)-1].Path, err)
		}
		return results, lost, err
	}
	all := append([]Op{CheckOp(PathControllerEpoch, f.Version)}, ops...)
	results, lost, err = s.multi(all...)
	var failed *OpError
	switch {
	case err == nil:
		return results[1:], lost, nil
	case errors.As(err, &failed) && failed.Index == 0:
		return nil, lost, fmt.Errorf("write with controller epoch %d: %w", f.Epoch, ErrControllerMoved)
	case errors.As(err, &failed):
		return nil, lost, &OpError{Index: failed.Index - 1, Op: failed.Op, Err: failed.Err}
	}
	return nil, lost, wrap("multi", all[len(all)-1].Path, err)
}

// fencedDelete removes znodes, children before parents, in multis of bounded size. Those that are gone already are
// skipped.
func (s *Store) fencedDelete(f Fence, paths []string) error {
	for len(paths) > 0 {
		var ops []Op
		for bytes := 0; len(ops) < min(len(paths), multiOpsMax); {
			op := DeleteOp(paths[len(ops)], AnyVersion)
			if bytes += opBytes(op) + len(s.options.Chroot); bytes > multiBytesMax && len(ops) > 0 {
				break
			}
			ops = append(ops, op)
		}
		n := len(ops)
		_, _, err := s.fenced(f, ops...)
		var failed *OpError
		switch {
		case err == nil:
			paths = paths[n:]
		case errors.As(err, &failed) && errors.Is(failed.Err, ErrNoNode):
			rest := append([]string{}, paths[:failed.Index]...)
			paths = append(rest, paths[failed.Index+1:]...)
		default:
			return err
		}
	}
	return nil
}

// Bounds of one multi, to stay well below ZooKeeper's packet limit of 1 MiB: its operations, and the bytes of their paths and
// data, where one operation alone may have more.
const (
	multiOpsMax   = 1024
	multiBytesMax = 384 << 10
)

// opBytes is what an operation takes in a multi, about: header, ACL and lengths are below 64 bytes.
func opBytes(op Op) int { return 64 + len(op.Path) + len(op.Data) }

// tasksMax bounds how many requests one bulk read has in flight.
const tasksMax = 16

// each calls f for 0 to n-1, several at a time, and returns the error of the lowest index that failed.
func (s *Store) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	if n <= 2 {
		for i := range n {
			errs[i] = f(i)
		}
		return firstError(errs)
	}
	group := env.NewGroup(s.env)
	tasks := min(n, tasksMax)
	for t := range tasks {
		group.Go("zookeeper-read", func() {
			for i := t; i < n; i += tasks {
				if errs[i] = f(i); errs[i] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return firstError(errs)
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func wrap(operation, path string, err error) error {
	if err == nil || strings.HasPrefix(err.Error(), operation+" ") { // some sessions say it themselves
		return err
	}
	return fmt.Errorf("%s %s: %w", operation, path, err)
}
