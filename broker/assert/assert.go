// Package assert holds the broker to its own rules. Assertions are on in every build: a broker that has broken an
// invariant must stop before it tells anybody something false. In the simulated world the panic is a crash verdict.
package assert

import "fmt"

// That panics with the formatted message unless ok. Begin the message with the invariant's id from docs/invariants.md:
//
//	assert.That(hw <= leo, "INV-HW-LEO: hw %d <= leo %d", hw, leo)
//
// Arguments are evaluated in any case, so keep them cheap.
func That(ok bool, format string, args ...any) {
	if !ok {
		panic("assertion failed: " + fmt.Sprintf(format, args...))
	}
}
