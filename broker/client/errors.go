package client

import (
	"errors"
	"fmt"
)

// ErrBroken is what every request fails with whose connection broke under it; errors.Is finds the cause as well.
var ErrBroken = errors.New("connection broken")

// ErrClosed is the answer of a client, producer or consumer that was closed.
var ErrClosed = errors.New("client closed")

// Error is a request that got no answer.
type Error struct {
	Addr string // the broker's address
	API  string // "Produce"
	// Sent is false where the broker has certainly not received the request, and never will. It is true from the
	// moment that its first byte was handed to the network, whatever became of it there.
	Sent bool
	Err  error // the cause; wraps env.ErrTimeout, env.ErrReset, io.EOF, ErrBroken …
}

// Error names the request, the broker and the cause.
func (e *Error) Error() string {
	sent := "never sent"
	if e.Sent {
		sent = "may have been received"
	}
	return fmt.Sprintf("%s to %s (%s): %v", e.API, e.Addr, sent, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// MaybeSent reports whether the request that ended in err may have reached a broker. It is false only for an *Error
// that says so: any other error, a code in a response for one, came from somebody who read the request.
func MaybeSent(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Sent
	}
	return err != nil
}
