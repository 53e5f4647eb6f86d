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
	if got := string(encodeSubscription([]string{"b", "a"}, nil, 42)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	exist := func() ([]string, error) { return []string{"t2", "u", "__consumer_offsets", "t1"}, nil }
	topics, err := decodeSubscription([]byte(want), false, exist)
	if err != nil || len(topics) != 2 || topics["a"] != 1 {
		t.Error(topics, err)
	}
	for text, want := range map[string]string{
		`{"version":1,"pattern":"white_list","subscription":{"t.*":2}}`: "map[t1:2 t2:2]", `{"version":1,"pattern":"black_list","subscription":{"t.*":1}}`: "map[u:1]",
		`{"version":1,"pattern":"white_list","subscription":{"t":1}}`: "map[]", `{"version":1,"pattern":"white_list","subscription":{}}`: "map[]",
	} {
		if topics, err := decodeSubscription([]byte(text), false, exist); err != nil || fmt.Sprint(topics) != want {
			t.Errorf("%s: %v, %v, want %s", text, topics, err, want)
		}
	}
	for _, bad := range []string{"", "{", `{"version":2,"pattern":"static"}`, `{"version":1,"pattern":"grey_list","subscription":{"t.*":1}}`,
		`{"version":1,"pattern":"white_list","subscription":{"t(":1}}`, `{"version":1,"pattern":"white_list","subscription":{"a":1,"b":1}}`,
		`{"version":1,"pattern":"static","subscription":{"t":-1}}`, `{"version":1,"pattern":"static","subscription":{"t":2000000000}}`} {
		if _, err := decodeSubscription([]byte(bad), false, exist); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	for _, o := range []Options{{Topics: []string{"a"}, Whitelist: "b"}, {Whitelist: "a", Blacklist: "b"}, {Blacklist: "("}} {
		o.Group = "g"
		if _, err := New(nil, nil, "h", o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if _, err := New(nil, nil, "h", Options{Group: "a/b"}); err == nil || !strings.Contains(err.Error(), "a/b") {
		t.Error(err)
	}
}

// Goal: an expression is read as Kafka reads it from a property file, matches whole names, and lets Kafka's own topics through only if it may.
func TestFilter(t *testing.T) {
	topics := []string{"orders", "orders.eu", "users", "__consumer_offsets"}
	for _, c := range []struct {
		pattern, raw, regex string
		internal            bool
		want                string
	}{
		{patternWhitelist, "orders", "orders", false, "[orders]"},
		{patternWhitelist, " 'orders.*' ", "orders.*", false, "[orders orders.eu]"},
		{patternWhitelist, `"orders, users"`, "orders|users", false, "[orders users]"},
		{patternWhitelist, ".*", ".*", false, "[orders orders.eu users]"},
		{patternWhitelist, ".*", ".*", true, "[__consumer_offsets orders orders.eu users]"},
		{patternBlacklist, "orders.*", "orders.*", false, "[users]"},
		{patternBlacklist, "orders", "orders", false, "[orders.eu users]"},
		{patternBlacklist, "orders", "orders", true, "[__consumer_offsets orders.eu users]"},
	} {
		f, err := newFilter(c.pattern, c.raw, c.internal)
		if err != nil || f.regex != c.regex || fmt.Sprint(f.of(topics)) != c.want {
			t.Errorf("%+v: %+v, %v", c, f, err)
			continue
		}
		if want := fmt.Sprintf(`{"version":1,"subscription":{%q:1},"pattern":%q,"timestamp":"42"}`, c.regex, c.pattern); string(encodeSubscription(nil, f, 42)) != want {
			t.Errorf("%s, want %s", encodeSubscription(nil, f, 42), want)
		}
	}
}
