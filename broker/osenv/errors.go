package osenv

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"barnabas/broker/env"
)

// opError is an error of the system, with what was done to what, and which of env's errors it is.
type opError struct {
	op, name string
	kind     error // one of env's, or nil
	err      error // the system's
}

// Error names the operation, the address or path, and the innermost cause.
func (e *opError) Error() string {
	cause := e.err
	for inner := cause; inner != nil; inner = errors.Unwrap(inner) {
		cause = inner
	}
	return e.op + " " + e.name + ": " + cause.Error()
}

// Unwrap gives errors.Is both: env's error and the system's.
func (e *opError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.kind, e.err}
}

// wrap translates an error of the system. nil and io.EOF stay what they are.
func wrap(op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &opError{op, name, kindOf(err), err}
}

func kindOf(err error) error {
	if err == env.ErrLocked {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENOTCONN, syscall.ESHUTDOWN:
			return env.ErrReset
		case syscall.ECONNREFUSED:
			return env.ErrRefused
		case syscall.ETIMEDOUT:
			return env.ErrTimeout
		case syscall.EBADF:
			return nil
		case syscall.ENOSPC, syscall.EDQUOT:
			return env.ErrNoSpace
		case syscall.EIO, syscall.EROFS, syscall.EREMOTEIO, syscall.ESTALE, syscall.ENODEV, syscall.ENXIO:
			return env.ErrIO // the device is gone, or the kernel gave it up
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed):
		return env.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout()):
		return env.ErrTimeout
	}
	return nil
}
