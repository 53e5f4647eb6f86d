package client

import (
	"maps"
	"slices"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// rememberWatch notes the watch that an answered request has set. An exists that found nothing waits for a creation.
func (s *Session) rememberWatch(r *jute.Request, code jute.Code) {
	switch {
	case !r.Watch:
	case code == jute.NoNode && r.Code == jute.OpExists:
		s.existWatches[r.Path] = struct{}{}
	case code != jute.OK:
	case r.Code == jute.OpExists, r.Code == jute.OpGetData:
		s.dataWatches[r.Path] = struct{}{}
	case r.Code == jute.OpGetChildren2:
		s.childWatches[r.Path] = struct{}{}
	}
}

// forgetWatch drops what an event has used up (ZKWatchManager#materialize).
func (s *Session) forgetWatch(ev jute.Event) {
	if ev.Type != zookeeper.EventNodeChildrenChanged {
		delete(s.dataWatches, ev.Path)
		delete(s.existWatches, ev.Path)
	}
	if ev.Type == zookeeper.EventNodeChildrenChanged || ev.Type == zookeeper.EventNodeDeleted {
		delete(s.childWatches, ev.Path)
	}
}

// setWatchesBytes bounds the paths in one setWatches request, well below a server's limit (ClientCnxn).
const setWatchesBytes = 128 << 10

// sendWatches sets the watches again on a new connection, before anything else is sent there. What has happened since
// the last answer comes as events. The mutex is held.
func (s *Session) sendWatches() {
	request, size := s.newSetWatches(), 0
	flush := func() {
		if size > 0 {
			s.link.send(&call{request: request, answered: s.e.NewCond(s.mu)})
			request, size = s.newSetWatches(), 0
		}
	}
	add := func(watches map[string]struct{}, list func(*jute.Request) *[]string) {
		for _, path := range slices.Sorted(maps.Keys(watches)) {
			if size > 0 && size+4+len(path) > setWatchesBytes {
				flush()
			}
			*list(request) = append(*list(request), path)
			size += 4 + len(path)
		}
	}
	add(s.dataWatches, func(r *jute.Request) *[]string { return &r.DataWatches })
	add(s.existWatches, func(r *jute.Request) *[]string { return &r.ExistWatches })
	add(s.childWatches, func(r *jute.Request) *[]string { return &r.ChildWatches })
	flush()
}

func (s *Session) newSetWatches() *jute.Request {
	return &jute.Request{Xid: jute.XidSetWatches, Op: jute.Op{Code: jute.OpSetWatches}, RelativeZxid: s.lastZxid}
}
