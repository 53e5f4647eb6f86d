package env

// Group counts running tasks and waits for them to end.
type Group struct {
	tasks Tasks
	mu    Mutex
	done  Cond
	n     int
}

// NewGroup makes an empty group.
func NewGroup(t Tasks) *Group {
	mu := t.NewMutex()
	return &Group{tasks: t, mu: mu, done: t.NewCond(mu)}
}

// Go starts f as a task of the group.
func (g *Group) Go(name string, f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	g.tasks.Go(name, func() {
		defer g.finish()
		f()
	})
}

// Wait waits until every task of the group has returned.
func (g *Group) Wait() { g.WaitUntil(Never) }

// WaitUntil is Wait with a deadline; it reports whether all had returned.
func (g *Group) WaitUntil(deadline Instant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.n > 0 {
		if !g.done.WaitUntil(deadline) {
			return g.n == 0
		}
	}
	return true
}

func (g *Group) finish() {
	g.mu.Lock()
	g.n--
	if g.n == 0 {
		g.done.Broadcast()
	}
	g.mu.Unlock()
}
