package server

import (
	"fmt"
	"strings"
)

// version is the ZooKeeper whose behaviour this one shows, in the form that its tools parse.
const version = "3.8.0-barnabas, built on 01/01/1970 00:00 GMT"

// word answers a four-letter word, which an operator sends in place of a handshake; ok is false for anything else.
func (s *Server) word(word string) (answer string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch word {
	case "ruok":
		return "imok", true
	case "isro":
		return "rw", true
	case "srvr":
		return s.describe(""), true
	case "stat":
		var clients strings.Builder
		clients.WriteString("Clients:\n")
		for _, c := range s.conns {
			fmt.Fprintf(&clients, " %s[1](queued=%d)\n", c.peer, len(c.marks))
		}
		return s.describe(clients.String() + "\n"), true
	case "mntr":
		return s.monitor(), true
	}
	return "", false
}

func (s *Server) describe(clients string) string {
	return fmt.Sprintf("Zookeeper version: %s\n%sLatency min/avg/max: 0/0.0/0\nReceived: %d\nSent: %d\nConnections: %d\n"+
		"Outstanding: %d\nZxid: 0x%x\nMode: standalone\nNode count: %d\n",
		version, clients, s.received.Load(), s.sent.Load(), len(s.conns), s.outstanding(), s.tree.Zxid(), s.tree.Len())
}

func (s *Server) monitor() string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "zk_%s\t%v\n", key, value) }
	line("version", version)
	line("server_state", "standalone")
	line("packets_received", s.received.Load())
	line("packets_sent", s.sent.Load())
	line("num_alive_connections", len(s.conns))
	line("outstanding_requests", s.outstanding())
	line("znode_count", s.tree.Len())
	line("watch_count", s.watchCount())
	line("global_sessions", len(s.sessions))
	return b.String()
}

func (s *Server) outstanding() int {
	n := 0
	for _, c := range s.conns {
		n += len(c.marks)
	}
	return n
}

func (s *Server) watchCount() int {
	n := 0
	for _, c := range s.conns {
		n += len(c.dataWatches) + len(c.childWatches)
	}
	return n
}
