package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stage is a topic and the producers on it.
type stage struct {
	s         *session
	topic     string
	made      bool
	producers []producer
	open      []*transactional
	times     requestTimes
	generator *generator
	first     []int64 // by partition: where the stage's records begin
	backlog   int64   // records
}

func (s *session) newStage(ctx context.Context) (*stage, error) {
	name := s.w.Topic.Name
	if name == "" {
		name = fmt.Sprintf("barnabas-bench-%s-%08x", s.w.Name, rand.Uint32())
	}
	st := &stage{s: s, topic: name, times: requestTimes{newTiming(), newTiming()}}
	var err error
	if st.made, err = s.cluster.prepare(ctx, name, s.w.Topic); err != nil {
		return nil, err
	}
	if st.first, err = s.cluster.ends(ctx, name, s.w.Topic.Partitions); err != nil {
		st.close()
		return nil, err
	}
	var sinks []sink
	for i := range s.w.Producers.Count {
		var more []kgo.Opt
		if s.w.Producers.Transaction > 0 {
			more = append(more, kgo.TransactionalID(fmt.Sprintf("%s-%d", name, i)), kgo.TransactionTimeout(time.Minute))
		}
		p, err := newProducer(s.cluster.seeds, name, s.w.Producers, more...)
		if err != nil {
			st.close()
			return nil, err
		}
		st.producers = append(st.producers, p)
		if n := s.w.Producers.Transaction; n > 0 {
			t := newTransactional(s.clock, p.client, n, int64(s.w.Producers.Buffer/s.w.maxSize()), st.times.commit)
			st.open = append(st.open, t)
			sinks = append(sinks, t)
		} else {
			sinks = append(sinks, p)
		}
	}
	st.generator = newGenerator(s.clock, name, s.w, sinks)
	if c := s.w.catchup(); c != nil {
		if err := st.preload(ctx, int64(c.Backlog)); err != nil {
			st.close()
			return nil, err
		}
	}
	return st, nil
}

// source is where consumers begin: at the end as it is now, or where this stage's records begin.
func (st *stage) source(ctx context.Context, tail bool) (source, error) {
	src := source{seeds: st.s.cluster.seeds, topic: st.topic, from: append([]int64(nil), st.first...)}
	if !tail {
		return src, nil
	}
	var err error
	src.from, err = st.s.cluster.ends(ctx, st.topic, st.s.w.Topic.Partitions)
	return src, err
}

// preload writes the backlog of catch-up readers.
func (st *stage) preload(ctx context.Context, bytes int64) error {
	st.s.o.Say("writing a backlog of %d MB", bytes/1e6)
	g := st.generator
	g.begin(0, 1<<62)
	g.closed(ctx, bytes)
	if left := g.drain(time.Minute); left > 0 && ctx.Err() == nil && len(st.open) == 0 { // part of a transaction may wait for its rest
		return fmt.Errorf("backlog: %d records were not acknowledged within a minute", left)
	}
	for _, e := range g.acked.errorCounts() {
		return fmt.Errorf("backlog: %d records: %s", e.Count, e.Error)
	}
	flow, _ := g.acked.total(1)
	st.backlog = flow.Records
	return ctx.Err()
}

// endTransactions commits what is still open. What is sent after it goes nowhere.
func (st *stage) endTransactions() {
	for _, t := range st.open {
		t.end()
	}
	st.open = nil
}

func (st *stage) close() {
	st.endTransactions()
	for _, p := range st.producers {
		p.client.Close()
	}
	if st.made {
		if err := st.s.cluster.drop(st.topic); err != nil {
			st.s.o.Say("topic %s stays behind: %v", st.topic, err)
		}
	}
}
