package server

import (
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
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

// Server is one embedded ZooKeeper.
type Server struct{}

// New recovers the state in cfg.DataDir and binds cfg.Addr. Errors: of env, and a damaged log or snapshot.
func New(e env.Env, cfg Config) (*Server, error) { panic("unfinished") }

// Run serves until Close, and then returns nil, or until a write or a sync of the log fails, and then returns why;
// nothing is answered after such a failure.
func (s *Server) Run() error { panic("unfinished") }

// Close stops the server. Sessions stay open: clients re-attach to the next server on the same directory.
func (s *Server) Close() { panic("unfinished") }

// Addr is the bound address.
func (s *Server) Addr() string { panic("unfinished") }

// SessionInfo is one session, as seen by the simulator.
type SessionInfo struct {
	ID         int64
	TimeoutMs  int32
	Connected  bool
	Ephemerals []string // sorted
}

// Sessions lists the open sessions, sorted by id. It makes no env call and takes no lock: for the simulator, between
// events, and for tests that know the server to be idle.
func (s *Server) Sessions() []SessionInfo { panic("unfinished") }

// ExpireSession makes the server expire a session at its next look at the clock, at most a quarter tick away. It makes
// no env call and may be called from anywhere.
func (s *Server) ExpireSession(id int64) { panic("unfinished") }

// Get reads a node. Conditions as for Sessions. The caller must not change the data.
func (s *Server) Get(path string) (data []byte, stat zookeeper.Stat, ok bool) { panic("unfinished") }

// Paths lists every node's path, sorted. Conditions as for Sessions.
func (s *Server) Paths() []string { panic("unfinished") }
