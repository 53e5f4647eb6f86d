package log_test

import (
	"path"

	"barnabas/broker/env"
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

// syncing is an environment in which files with an extension are synced by sync.
type syncing struct {
	env.Env
	extension string
	sync      func(env.File) error
}

type syncingFile struct {
	env.File
	s *syncing
}

func (s *syncing) Open(name string, mode env.OpenMode) (env.File, error) {
	f, err := s.Env.Open(name, mode)
	if err != nil || path.Ext(name) != s.extension {
		return f, err
	}
	return syncingFile{f, s}, nil
}

func (f syncingFile) Sync() error { return f.s.sync(f.File) }
