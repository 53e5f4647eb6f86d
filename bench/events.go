package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"barnabas/reports/load"
)

const (
	leaderPoll   = 100 * time.Millisecond
	pauseWorth   = time.Millisecond // a client's own collection that stopped it for less is not worth a mark
	collectedMin = 5.0              // ms, of a broker's
)

// watchEvents looks for leader changes of the topic and for the client's own garbage collections until the returned
// function is called, which gives them. at is the clock's time of the stretch's start.
func (s *session) watchEvents(ctx context.Context, topic string, at int64) func() []load.Event {
	ctx, stop := context.WithCancel(ctx)
	var mu sync.Mutex
	var events []load.Event
	began := time.Now().Add(-time.Duration(s.clock.now() - at))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		leaders := map[int32]int32{}
		for {
			for p, leader := range s.cluster.leaders(ctx, topic) {
				was, known := leaders[p]
				leaders[p] = leader
				if known && was != leader {
					mu.Lock()
					events = append(events, load.Event{At: float64(s.clock.now()-at) / 1e9, Kind: "leader", Text: fmt.Sprintf("partition %d: leader %d, was %d", p, leader, was)})
					mu.Unlock()
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(leaderPoll):
			}
		}
	}()
	return func() []load.Event {
		stop()
		<-ended
		var gc debug.GCStats
		debug.ReadGCStats(&gc)
		for i, pause := range gc.Pause {
			if when := gc.PauseEnd[i].Sub(began).Seconds(); when >= 0 && pause >= pauseWorth {
				events = append(events, load.Event{At: when, Kind: "gc", Text: fmt.Sprintf("the load generator stopped for %s to collect garbage", pause.Round(10*time.Microsecond))})
			}
		}
		return events
	}
}

// leaders is who leads each partition now; empty where nobody answers.
func (c *cluster) leaders(ctx context.Context, topic string) map[int32]int32 {
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	topics, err := c.adm.ListTopics(within, topic)
	if err != nil {
		return nil
	}
	list := map[int32]int32{}
	for id, p := range topics[topic].Partitions {
		if p.Leader >= 0 {
			list[id] = p.Leader
		}
	}
	return list
}

// jvmPause is a line of a JVM's log with -Xlog:gc:file=…:time, such as
// "[2026-01-02T03:04:05.678+0000] GC(7) Pause Young (Normal) (G1 Evacuation Pause) 612M->88M(1024M) 4.567ms".
var jvmPause = regexp.MustCompile(`^\[(\d{4}-\d\d-\d\dT[0-9:.]+[+-]\d{4})\].*\bPause .* ([0-9.]+)ms$`)

// collections reads the brokers' garbage collections within a stretch from their logs. A log that cannot be read has none:
// it marks plots and decides nothing.
func collections(files []string, began time.Time, seconds float64) []load.Event {
	var events []load.Event
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			m := jvmPause.FindStringSubmatch(lines.Text())
			if m == nil {
				continue
			}
			when, err := time.Parse("2006-01-02T15:04:05.000-0700", m[1])
			took, err2 := strconv.ParseFloat(m[2], 64)
			if at := when.Sub(began).Seconds(); err == nil && err2 == nil && at >= 0 && at < seconds && took >= collectedMin {
				events = append(events, load.Event{At: at, Kind: "gc", Text: fmt.Sprintf("a broker stopped for %.1f ms to collect garbage", took)})
			}
		}
		f.Close()
	}
	return events
}
