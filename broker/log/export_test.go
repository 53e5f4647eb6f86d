package log_test

import "barnabas/sim/disk"

const (
	diskOpSync  = disk.OpSync
	diskOpWrite = disk.OpWrite
)
