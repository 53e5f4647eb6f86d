package partition

import "barnabas/broker/env"

// ReadReplica is a replica that a consumer may read from.
type ReadReplica struct {
	Broker       int32
	LogEndOffset int64
	CaughtUpAt   env.Instant // the last moment at which it had everything
}

// ReadReplicas lists the in-sync replicas that hold offset, this leader first: those that a consumer at that offset may be sent to. nil
// where this broker does not lead. Source: ReplicaManager#findPreferredReadReplica.
func (p *Partition) ReadReplicas(offset int64) []ReadReplica {
	now := p.o.Env.Mono()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.role != Leader || p.usable() != nil {
		return nil
	}
	list := []ReadReplica{{p.o.BrokerID, p.log().EndOffset(), now}}
	for i := range p.followers {
		r := &p.followers[i]
		if p.isr.inCommitted(r.id) && r.logEndOffset >= offset && r.logStartOffset <= offset {
			list = append(list, ReadReplica{r.id, r.logEndOffset, r.caughtUpAt})
		}
	}
	return list
}
