package zookeeper_test

import (
	"testing"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"
)

// Goal: an offset of the old consumer is text at Kafka's path, made with the path above it, and read back; what is no number is told.
func TestConsumerOffsets(t *testing.T) {
	tree := storetest.NewTree()
	s, session, _ := store(tree)
	ok(t, s.EnsurePersistentPaths())
	if _, found, err := s.ConsumerOffset("g", tp(3)); found || err != nil {
		t.Error(found, err)
	}
	for _, offset := range []int64{12, 1 << 40} {
		ok(t, s.SetConsumerOffset("g", tp(3), offset))
		if at, found, err := s.ConsumerOffset("g", tp(3)); at != offset || !found || err != nil {
			t.Error(at, found, err)
		}
	}
	data, _, err := session.Get("/consumers/g/offsets/t/3", false)
	ok(t, err)
	if string(data) != "1099511627776" {
		t.Errorf("%q", data)
	}
	if _, err := session.Set(zookeeper.PathConsumerOffset("g", tp(3)), []byte("x"), zookeeper.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ConsumerOffset("g", tp(3)); err == nil {
		t.Error("no error for an offset that is no number")
	}
}
