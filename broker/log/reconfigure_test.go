package log_test

import (
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
)

// Goal: settings of the cleaner and of producers' expiry that change while the broker runs take effect at once, on logs that are open.
func TestReconfigurationTakesEffect(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := config.Default()
		cfg.LogDirs, cfg.Topic = []string{"/data"}, small
		cfg.Topic.CleanupPolicyCompact, cfg.Topic.CleanupPolicyDelete, cfg.Topic.MinCleanableDirtyRatio = true, false, 0.1
		cfg.LogCleanerBackoff = 24 * time.Hour
		m := manager(t, e, cfg)
		m.Start()
		e.Sleep(time.Second) // the cleaner has looked once, and rests
		l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, cfg.Topic)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			put(t, l, 1, []string{"a", "b"}, "some value that fills segments")
		}
		idempotent := build("v", 1, func(o *record.BatchOptions) { o.ProducerID, o.ProducerEpoch, o.BaseSequence = 7, 0, 0 })
		if _, err := l.AppendAsLeader(idempotent, 4, log.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(l.EndOffset())
		set := func(name, value string) {
			was := cfg.Live()
			if err := cfg.SetDynamic(map[string]string{name: value}, nil); err != nil {
				t.Fatal(err)
			}
			m.Reconfigure(was)
		}
		e.Sleep(20 * time.Minute)
		if n := len(table(t, l)); n < 60 {
			t.Fatalf("%d records: it was cleaned before its time", n)
		}
		set("log.cleaner.backoff.ms", "1000")
		e.Sleep(5 * time.Second)
		if n := len(table(t, l)); n > 20 {
			t.Errorf("%d records: it was not cleaned", n)
		}
		if n := l.ExpireProducers(); n != 0 || l.Producers() == 0 {
			t.Errorf("%d producers expired, %d are left", n, l.Producers())
		}
		set("producer.id.expiration.ms", "60000")
		if n := l.ExpireProducers(); n == 0 {
			t.Error("a producer that was silent for twenty minutes has not expired after a minute")
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
	})
}
