package server

import "barnabas/broker/zookeeper"

// SessionInfo is one session, as seen by the simulator.
type SessionInfo struct {
	ID         int64
	TimeoutMs  int32
	Connected  bool
	Ephemerals []string // sorted
}

// Sessions lists the open sessions, sorted by id. It makes no env call and takes no lock: for the simulator, between
// events, and for tests that know the server to be idle.
func (s *Server) Sessions() []SessionInfo {
	var infos []SessionInfo
	for _, id := range s.tree.Sessions() {
		timeoutMs, _, _ := s.tree.Session(id)
		info := SessionInfo{ID: id, TimeoutMs: timeoutMs, Ephemerals: s.tree.Ephemerals(id)}
		if ss := s.sessions[id]; ss != nil {
			info.Connected = ss.conn != nil
		}
		infos = append(infos, info)
	}
	return infos
}

// Get reads a node. Conditions as for Sessions. The caller must not change the data.
func (s *Server) Get(path string) (data []byte, stat zookeeper.Stat, ok bool) {
	return s.tree.Get(path)
}

// Paths lists every node's path, sorted. Conditions as for Sessions.
func (s *Server) Paths() []string { return s.tree.Paths() }

// Zxid is the last transaction's id. Conditions as for Sessions.
func (s *Server) Zxid() int64 { return s.tree.Zxid() }

// forcedExpiry is a session to be expired by order.
type forcedExpiry struct {
	id   int64
	next *forcedExpiry
}

// ExpireSession makes the server expire a session at its next look at the clock, at most a quarter tick away. It makes
// no env call and may be called from anywhere.
func (s *Server) ExpireSession(id int64) {
	f := &forcedExpiry{id: id}
	for {
		f.next = s.forced.Load()
		if s.forced.CompareAndSwap(f.next, f) {
			return
		}
	}
}

// watchBreaker says whose connections break instead of bringing a watch's event.
type watchBreaker struct{ breaks func(peer string) bool }

// BreakOnWatch makes the server close the connection of a peer ("host:port") for which breaks says so, instead of sending
// it a watch's event: the event is lost on its way, and the client learns of the change by setting its watches anew. nil
// ends it. It makes no env call and may be called from anywhere.
func (s *Server) BreakOnWatch(breaks func(peer string) bool) {
	s.breaker.Store(&watchBreaker{breaks})
}

// breaksOnWatch asks whether the connection breaks now.
func (s *Server) breaksOnWatch(c *conn) bool {
	b := s.breaker.Load()
	return b != nil && b.breaks != nil && b.breaks(c.peer)
}
