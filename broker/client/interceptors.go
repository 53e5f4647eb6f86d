package client

// ConsumerInterceptor sees what a consumer reads and commits (org.apache.kafka.clients.consumer.ConsumerInterceptor). It is called by the task that polls.
type ConsumerInterceptor interface {
	// OnConsume is given what Poll is about to return, and returns what it shall return: the same, or records changed, added or taken away. Positions
	// follow what was fetched, whatever is returned.
	OnConsume([]Fetched) []Fetched
	// OnCommit is told of offsets that were committed.
	OnCommit([]CommitOffset)
}

// ProducerInterceptor sees what a producer sends (org.apache.kafka.clients.producer.ProducerInterceptor).
type ProducerInterceptor interface {
	// OnSend is given a record before it has a partition, by the task that produces, and returns the one to send.
	OnSend(Record) Record
	// OnAcknowledgement is told how a record ended, just before whoever produced it. It must not wait.
	OnAcknowledgement(Result)
}

// intercepted lets the interceptors see a record, and its result before done does.
func (p *Producer) intercepted(r Record, done func(Result)) (Record, func(Result)) {
	if len(p.o.Interceptors) == 0 {
		return r, done
	}
	for _, i := range p.o.Interceptors {
		r = i.OnSend(r)
	}
	return r, func(result Result) {
		for _, i := range p.o.Interceptors {
			i.OnAcknowledgement(result)
		}
		done(result)
	}
}
