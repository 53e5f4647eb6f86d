package storetest

import (
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
)

// Env is an env without tasks: Go runs the task to its end at once, time moves only by Sleep, and events are
// remembered as lines. Waiting for anything that has not happened yet panics. It has no network and no disk.
type Env struct {
	env.Env
	T     env.Instant
	Lines []string
}

// Now begins at 2024-01-01 UTC.
func (e *Env) Now() time.Time {
	return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(e.T))
}

func (e *Env) Mono() env.Instant             { return e.T }
func (e *Env) Sleep(d time.Duration)         { e.T = e.T.Add(d) }
func (e *Env) Go(name string, f func())      { f() }
func (e *Env) NewMutex() env.Mutex           { return nothing{} }
func (e *Env) NewCond(m env.Mutex) env.Cond  { return nothing{} }
func (e *Env) Emit(ev env.Event)             { e.Lines = append(e.Lines, ev.String()) }
func (e *Env) Rand(stream string) *rand.Rand { return rand.New(rand.NewPCG(1, uint64(len(stream)))) }

// nothing is a mutex and a cond among one task.
type nothing struct{}

func (nothing) Lock()      {}
func (nothing) Unlock()    {}
func (nothing) Signal()    {}
func (nothing) Broadcast() {}
func (nothing) Wait()      { panic("storetest: waits for ever") }
func (nothing) WaitUntil(deadline env.Instant) bool {
	if deadline == env.Never {
		panic("storetest: waits for ever")
	}
	return false
}
