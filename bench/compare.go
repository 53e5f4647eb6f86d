package bench

import (
	"context"

	"barnabas/reports/load"
)

// Compare runs one workload on two clusters, in pairs: A then B, B then A, and so on, so that what drifts (a disk that
// throttles, a neighbour) meets both alike. Both runs have the same number of repetitions unless interrupted.
func Compare(ctx context.Context, w *Workload, a, b Options) (ra, rb *load.Run, err error) {
	sa, err := newSession(ctx, w, a)
	if err != nil {
		return nil, nil, err
	}
	defer sa.close()
	sb, err := newSession(ctx, w, b)
	if err != nil {
		return nil, nil, err
	}
	defer sb.close()
	for n := range w.Phases.Repetitions {
		for _, rate := range w.rates() {
			pair := []*session{sa, sb}
			if n%2 == 1 {
				pair[0], pair[1] = pair[1], pair[0]
			}
			for _, s := range pair {
				if err := s.repeat(ctx, rate, n); err != nil {
					return sa.run, sb.run, err
				}
				if s.run.Interrupted {
					sa.run.Interrupted, sb.run.Interrupted = true, true
					return sa.run, sb.run, nil
				}
			}
		}
	}
	return sa.run, sb.run, nil
}
