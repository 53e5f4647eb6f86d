package env

import "testing"

var markTested, kindTested = NewMark("tested"), NewKind("tested-event", Debug)

// Goal: marks count only while they are on, and event kinds are marks. Method: one of each, hit off and on.
func TestMarksCountWhileOn(t *testing.T) {
	count := func(name string) int {
		for _, m := range Marks() {
			if m.Name == name {
				return int(m.Hits)
			}
		}
		return -1
	}
	markTested.Hit()
	kindTested.Hit()
	CountMarks(true)
	defer CountMarks(false)
	markTested.Hit()
	kindTested.Hit()
	kindTested.Hit()
	if m, k := count("env/tested"), count("env/event tested-event"); m != 1 || k != 2 {
		t.Errorf("counted %d and %d, want 1 and 2", m, k)
	}
}

func BenchmarkMarkOff(b *testing.B) {
	for range b.N {
		markTested.Hit()
	}
}
