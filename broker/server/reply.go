package server

import (
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is one request as its handler sees it.
type Request struct {
	Header   wire.Header
	Body     kmsg.Request
	Peer     string      // the client's address
	Received env.Instant // when the frame was whole
	Size     int         // of the frame, in bytes
}

// Handler runs the ordered part of a request and returns its reply. Byte fields of the request (records above all) are
// the connection's: they may be used, and changed in place, until the handler returns, and not after. Strings and
// the rest may be kept.
type Handler func(*Request) Reply

// Answer is what goes back.
type Answer struct {
	// Message is the response, in the version of the request; nil for no response at all (a produce with acks=0).
	Message kmsg.Response
	// Records goes with a *kmsg.FetchResponse alone: the i-th is what the message's i-th partition holds, counted
	// through its topics. The server gives each slice back (wire.Slice.Done), whatever happens.
	Records []wire.Slice
	// Throttle is for how long nothing more is read from the connection once this is sent (KIP-219).
	Throttle time.Duration
	// Close ends the connection once everything up to here is sent.
	Close bool
}

func (a Answer) release() {
	for _, slice := range a.Records {
		slice.Done()
	}
}

// Reply is an answer, or the promise of one.
type Reply struct {
	answer Answer
	wait   Waiter
	then   func(ready bool) Answer
	drop   func()
}

// Waiter is what a promised answer waits for: a *purgatory.Waiter.
type Waiter interface {
	// Done reports whether Wait would return at once.
	Done() bool
	// Wait reports whether what was waited for has come; else the time is up.
	Wait() bool
	// Cancel gives up waiting, for the connection is gone.
	Cancel()
}

// Now is a reply that is there.
func Now(message kmsg.Response) Reply { return Reply{answer: Answer{Message: message}} }

// With is a reply that is there, with records or an end of the connection.
func With(a Answer) Reply { return Reply{answer: a} }

// Nothing is no reply: the client did not ask for one.
func Nothing() Reply { return Reply{} }

// HangUp closes the connection once the replies before it are sent.
func HangUp() Reply { return Reply{answer: Answer{Close: true}} }

// When is a reply that waits; then makes the answer once the wait is over. It is called once, by one of the
// connection's tasks, unless the connection is gone before.
func When(w Waiter, then func(ready bool) Answer) Reply { return Reply{wait: w, then: then} }

// OrElse gives a waiting reply something to do when the connection is gone and nobody waits for the answer any more:
// of then and drop exactly one is called.
func (r Reply) OrElse(drop func()) Reply {
	r.drop = drop
	return r
}

// Then changes the answer when it is there.
func (r Reply) Then(change func(Answer) Answer) Reply {
	if r.wait == nil {
		r.answer = change(r.answer)
		return r
	}
	then := r.then
	r.then = func(ready bool) Answer { return change(then(ready)) }
	return r
}

// Ready reports whether the answer can be had without waiting.
func (r Reply) Ready() bool { return r.wait == nil || r.wait.Done() }

// Await waits for the answer.
func (r Reply) Await() Answer {
	if r.wait == nil {
		return r.answer
	}
	return r.then(r.wait.Wait())
}

// Abandon gives the answer up, and back what it held.
func (r Reply) Abandon() {
	if r.wait == nil {
		r.answer.release()
		return
	}
	r.wait.Cancel()
	if r.drop != nil {
		r.drop()
	}
}
