package controller_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
)

// meddle has somebody with a session of its own do something to ZooKeeper.
func (w *town) meddle(name string, f func(zookeeper.Session) error) {
	w.t.Helper()
	done := false
	w.AddNode(name, func(e env.Env) {
		s, err := zkclient.Open(e, []string{"zk:2181"}, 6000, e.Mono().Add(10*time.Second))
		if err == nil {
			err = f(s)
			s.Close()
		}
		if err != nil {
			w.t.Error(err)
		}
		done = true
	})
	w.Start(name)
	w.until(name, 20*time.Second, func() bool { return done })
}

// Goal: a znode that nobody can read costs the controller its office, for it does not know what it should know; others try, one after the other, and so does it, and
// once the znode is gone one of them works on. Method: a registration, and then a topic, that are no JSON.
func TestMalformedZnodeEndsTheTerm(t *testing.T) {
	w := newTown(t, 8, 3)
	if code := w.create("t", 2, 3); code != 0 {
		t.Fatalf("create: code %d", code)
	}
	for _, path := range []string{zookeeper.PathBrokerID(9), zookeeper.PathTopic("broken")} {
		epoch := w.active().controller.Epoch()
		w.meddle("scribbler at "+path, func(s zookeeper.Session) error {
			_, _, err := s.Create(path, []byte("no JSON"), zookeeper.Persistent)
			return err
		})
		elected := func() (last int32) {
			for _, b := range w.brokers {
				last = max(last, b.controller.Epoch())
			}
			return last
		}
		w.until(path+": elections that come to nothing", 30*time.Second, func() bool { return elected() >= epoch+5 })
		w.RunFor(100 * time.Millisecond)
		w.meddle("mender of "+path, func(s zookeeper.Session) error { return s.Delete(path, zookeeper.AnyVersion) })
		w.until(path+": a controller that stays", 30*time.Second, func() bool { return w.settled("t", 2) })
		epoch = w.active().controller.Epoch()
		w.RunFor(10 * time.Second)
		if w.active() == nil || w.active().controller.Epoch() != epoch {
			t.Errorf("%s: the controller of epoch %d did not stay", path, epoch)
		}
		topic := map[bool]string{true: "u", false: "v"}[path == zookeeper.PathBrokerID(9)]
		if code := w.create(topic, 1, 3); code != 0 {
			t.Errorf("%s: create: code %d", path, code)
		}
	}
}
