package disk

import "testing"

// Goal: SetFailUnder strikes what is below its paths, whichever call, and nothing else.
func TestSetFailUnderStrikesOneDirectory(t *testing.T) {
	d := &Disk{}
	d.SetFailUnder("/data/1")
	for name, want := range map[string]bool{"/data/1": true, "/data/1/t-0/x.log": true, "/data/10": false, "/data/2/t": false, "/data": false} {
		if d.broken(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	d.SetFailUnder()
	if d.broken("/data/1") {
		t.Error("it does not heal")
	}
}
