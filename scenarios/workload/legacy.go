package workload

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/legacy"
	"barnabas/broker/wire"
	zkclient "barnabas/broker/zookeeper/client"
)

// LegacyMember is a node's main function: one consumer of Kafka 0.8 after the other, which find each other in ZooKeeper at zk, until Stop.
func (l *Load) LegacyMember(name string, index int, zk string) func(env.Env) {
	return func(e env.Env) {
		defer l.ended(name, l.life(name))
		r := e.Rand("workload")
		for life := 0; !l.ending(); life++ {
			c := l.client(e, fmt.Sprintf("%c-member-%d", 'a'+rune(r.IntN(26)), index))
			stay := env.Never
			if l.Groups.StayMean > 0 {
				stay = e.Mono().Add(jitter(r, l.Groups.StayMean))
			}
			m := l.newMemberRun(e, name)
			m.legacy(c, zk, fmt.Sprintf("%s-%c", name, 'a'+rune(r.IntN(26))), stay, func() bool { return r.IntN(max(1, l.Groups.CommitEvery)) == 0 })
			c.Close()
			e.Sleep(jitter(r, time.Second))
		}
	}
}

func (m *memberRun) legacy(c *client.Client, zk, host string, until env.Instant, commits func() bool) {
	o := m.l.Groups
	claims := map[int64]int32{} // a claim's number in the history: claims are in the order of their czxids, which may not fit
	generation := func(claim int64) int32 {
		if _, ok := claims[claim]; !ok {
			claims[claim] = int32(claim % (1 << 30))
		}
		return claims[claim]
	}
	k, err := legacy.New(m.e, c, host, legacy.Options{Group: o.Group, Topics: []string{m.l.Topic}, Open: zkclient.Open, Servers: []string{zk},
		SessionMs: int32(o.Session / time.Millisecond), Backoff: 500 * time.Millisecond,
		Fetch: client.ConsumerOptions{WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10},
		Listener: legacy.Listener{
			Assigned: func(tp wire.TopicPartition, claim int64) {
				m.assigned("", generation(claim), []wire.TopicPartition{tp})
			},
			Revoked: func(tp wire.TopicPartition, claim int64, orderly bool) {
				m.revoked(generation(claim), []wire.TopicPartition{tp}, orderly)
			},
			Revoking: func(tp wire.TopicPartition) {
				if _, twice := m.gives[tp]; !twice { // its claim may be gone since the first time, if ZooKeeper's answer was lost
					m.revoking([]wire.TopicPartition{tp})
				}
			},
			Fetched: m.fetched,
			Committed: func(tp wire.TopicPartition, offset int64, called, returned env.Instant, err error) {
				m.committed(-1, []client.CommitOffset{{TP: tp, Offset: offset}}, called, returned, err)
				m.commits = nil
			},
			Committing: func(tp wire.TopicPartition, offset int64) {
				m.committing([]client.CommitOffset{{TP: tp, Offset: offset}})
			},
		}})
	if err != nil {
		return
	}
	defer m.died()
	for !m.l.ending() && m.e.Mono() < until {
		fetched, err := k.Poll(500 * time.Millisecond)
		if err != nil {
			m.e.Sleep(200 * time.Millisecond)
			continue
		}
		for i := range fetched {
			m.l.fetched(m.process, &fetched[i], m.seek, fetchKind{by: o.Group, at: m.e.Mono()})
		}
		if commits() {
			k.Commit() // how it ended is in the history
		}
	}
	k.Close()
}
