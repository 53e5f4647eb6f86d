package client

import "barnabas/broker/env"

// The points that a trial should reach.
var markReadFromNearest = env.NewMark("consumer-reads-from-nearest")
