package client

import "testing"

// The values are those of Kafka's own UtilsTest#testMurmur2.
func TestMurmur2IsKafkas(t *testing.T) {
	for key, want := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

// Of 1000 partitions the Java client takes these, and other clients' tests hold them to it.
func TestKeysGoToThePartitionsOfTheJavaClient(t *testing.T) {
	for key, want := range map[string]int32{"": 681, "a": 524, "ab": 434, "abc": 107, "123456789": 566, "\x00 ": 742} {
		if got := keyPartition([]byte(key), 1000); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}
