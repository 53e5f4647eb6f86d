package log_test

import (
	"errors"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Goal: a log that is deleted, or a copy that is given up, in the middle of a sync does not take its directory offline, although the sync
// finds names gone (KAFKA-15391). Method: the log has a new index of aborted transactions, whose name is synced with the directory;
// between the file and the directory the log goes.
func TestLogThatGoesDuringASyncLeavesItsDirectoryWell(t *testing.T) {
	for name, flush := range map[string]func(l *log.Log) error{
		"flush": (*log.Log).Flush,
		"append": func(l *log.Log) error { // flush.messages=1
			_, err := l.AppendAsLeader(build("v", 1, nil), 4, log.AppendOptions{})
			return err
		},
	} {
		for _, copied := range []bool{false, true} {
			run(t, func(e env.Env) {
				var after func()
				s := &syncing{Env: e, extension: ".txnindex", sync: func(f env.File) error {
					err := f.Sync()
					if do := after; do != nil {
						after = nil
						do()
					}
					return err
				}}
				m := manager(t, s, brokerConfig("/data/a", "/data/b"))
				l := create(t, m, topic("t", 0), 3)
				gone := func() error { return m.Delete(topic("t", 0)) }
				if copied {
					other := map[string]string{"/data/a": "/data/b", "/data/b": "/data/a"}[l.Dir()]
					var err error
					l, err = m.CreateFuture(topic("t", 0), other)
					check(t, err)
					gone = func() error { return m.DeleteFuture(topic("t", 0)) }
				}
				abortOne(t, l)
				if settings := l.Config(); name == "append" {
					settings.FlushMessages = 1
					l.SetConfig(settings)
				}
				after = func() { check(t, gone()) }
				if err := flush(l); !errors.Is(err, kerr.NotLeaderForPartition) {
					t.Errorf("%s, copied %v: %v", name, copied, err)
				}
				if after != nil || l.Err() != nil {
					t.Errorf("%s, copied %v: the directory is offline: %v", name, copied, l.Err())
				}
			})
		}
	}
}

// abortOne appends a transaction and aborts it.
func abortOne(t *testing.T, l *log.Log) {
	_, err := l.AppendAsLeader(build("t", 2, func(o *record.BatchOptions) {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = 1, 0, 0, true
	}), 4, log.AppendOptions{})
	check(t, err)
	_, err = l.AppendAsLeader(record.AppendEndTxn(nil, 1, 1, 0, record.EndTxnMarker{Type: record.ControlAbort}), 4, log.AppendOptions{Origin: log.FromCoordinator})
	check(t, err)
}
