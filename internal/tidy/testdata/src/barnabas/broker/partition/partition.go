package partition

import (
	_ "barnabas/broker/log"
	_ "barnabas/broker/replica"   // want `broker/partition must not import broker/replica: it stands on level 5`
	_ "barnabas/broker/zookeeper" // want `it owns the small interface it needs`
)
