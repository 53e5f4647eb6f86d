package env

import (
	"errors"
	"io/fs"
)

// Errors of the outside world. Implementations wrap them with the address or path; test with errors.Is.
var (
	ErrTimeout  = errors.New("timed out")
	ErrClosed   = errors.New("closed")
	ErrReset    = errors.New("connection reset by peer")
	ErrRefused  = errors.New("connection refused")
	ErrIO       = errors.New("input/output error")
	ErrNoSpace  = errors.New("no space left on device")
	ErrLocked   = errors.New("locked by another process")
	ErrNotExist = fs.ErrNotExist
	ErrExist    = fs.ErrExist
)
