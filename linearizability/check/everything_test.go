package check_test

import (
	"fmt"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// BenchmarkEverythingOfTransactions is the speed of judging 100,000 operations with transactions, pipelines, groups and ZooKeeper's sessions among them, online
// and at the end.
func BenchmarkEverythingOfTransactions(b *testing.B) {
	h := soundTxns(11, 100_000)
	for seed := range uint64(50) {
		for _, op := range soundZK(seed).Ops {
			op.ID += int64(len(h.Ops)) + 1_000_000
			op.Topic, op.Process = fmt.Sprintf("/%d%s", seed, op.Topic), op.Process-int32(3*seed)
			if op.Offset != history.None {
				op.Offset += int64(seed) << 32
			}
			for k := range op.Records {
				op.Records[k].Value += int64(seed) << 40
				if op.Records[k].Offset != history.None {
					op.Records[k].Offset += int64(seed) << 32
				}
			}
			op.Call, op.Return = op.Call+int64(seed)<<32, op.Return+int64(seed)<<32 // a ZooKeeper of its own, one after the other
			h.Ops = append(h.Ops, op)
		}
	}
	for b.Loop() {
		o := check.NewOnline(h.Header.Topics, 0)
		for i := range h.Ops {
			o.Op(h.Ops[i])
		}
		if v := check.Judge(h, check.Options{}); v.Total > 0 && o.First() == nil {
			b.Fatal(v.Violations[0])
		}
	}
	b.ReportMetric(float64(len(h.Ops)), "ops")
}
