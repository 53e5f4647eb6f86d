package trace

import "fmt"

// FirstDiff names the first event in which two recordings of one seed differ, with the events of both sides and the
// last one they share. It is "" if they are equal as far as both go back.
func FirstDiff(a, b []Entry) string {
	for len(a) > 0 && len(b) > 0 && a[0].Seq != b[0].Seq { // rings of different length start at different events
		if a[0].Seq < b[0].Seq {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("event %d: only the second run has it\n  both: %s\n  b:    %s", b[i].Seq, before(b, i), b[i])
		case i >= len(b):
			return fmt.Sprintf("event %d: only the first run has it\n  both: %s\n  a:    %s", a[i].Seq, before(a, i), a[i])
		case a[i] != b[i] && !same(a[i], b[i]):
			return fmt.Sprintf("event %d differs\n  both: %s\n  a:    %s\n  b:    %s", a[i].Seq, before(a, i), a[i], b[i])
		}
	}
	return ""
}

// FirstMark is the number of the first event that may differ between two runs with these marks, to be recorded with
// Options.From and Count = MarkEvery in another pair of runs. When all shared marks agree it is the last one.
func FirstMark(a, b []uint64) uint64 {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return uint64(n) * MarkEvery
}

// same compares by content: kinds of two processes are different pointers.
func same(a, b Entry) bool {
	if (a.Event.Kind == nil) != (b.Event.Kind == nil) {
		return false
	}
	if a.Event.Kind != nil && a.Event.Kind.Name != b.Event.Kind.Name {
		return false
	}
	a.Event.Kind, b.Event.Kind = nil, nil
	return a == b
}

func before(e []Entry, i int) string {
	if i == 0 {
		return "(nothing recorded)"
	}
	return e[i-1].String()
}
