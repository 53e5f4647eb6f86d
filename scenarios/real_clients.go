package scenarios

import "barnabas/faults"

// PauseClient, ResumeClient: nothing of the client goes on meanwhile but what the kernel does.
func (w *realWorld) PauseClient(number int) faults.Outcome {
	name, life := w.lifeOf(number)
	if life == nil {
		return refused("%s is down", name)
	}
	w.r.load.Sleeps(name, w.r.e.Mono())
	life.Pause()
	w.r.note(name, "paused")
	return applied("%s", name)
}

func (w *realWorld) ResumeClient(number int) faults.Outcome {
	name, life := w.lifeOf(number)
	if life == nil {
		return refused("%s is down", name)
	}
	life.Resume()
	w.r.note(name, "up")
	return applied("%s", name)
}

func (w *realWorld) lifeOf(number int) (string, Life) {
	if len(w.r.clients) == 0 {
		return "nobody", nil
	}
	name := w.client(number)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return name, w.r.lives[name]
}

// StartTwin starts another that takes itself for the same client.
func (w *realWorld) StartTwin(number int) faults.Outcome {
	if len(w.r.clients) == 0 {
		return refused("no clients")
	}
	name := w.client(number)
	twin := w.r.load.Twin(name)
	w.r.startAs(name, twin)
	return applied("%s", twin)
}

// client is the node of a client's number; numbers go around.
func (w *realWorld) client(number int) string { return w.r.clients[(number-1)%len(w.r.clients)] }

func (w *realWorld) CrashClient(number int) faults.Outcome {
	if len(w.r.clients) == 0 {
		return refused("no clients")
	}
	name := w.client(number)
	w.r.mu.Lock()
	life := w.r.lives[name]
	delete(w.r.lives, name)
	w.r.mu.Unlock()
	if life == nil {
		return refused("%s is down", name)
	}
	life.Kill() // first: what it still does then reaches nobody
	w.r.load.Crashed(name, w.r.e.Mono())
	w.r.note(name, "down")
	return applied("%s", name)
}

func (w *realWorld) RestartClient(number int) faults.Outcome {
	name := w.client(number)
	w.r.mu.Lock()
	up := w.r.lives[name] != nil
	w.r.mu.Unlock()
	if up {
		return refused("%s is up", name)
	}
	w.r.startClient(name)
	w.r.note(name, "up")
	return applied("%s", name)
}
