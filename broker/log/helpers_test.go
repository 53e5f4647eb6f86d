package log_test

import (
	"barnabas/broker/record"
	"barnabas/sim/disk"
)

const (
	diskOpSync  = disk.OpSync
	diskOpWrite = disk.OpWrite
)

// nextBatch cuts a batch off and checks it.
func nextBatch(data []byte) (record.Batch, []byte, error) {
	b, rest, err := record.Next(data)
	if err == nil {
		err = b.Check()
	}
	return b, rest, err
}
