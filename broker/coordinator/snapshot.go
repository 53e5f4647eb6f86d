package coordinator

// Snapshot calls f for every loaded shard, by partition. It takes no lock and makes no env call: it is for the simulator, which looks
// between events, when nothing runs. In the real world it would be a data race.
func (r *Runtime[S]) Snapshot(f func(*Shard[S])) {
	for _, s := range r.sorted() {
		if s.active && !s.gone.Load() {
			f(s)
		}
	}
}
