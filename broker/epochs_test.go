package broker_test

import (
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

// Goal: when one answer brings a follower the first records of many partitions in a new leader epoch, which it syncs before it appends them, it does
// that side by side. Method: a broker hands over, and the first records of 24 partitions wait at two leaders that are cut off from each
// other. Then their disks become slow, and they meet again: one after the other, each would sync two files twelve times, some 20 ms each.
func TestFollowerSyncsNewEpochsSideBySide(t *testing.T) {
	const partitions = 24
	for seed := uint64(1); seed <= 3; seed++ {
		h := newHarness(t, seed, func(c *config.Broker) { c.ReplicaLagTimeMax, c.ReplicaFetchBackoff = time.Minute, 20*time.Millisecond })
		h.client("writers", func(e env.Env, c *client.Client) {
			if err := client.NewAdmin(c).CreateTopics(20*time.Second, client.NewTopic{Name: tp.Topic, Partitions: partitions, ReplicationFactor: 3}); err != nil {
				t.Fatal(err)
			}
			write := func() *env.Group {
				tasks := env.NewGroup(e)
				for i := range int32(partitions) {
					to := tp
					to.Partition = i
					tasks.Go("writer", func() {
						if err := try(t, c, to, 10, 20*time.Second); err != nil {
							t.Errorf("seed %d: %s: %v", seed, to, err)
						}
					})
				}
				return tasks
			}
			write().Wait()
			h.brokers[1].Stop()
			for h.w.Status(name(1)) == cluster.Running {
				e.Sleep(10 * time.Millisecond)
			}
			e.Sleep(time.Second)
			heal := h.w.Partition([]string{name(2)}, []string{name(3)}, false)
			h.w.ResetLinks([]string{name(2)}, []string{name(3)})
			h.w.ResetLinks([]string{name(3)}, []string{name(2)})
			waiting := write()
			e.Sleep(500 * time.Millisecond)
			h.w.Disk(name(2)).SetSlow(200)
			h.w.Disk(name(3)).SetSlow(200)
			heal()
			began := e.Mono()
			waiting.Wait()
			if took := e.Mono().Sub(began); took > 1200*time.Millisecond { // up to a second until they are connected again
				t.Errorf("seed %d: %v until every partition had its first record", seed, took)
			}
		})
	}
}
