package quota_test

import (
	"math"
	"strings"
	"testing"

	"barnabas/broker/quota"
)

// Goal: an address has its own bound, else the default one, else none; 0 is a bound; what makes no sense bounds nobody, and is told.
func TestBoundsOfAddresses(t *testing.T) {
	rate := func(text string) map[string]string { return map[string]string{quota.ConnectionRate: text} }
	a, err := quota.NewAddresses(map[quota.Entity]map[string]string{
		{IP: "10.0.0.1"}: rate("5"), {IP: "::ffff:10.0.0.2"}: rate("0"), {IP: "::1"}: rate("7"), {IP: "10.0.0.3"}: {"other": "1"}, {ClientID: "10.0.0.4"}: rate("1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]int{"10.0.0.1": 5, "10.0.0.2": 0, "::1": 7, "10.0.0.3": math.MaxInt32, "10.0.0.4": math.MaxInt32, "b1": math.MaxInt32} {
		if got := a.Bound(address); got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
	a, err = quota.NewAddresses(map[quota.Entity]map[string]string{
		{IP: quota.Default}: rate("9"), {IP: "10.0.0.1"}: rate("5"), {IP: "somewhere"}: rate("1"), {IP: "10.0.0.2"}: rate("-1"), {IP: "10.0.0.3"}: rate("many"),
	})
	for address, want := range map[string]int{"10.0.0.1": 5, "10.0.0.2": 9, "10.0.0.3": 9, "somewhere": 9, "b1": 9} {
		if got := a.Bound(address); got != want {
			t.Errorf("with a default: %s: %d, want %d", address, got, want)
		}
	}
	for _, want := range []string{"somewhere", "-1 of 10.0.0.2", "many of 10.0.0.3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %q", err, want)
		}
	}
	if got := (*quota.Addresses)(nil).Bound("b1"); got != math.MaxInt32 {
		t.Errorf("nobody has set any: %d", got)
	}
}
