package coordinator

import "barnabas/broker/env"

// The points that a trial should reach.
var (
	markElectedAgainInPlace = env.NewMark("elected-again-in-place")
)
