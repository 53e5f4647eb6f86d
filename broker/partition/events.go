package partition

import "barnabas/broker/env"

// What happens to a partition.
var (
	evBecomeLeader   = env.NewKind("become-leader", env.Info, "epoch", "leo", "hw", "partition-epoch")
	evBecomeFollower = env.NewKind("become-follower", env.Info, "epoch", "leader", "leo", "hw")
	evISRPropose     = env.NewKind("isr-propose", env.Info, "epoch", "partition-epoch", "added", "size")
	evISRShrink      = env.NewKind("isr-shrink", env.Info, "epoch", "partition-epoch", "size")
	evISRExpand      = env.NewKind("isr-expand", env.Info, "epoch", "partition-epoch", "size")
	evISRRefused     = env.NewKind("isr-refused", env.Warn, "epoch", "partition-epoch", "code")
	evTruncate       = env.NewKind("truncate", env.Info, "to", "leo", "hw", "leader-epoch")
	evTruncateBelow  = env.NewKind("truncate-below-hw", env.Warn, "to", "hw")
	evHighWatermark  = env.NewKind("hw", env.Debug, "hw", "leo")
	evMoved          = env.NewKind("replica-moved", env.Info, "leo", "hw")
	evOffline        = env.NewKind("partition-offline", env.Error)
)

func (p *Partition) emit(kind *env.Kind, text string, v ...int64) {
	ev := env.Event{Kind: kind, Topic: p.tp.Topic, Partition: p.tp.Partition, Text: text}
	copy(ev.V[:], v)
	p.o.Env.Emit(ev)
}
