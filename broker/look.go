package broker

import "barnabas/broker/txn"

// Transactions lists the transactional ids that this broker coordinates, for the simulator's all-seeing checker (see txn.Snapshot).
func (b *Broker) Transactions() []txn.Seen {
	if b.txns == nil {
		return nil
	}
	return b.txns.Snapshot()
}
