package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper/server/tree"
)

// Config configures a server. Zero fields take the default.
type Config struct {
	Addr           string // host:port to listen on; port 0 picks a free one
	DataDir        string // where log and snapshots live; made if it is not there
	TickMs         int32  // session time-outs are between 2 and 20 ticks; default 2000
	SnapshotEvery  int    // transactions between snapshots; default 100,000
	SnapshotsKept  int    // snapshots kept with the logs since the oldest of them; default 3
	ConnectionsMax int    // connections at once; default 10,000
	OutstandingMax int    // answers waiting on one connection before it is read no further; default 1000
}

func (c Config) withDefaults() Config {
	setDefault(&c.TickMs, 2000)
	setDefault(&c.SnapshotEvery, 100_000)
	setDefault(&c.SnapshotsKept, 3)
	setDefault(&c.ConnectionsMax, 10_000)
	setDefault(&c.OutstandingMax, 1000)
	return c
}

func setDefault[T int | int32](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

func (c Config) tick() time.Duration { return time.Duration(c.TickMs) * time.Millisecond }

var (
	evListening = env.NewKind("zookeeper-listening", env.Info)
	evFailed    = env.NewKind("zookeeper-failed", env.Error)
	evAccept    = env.NewKind("zookeeper-accept-failed", env.Warn)
)

// Server is one embedded ZooKeeper.
//
// A request is applied to the tree at once, under the mutex, and its transaction put into the pending batch; the answer
// and the watch events wait in their connections' queues until the log is synced up to the zxid that the tree had when
// they were made. So one sync covers all requests that came during the last one (group commit), every answer shows only
// what is durable, and answers and events leave a connection in the order in which they were made.
//
// The mutex is never held during I/O.
type Server struct {
	e        env.Env
	cfg      Config
	listener env.Listener
	store    *store
	group    *env.Group
	random   *rand.Rand

	mu       env.Mutex
	tree     *tree.Tree
	watches  *watches
	sessions map[int64]*session
	conns    []*conn // in the order they came
	connIDs  int64
	doomed   []*conn // dead, to be closed once the mutex is free

	pending  []byte // the batch being collected, with room for its header
	synced   int64  // zxid up to which the log is durable
	gated    []*conn
	logWork  env.Cond // pending is not empty, or the server closes
	stopping env.Cond // the server closes
	closed   bool
	failure  error

	forced   atomic.Pointer[forcedExpiry]
	breaker  atomic.Pointer[watchBreaker]
	received atomic.Int64
	sent     atomic.Int64
}

// New recovers the state in cfg.DataDir, which is locked until Run returns, and binds cfg.Addr. Errors: of env, and ErrDamaged.
func New(e env.Env, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	st, t, err := openStore(e, cfg.DataDir, cfg.SnapshotsKept)
	if err != nil {
		return nil, err
	}
	listener, err := e.Listen(cfg.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("zookeeper: %w", err), st.close())
	}
	mu := e.NewMutex()
	s := &Server{
		e: e, cfg: cfg, listener: listener, store: st, group: env.NewGroup(e), random: e.Rand("zookeeper/password"),
		mu: mu, tree: t, watches: newWatches(), sessions: map[int64]*session{},
		pending: make([]byte, batchHeader), synced: t.Zxid(), logWork: e.NewCond(mu), stopping: e.NewCond(mu),
	}
	e.Emit(env.Event{Kind: evListening, Text: listener.Addr()})
	return s, nil
}

// Addr is the bound address.
func (s *Server) Addr() string { return s.listener.Addr() }

// Run serves until Close, and then returns nil, or until a write or a sync of the log fails, and then returns why;
// nothing is answered after such a failure. Call it once.
func (s *Server) Run() error {
	s.mu.Lock()
	s.adoptSessions(s.e.Mono())
	s.mu.Unlock()
	s.group.Go("zookeeper-accept", s.accept)
	s.group.Go("zookeeper-expire", s.expireLoop)
	err := s.commitLoop()
	if err != nil {
		s.e.Emit(env.Event{Kind: evFailed, Text: err.Error()})
	}
	s.shutDown()
	s.group.Wait()
	return errors.Join(err, s.store.close())
}

// Close stops the server and does not wait for it. Sessions stay open: clients re-attach to the next server on the same
// directory.
func (s *Server) Close() { s.shutDown() }

func (s *Server) shutDown() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	s.logWork.Broadcast()
	s.stopping.Broadcast()
	for _, c := range s.conns {
		s.kill(c)
	}
	s.unlock()
}

// unlock releases the mutex and closes the connections that died under it.
func (s *Server) unlock() {
	doomed := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	for _, c := range doomed {
		c.net.Close()
	}
}

// accept takes connections until the listener closes.
func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if errors.Is(err, env.ErrClosed) {
			return
		}
		if err != nil {
			s.e.Emit(env.Event{Kind: evAccept, Text: err.Error()})
			s.mu.Lock()
			stop := s.closed || s.stopping.WaitUntil(s.e.Mono().Add(100*time.Millisecond))
			s.mu.Unlock()
			if stop {
				return
			}
			continue
		}
		if c := s.newConn(nc); c != nil {
			s.group.Go("zookeeper-read", c.read)
		} else {
			nc.Close()
		}
	}
}

// log puts a transaction into the pending batch. The mutex is held.
func (s *Server) log(txn *tree.Txn) {
	s.pending = txn.Append(s.pending)
	s.logWork.Signal()
}

// commitLoop writes and syncs batches, and makes the snapshots, until the server closes or a file fails.
func (s *Server) commitLoop() error {
	spare := make([]byte, 0, 64<<10)
	sinceSnapshot := int64(0)
	for {
		s.mu.Lock()
		for len(s.pending) == batchHeader && !s.closed {
			s.logWork.Wait()
		}
		if len(s.pending) == batchHeader {
			s.mu.Unlock()
			return nil
		}
		batch, last := s.pending, s.tree.Zxid()
		s.pending = spare[:batchHeader]
		sinceSnapshot += last - s.store.wal.last
		var snapshot []byte
		if sinceSnapshot >= int64(s.cfg.SnapshotEvery) {
			snapshot, sinceSnapshot = encodeSnapshot(s.tree), 0
		}
		s.mu.Unlock()

		if err := s.store.wal.append(batch, last); err != nil {
			return err
		}
		if spare = batch; cap(spare) > maxSpare {
			spare = make([]byte, 0, 64<<10)
		}
		s.mu.Lock()
		s.synced = last
		for _, c := range s.gated {
			c.gated = false
			c.work.Signal()
		}
		s.gated = s.gated[:0]
		s.mu.Unlock()

		if snapshot != nil {
			if err := s.store.checkpoint(last, snapshot); err != nil {
				return err
			}
		}
	}
}

// maxSpare is the largest batch buffer that is kept for the next batch, in bytes.
const maxSpare = 1 << 20
