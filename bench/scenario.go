package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"barnabas/reports/load"
)

// Scenario is a fault in the middle of a measurement.
type Scenario struct {
	Name   string
	After  float64                         // when the fault comes, as a share of the measured stretch
	Lasts  float64                         // until it heals, as a share of it
	Inject func(leader int32) (Act, error) // does it to a broker, for real clusters; see Cluster
}

// Act is a fault that was done: what it was, and how it ends.
type Act struct {
	Text string
	Heal func() (string, error)
}

const (
	faultAfter = 1.0 / 3 // when the fault of a scenario comes, as a share of the measured stretch
	faultLasts = 1.0 / 4 // until it heals, as a share of it
)

// ScenarioNames are the faults that a bench can run through, in either world.
var ScenarioNames = []string{"leader-failover", "leader-pause", "follower-down"}

// playing is a scenario under way.
type playing struct {
	mu     sync.Mutex
	events []load.Event
	done   chan struct{}
}

func (p *playing) wait() {
	if p != nil {
		<-p.done
	}
}

func (p *playing) take() []load.Event {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events
}

// startScenario plays the run's scenario against the stretch that begins at from; nil without one.
func (s *session) startScenario(ctx context.Context, topic string, from int64) *playing {
	sc := s.o.Scenario
	if sc == nil {
		return nil
	}
	p := &playing{done: make(chan struct{})}
	note := func(kind, text string, err error) {
		if err != nil {
			kind, text = "error", err.Error()
		}
		p.mu.Lock()
		p.events = append(p.events, load.Event{At: float64(s.clock.now()-from) / 1e9, Kind: kind, Text: text})
		p.mu.Unlock()
		s.o.Say("  %.1f s: %s", float64(s.clock.now()-from)/1e9, text)
	}
	measure := float64(s.w.Phases.Measure)
	go func() {
		defer close(p.done)
		s.sleepUntil(ctx, from+int64(faultAfter*measure))
		if ctx.Err() != nil {
			return
		}
		victim, err := s.victim(ctx, topic, sc.Name)
		if err != nil {
			note("error", "", fmt.Errorf("scenario %s: %w", sc.Name, err))
			return
		}
		act, err := sc.Inject(victim)
		if note("fault", act.Text, err); err != nil {
			return
		}
		s.sleepUntil(ctx, from+int64((faultAfter+faultLasts)*measure))
		text, err := act.Heal() // also when interrupted: nothing is left broken behind us
		note("heal", text, err)
	}()
	return p
}

// victim is the broker that the fault hits: the leader of partition 0, or a follower of it.
func (s *session) victim(ctx context.Context, topic, scenario string) (int32, error) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topics, err := s.cluster.adm.ListTopics(within, topic)
	if err != nil {
		return 0, err
	}
	p := topics[topic].Partitions[0]
	if scenario != "follower-down" {
		return p.Leader, nil
	}
	for _, r := range p.Replicas {
		if r != p.Leader {
			return r, nil
		}
	}
	return 0, fmt.Errorf("partition 0 of %s has no follower", topic)
}
