package partition

import "barnabas/broker/log"

// BeginVerification is that of the log: a guard for the first batch of a producer's transaction, nil if it is open here already.
//
// Errors: NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR. Source: Partition#maybeStartTransactionVerification.
func (p *Partition) BeginVerification(producer int64, epoch int16, sequence int32) (guard *log.Guard, err error) {
	err = p.asLeader("verify", func() { guard = p.log().BeginVerification(producer, epoch, sequence) })
	return guard, err
}

// ActiveProducers lists the producers that the log knows, by id. Errors: those of BeginVerification.
//
// Source: Partition#activeProducerState.
func (p *Partition) ActiveProducers() (list []log.ActiveProducer, err error) {
	err = p.asLeader("describe producers", func() { list = p.log().ActiveProducers() })
	return list, err
}

// asLeader runs f while this broker leads.
func (p *Partition) asLeader(operation string, f func()) error {
	p.mu.Lock()
	err := p.enter()
	if err == nil {
		if err = p.checkRole(noEpoch, false); err != nil {
			p.leave()
		}
	}
	p.mu.Unlock()
	if err != nil {
		return p.fail(operation, err)
	}
	f()
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	return nil
}
