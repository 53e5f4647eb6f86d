package client_test

import (
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

// Goal: the same seed runs the same way. Method: two worlds, one hash.
func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) uint64 {
		return cluster.Test(t, seed, func(e env.Env) {
			f := startFakes(e, 3)
			f.parts = 3
			for i := range f.parts {
				f.lead("t", i, 1+i)
			}
			rand := e.Rand("script")
			onProduce(f, func(int) *act {
				if rand.IntN(5) == 0 {
					return &act{hangUp: true}
				}
				return nil
			})
			k := newClient(e)
			defer k.Close()
			p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true, BatchBytesMax: 300})
			for range 200 {
				p.Produce(client.Record{Topic: "t", Partition: client.AnyPartition, Value: []byte("v")}, func(client.Result) {})
			}
			p.Flush()
			p.Close(time.Second)
		})
	}
	for seed := uint64(1); seed <= 10; seed++ {
		if a, b := run(seed), run(seed); a != b {
			t.Errorf("seed %d: %x and %x", seed, a, b)
		}
	}
}
