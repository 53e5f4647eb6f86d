package zktest

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/zookeeper"
)

var sessionCases = []Case{
	{"close-takes-ephemerals-along", sessionClose},
	{"close-is-the-end", sessionEnd},
	{"expiry-takes-ephemerals-along-and-is-told", sessionExpiry},
	{"expiry-by-order-is-told", sessionForced},
	{"session-survives-a-lost-connection", sessionReattach},
	{"watches-survive-a-lost-connection", watchesReattach},
	{"very-many-watches-survive-a-lost-connection", manyWatchesReattach},
	{"pings-keep-an-idle-session", sessionIdle},
	{"session-survives-a-restart-of-the-server", sessionRestart},
	{"many-sessions", manySessions},
	{"nobody-to-talk-to-is-connection-loss", nobody},
}

func sessionClose(r *run) {
	other := r.open(r.Server)
	if other == nil {
		return
	}
	r.create(other, "/parent", "", zookeeper.Persistent)
	r.create(other, "/parent/a", "", zookeeper.Ephemeral)
	r.create(other, "/parent/b", "", zookeeper.EphemeralSequential)
	r.create(other, "/parent/stays", "", zookeeper.Persistent)
	exists, stat, err := r.s.Exists(r.root+"/parent/a", true)
	r.ok(err, "exists")
	r.equal([]any{exists, stat.EphemeralOwner}, []any{true, other.ID()}, "owner")
	r.ok(other.Close(), "close")
	r.event(r.s, zookeeper.EventNodeDeleted, r.root+"/parent/a")
	names, stat, err := r.s.Children(r.root+"/parent", false)
	r.ok(err, "children")
	r.equal(names, []string{"stays"}, "children")
	r.equal(stat.Cversion, int32(5), "cversion: three creates, two deletes")
}

func sessionEnd(r *run) {
	s := r.open(r.Server)
	if s == nil {
		return
	}
	r.ok(s.Close(), "close")
	r.state(s, zookeeper.StateClosed)
	if _, ok := s.Events().Get(); ok || !s.Events().Closed() {
		r.failf("events after close")
	}
	_, _, err := s.Get(r.root, false)
	r.fails(err, zookeeper.ErrSessionClosed, "get")
	_, err = s.Multi(zookeeper.CheckOp(r.root, 0))
	r.fails(err, zookeeper.ErrSessionClosed, "multi")
	r.ok(s.Close(), "close again")
}

func sessionExpiry(r *run) {
	victim, proxy := r.proxied(2)
	if victim == nil {
		return
	}
	defer proxy.Close()
	r.create(victim, "/a", "", zookeeper.Ephemeral)
	_, _, err := r.s.Get(r.root+"/a", true)
	r.ok(err, "get")
	proxy.Cut()
	r.state(victim, zookeeper.StateDisconnected)
	_, _, err = victim.Get(r.root, false)
	r.fails(err, zookeeper.ErrConnectionLoss, "get while disconnected")
	r.event(r.s, zookeeper.EventNodeDeleted, r.root+"/a")
	_, err = victim.Multi(zookeeper.CheckOp(r.root, 0))
	r.fails(err, zookeeper.ErrConnectionLoss, "multi while expired but not told")
	proxy.Mend()
	r.expired(victim)
}

// expired waits for the news, and requires that it is final.
func (r *run) expired(s zookeeper.Session) {
	if !r.state(s, zookeeper.StateExpired) {
		return
	}
	if _, ok := s.Events().GetUntil(r.deadline()); ok || !s.Events().Closed() {
		r.failf("events after expiry")
	}
	_, _, err := s.Create(r.root+"/after", nil, zookeeper.Ephemeral)
	r.fails(err, zookeeper.ErrSessionExpired, "create")
	_, err = s.Multi(zookeeper.CheckOp(r.root, 0))
	r.fails(err, zookeeper.ErrSessionExpired, "multi")
	r.ok(s.Close(), "close of an expired session")
	exists, _, err := r.s.Exists(r.root+"/after", false)
	r.ok(err, "exists")
	r.equal(exists, false, "a node of the expired session exists")
}

func sessionForced(r *run) {
	if r.Expire == nil {
		return
	}
	victim := r.open(r.Server)
	if victim == nil {
		return
	}
	r.create(victim, "/a", "", zookeeper.Ephemeral)
	_, _, err := r.s.Get(r.root+"/a", true)
	r.ok(err, "get")
	r.Expire(victim.ID())
	r.event(r.s, zookeeper.EventNodeDeleted, r.root+"/a")
	r.state(victim, zookeeper.StateDisconnected)
	r.expired(victim)
}

func sessionReattach(r *run) {
	s, proxy := r.proxied(20)
	if s == nil {
		return
	}
	defer proxy.Close()
	id := s.ID()
	r.create(s, "/a", "", zookeeper.Ephemeral)
	for range 2 {
		proxy.Cut()
		r.state(s, zookeeper.StateDisconnected)
		_, _, err := s.Get(r.root, false)
		r.fails(err, zookeeper.ErrConnectionLoss, "get while disconnected")
		proxy.Mend()
		r.state(s, zookeeper.StateConnected)
		r.equal(s.ID(), id, "session id")
		_, stat, err := s.Get(r.root+"/a", false)
		r.ok(err, "get after reconnection")
		r.equal(stat.EphemeralOwner, id, "owner")
	}
	r.ok(s.Close(), "close")
	exists, _, err := r.s.Exists(r.root+"/a", false)
	r.ok(err, "exists")
	r.equal(exists, false, "ephemeral node exists after close")
}

func watchesReattach(r *run) {
	s, proxy := r.proxied(20)
	if s == nil {
		return
	}
	defer proxy.Close()
	for _, name := range []string{"/set", "/deleted", "/same", "/parent", "/parent/gone", "/quiet"} {
		r.create(r.s, name, "", zookeeper.Persistent)
	}
	for _, name := range []string{"/set", "/deleted", "/same"} {
		_, _, err := s.Get(r.root+name, true)
		r.ok(err, "get")
	}
	for _, name := range []string{"/created", "/later"} {
		_, _, err := s.Exists(r.root+name, true)
		r.ok(err, "exists")
	}
	for _, name := range []string{"/parent", "/parent/gone", "/quiet"} {
		_, _, err := s.Children(r.root+name, true)
		r.ok(err, "children")
	}
	proxy.Cut()
	r.state(s, zookeeper.StateDisconnected)
	r.ok(set(r.s, r.root+"/set"), "set")
	r.ok(r.s.Delete(r.root+"/deleted", 0), "delete")
	r.ok(r.s.Delete(r.root+"/parent/gone", 0), "delete")
	r.create(r.s, "/created", "", zookeeper.Persistent)
	proxy.Mend()
	r.state(s, zookeeper.StateConnected)
	r.ok(s.Sync(r.root), "sync")
	r.equal(s.Events().Len(), 5, "events before the first answer")
	missed := map[zookeeper.Event]bool{}
	for range 5 {
		ev, _ := s.Events().GetUntil(r.deadline())
		missed[ev] = true
	}
	r.equal(missed, map[zookeeper.Event]bool{
		{Type: zookeeper.EventNodeDataChanged, Path: r.root + "/set"}:        true,
		{Type: zookeeper.EventNodeDeleted, Path: r.root + "/deleted"}:        true,
		{Type: zookeeper.EventNodeCreated, Path: r.root + "/created"}:        true,
		{Type: zookeeper.EventNodeChildrenChanged, Path: r.root + "/parent"}: true,
		{Type: zookeeper.EventNodeDeleted, Path: r.root + "/parent/gone"}:    true,
	}, "events of what was missed")
	r.quiet(s)
	r.ok(set(r.s, r.root+"/same"), "set")
	r.event(s, zookeeper.EventNodeDataChanged, r.root+"/same")
	r.create(r.s, "/later", "", zookeeper.Persistent)
	r.event(s, zookeeper.EventNodeCreated, r.root+"/later")
	r.create(r.s, "/quiet/child", "", zookeeper.Persistent)
	r.event(s, zookeeper.EventNodeChildrenChanged, r.root+"/quiet")
	r.ok(set(r.s, r.root+"/set"), "set")
	r.quiet(s)
}

// manyWatchesReattach has more watches than fit into one request.
func manyWatchesReattach(r *run) {
	s, proxy := r.proxied(20)
	if s == nil {
		return
	}
	defer proxy.Close()
	const n = 700
	name := func(i int) string { return fmt.Sprintf("/%0400d", i) }
	for i := range n {
		_, _, err := s.Exists(r.root+name(i), true)
		r.ok(err, "exists")
	}
	proxy.Cut()
	r.state(s, zookeeper.StateDisconnected)
	for i := 0; i < n; i += 100 {
		r.create(r.s, name(i), "", zookeeper.Persistent)
	}
	proxy.Mend()
	r.state(s, zookeeper.StateConnected)
	r.ok(s.Sync(r.root), "sync")
	r.equal(s.Events().Len(), n/100, "events before the first answer")
	for range n / 100 {
		if ev, _ := s.Events().GetUntil(r.deadline()); ev.Type != zookeeper.EventNodeCreated {
			r.failf("event %+v", ev)
		}
	}
	for i := 1; i < n; i += 100 {
		r.create(r.s, name(i), "", zookeeper.Persistent)
		r.event(s, zookeeper.EventNodeCreated, r.root+name(i))
	}
	r.quiet(s)
}

func sessionIdle(r *run) {
	s := r.openFor(r.Server, 2)
	if s == nil {
		return
	}
	r.create(s, "/a", "", zookeeper.Ephemeral)
	r.Env.Sleep(time.Duration(8*r.TickMs) * time.Millisecond)
	_, _, err := s.Get(r.root+"/a", false)
	r.ok(err, "get after four time-outs of silence")
	r.quiet(s)
}

func sessionRestart(r *run) {
	if r.Restart == nil {
		return
	}
	s := r.openFor(r.Server, 20)
	if s == nil {
		return
	}
	id := s.ID()
	r.create(s, "/ephemeral", "e", zookeeper.Ephemeral)
	_, before, err := s.Create(r.root+"/n-", []byte("p"), zookeeper.PersistentSequential)
	r.ok(err, "create")
	_, _, err = s.Get(r.root+"/ephemeral", true)
	r.ok(err, "get")
	r.ok(r.Restart(), "restart")
	r.state(s, zookeeper.StateDisconnected)
	r.state(s, zookeeper.StateConnected)
	r.equal(s.ID(), id, "session id")
	_, stat, err := s.Get(r.root+"/ephemeral", false)
	r.ok(err, "get")
	r.equal(stat.EphemeralOwner, id, "owner")
	_, stat, err = s.Exists(r.root+"/n-0000000001", false)
	r.ok(err, "exists")
	r.equal(stat, before, "stat after the restart")
	path, after, err := s.Create(r.root+"/n-", nil, zookeeper.PersistentSequential)
	r.ok(err, "create")
	r.equal(path, r.root+"/n-0000000002", "next number")
	if after.Czxid <= before.Czxid {
		r.failf("czxid %#x after %#x", after.Czxid, before.Czxid)
	}
	r.ok(set(s, r.root+"/ephemeral"), "set")
	r.event(s, zookeeper.EventNodeDataChanged, r.root+"/ephemeral")
	r.ok(s.Close(), "close")
	r.eventually("the first session is back", func() bool {
		exists, _, err := r.s.Exists(r.root+"/ephemeral", false)
		return err == nil && !exists
	})
}

func manySessions(r *run) {
	const n = 60
	sessions := make([]zookeeper.Session, n)
	for i := range sessions {
		if sessions[i] = r.open(r.Server); sessions[i] == nil {
			return
		}
		r.create(sessions[i], fmt.Sprintf("/%02d", i), "", zookeeper.Ephemeral)
	}
	names, _, err := sessions[n-1].Children(r.root, true)
	r.ok(err, "children")
	r.equal(len(names), n, "children")
	for i := 0; i < n/2; i++ {
		r.ok(sessions[i].Close(), "close")
	}
	r.event(sessions[n-1], zookeeper.EventNodeChildrenChanged, r.root)
	names, _, err = r.s.Children(r.root, false)
	r.ok(err, "children")
	r.equal(len(names), n-n/2, "children after half of the sessions closed")
}

func nobody(r *run) {
	proxy, err := NewProxy(r.Env, r.ProxyAddr, r.Server)
	if !r.ok(err, "proxy") {
		return
	}
	defer proxy.Close()
	proxy.Cut()
	began := r.Env.Mono()
	_, err = r.Open(r.Env, []string{proxy.Addr()}, 4*r.TickMs, began.Add(300*time.Millisecond))
	if !errors.Is(err, zookeeper.ErrConnectionLoss) || r.Env.Mono().Sub(began) < 300*time.Millisecond {
		r.failf("open: %v after %v", err, r.Env.Mono().Sub(began))
	}
}
