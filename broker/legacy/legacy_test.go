package legacy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Goal: every partition is one thread's, in runs, the first ones longer. Method: all small numbers, and Kafka's own example.
func TestShareIsKafkasRange(t *testing.T) {
	for partitions := range 20 {
		for n := 1; n < 8; n++ {
			var all []int32
			for at := range n {
				run := Share(partitions, at, n)
				if len(run) != partitions/n && len(run) != partitions/n+1 {
					t.Errorf("%d partitions, thread %d of %d: %v", partitions, at, n, run)
				}
				all = append(all, run...)
			}
			want := make([]int32, partitions)
			for i := range want {
				want[i] = int32(i)
			}
			if !slices.Equal(all, want) {
				t.Errorf("%d partitions, %d threads: %v", partitions, n, all)
			}
		}
	}
	if got := fmt.Sprint(Share(5, 0, 2), Share(5, 1, 2)); got != "[0 1 2] [3 4]" {
		t.Error(got)
	}
}

// Goal: a member's node is Kafka's JSON, and nothing in another's node can harm.
func TestSubscription(t *testing.T) {
	const want = `{"version":1,"subscription":{"a":1,"b":1},"pattern":"static","timestamp":"42"}`
	if got := string(encodeSubscription([]string{"b", "a"}, 42)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	topics, err := decodeSubscription([]byte(want))
	if err != nil || len(topics) != 2 || topics["a"] != 1 {
		t.Error(topics, err)
	}
	for _, bad := range []string{"", "{", `{"version":2,"pattern":"static"}`, `{"version":1,"pattern":"white_list","subscription":{"t.*":1}}`,
		`{"version":1,"pattern":"static","subscription":{"t":-1}}`, `{"version":1,"pattern":"static","subscription":{"t":2000000000}}`} {
		if _, err := decodeSubscription([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if _, err := New(nil, nil, "h", Options{Group: "a/b"}); err == nil || !strings.Contains(err.Error(), "a/b") {
		t.Error(err)
	}
}
