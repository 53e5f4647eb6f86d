package server

import "testing"

// Goal: the address of a peer is what overrides name it by.
func TestAddressOf(t *testing.T) {
	for peer, want := range map[string]string{"127.0.0.1:34567": "127.0.0.1", "[::1]:9": "::1", "[fe80::1%eth0]:80": "fe80::1%eth0", "b1:9092": "b1"} {
		if got := addressOf(peer); got != want {
			t.Errorf("%s: %q, want %q", peer, got, want)
		}
	}
}
