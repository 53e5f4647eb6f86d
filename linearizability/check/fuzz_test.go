package check_test

import (
	"bytes"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// FuzzJudge: any history that can be read can be judged, without a panic, and twice with the same result.
func FuzzJudge(f *testing.F) {
	for _, plant := range []string{check.NoLostWrite, check.OffsetStable, check.PollMonotonic, check.BatchWhole} {
		h := load{seed: 5, ops: 120, clients: 4, partitions: 1, unknown: 0.1, failed: 0.1, acks: -1, batch: 2, readEvery: 3}.make()
		plants[plant](h)
		var text bytes.Buffer
		history.Write(&text, h)
		f.Add(text.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := history.Read("f", bytes.NewReader(data))
		if err != nil {
			return
		}
		a, b := check.Judge(h, check.Options{}), check.Judge(h, check.Options{})
		if a.OK != b.OK || a.Total != b.Total || len(a.Violations) != len(b.Violations) {
			t.Fatalf("%+v and %+v", a, b)
		}
		for i := range a.Violations {
			if a.Violations[i].Message != b.Violations[i].Message || len(a.Violations[i].Witness) > check.WitnessMax {
				t.Fatalf("%v and %v", a.Violations[i], b.Violations[i])
			}
		}
	})
}
