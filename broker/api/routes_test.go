package api

import (
	"testing"

	"barnabas/broker/wire"
)

// wire decodes what is served, api handles it: neither may know a key that the other does not.
func TestEveryServedKeyHasAHandler(t *testing.T) {
	served := map[int16]bool{}
	for _, row := range wire.Served(wire.TransactionV2) {
		served[row.ApiKey] = true
		if int(row.ApiKey) >= len(routes) || routes[row.ApiKey] == nil {
			t.Errorf("key %d has no handler", row.ApiKey)
		}
	}
	for key, handle := range routes {
		if handle != nil && !served[int16(key)] {
			t.Errorf("key %d is handled, but not served", key)
		}
	}
}

func TestTopicNames(t *testing.T) {
	long := make([]byte, 250)
	for i := range long {
		long[i] = 'a'
	}
	for name, want := range map[string]bool{"a": true, "A.b_c-9": true, "": false, ".": false, "..": false, "a b": false, "a/b": false, "ä": false,
		string(long): false, string(long[:249]): true} {
		if validTopic(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
