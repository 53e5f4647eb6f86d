package bench

import (
	"fmt"

	"barnabas/reports/load"
)

const (
	noiseCoresMax  = 0.08 // of other processes
	idleCoresMin   = 0.03 // that must be left in an open loop, for the generator to be on time
	slipShareMax   = 0.10 // of the p99 that is reported
	offeredPartMin = 0.99
)

// judge says what makes a repetition's figures not count, and what should be known of them. meant is how many
// records an open loop's schedule had.
func judge(r *load.Repetition, meant float64, allowNoise bool) {
	void := func(format string, args ...any) { r.Void = append(r.Void, fmt.Sprintf(format, args...)) }
	note := func(format string, args ...any) { r.Caveats = append(r.Caveats, fmt.Sprintf(format, args...)) }
	if r.Mode == "open" {
		p99 := r.Produce.At(99) * 1000
		if e := r.EndToEnd.At(99) * 1000; e > 0 {
			p99 = min(p99, e)
		}
		if r.Produce.Count() == 0 {
			void("no record was acknowledged")
		} else if slip := r.Slip.At(99); float64(slip) > slipShareMax*float64(p99) {
			void("the generator was late by %.1f µs at p99, more than a tenth of the p99 of %d µs", float64(slip)/1e3, p99/1000)
		}
		if sent := float64(r.Produce.Count() + r.Unfinished + failed(r)); sent < offeredPartMin*meant-10 && r.Blocked == 0 {
			void("the generator sent %.0f of %.0f records", sent, meant)
		}
		if r.Idle < idleCoresMin && r.Others <= noiseCoresMax { // what others eat would have been idle: that is judged below
			void("no CPU was left for the client: %.2f cores idle", r.Idle)
		}
		if r.Blocked > 0 {
			note("the cluster could not keep up: for %.1f s the client's buffer was full", r.Blocked)
		}
	}
	if r.Others > noiseCoresMax {
		if allowNoise {
			note("other processes used %.2f cores", r.Others)
		} else {
			void("other processes used %.2f cores (limit %.2f; --allow-noise makes this a note)", r.Others, noiseCoresMax)
		}
	}
	if r.Unfinished > 0 {
		note("%d records were not answered 15 s after the end; their latency is missing", r.Unfinished)
	}
	if r.Brokers.Processes == 0 {
		note("no broker process was found on this machine: their CPU and memory are not known")
	}
}

// failed is how many records, and polls of consumers, ended in an error.
func failed(r *load.Repetition) (n int64) {
	for _, e := range r.Errors {
		n += e.Count
	}
	return n
}
