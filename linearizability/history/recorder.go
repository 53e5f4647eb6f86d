package history

// Sink takes a run's record as it grows. Recorder keeps it, Writer writes it to a file.
type Sink interface {
	Op(Op)
	Fault(Fault)
	Drain(Drain)
}

// Recorder keeps a history in memory. The zero Recorder is ready. It is not safe for concurrent use: in the simulated
// world one task runs at a time, elsewhere the caller locks.
type Recorder struct {
	History History
}

// opsUsual is how many operations there is room for from the first one on.
const opsUsual = 8192

// Op records an operation once it has ended. An operation without an id gets the next one. The recorder owns Records
// from here on.
func (r *Recorder) Op(op Op) {
	if op.ID == 0 {
		op.ID = int64(len(r.History.Ops)) + 1
	}
	if r.History.Ops == nil {
		r.History.Ops = make([]Op, 0, opsUsual)
	}
	r.History.Ops = append(r.History.Ops, op)
}

// Fault records a fault.
func (r *Recorder) Fault(f Fault) { r.History.Faults = append(r.History.Faults, f) }

// Drain records that a partition was read out.
func (r *Recorder) Drain(d Drain) { r.History.Drains = append(r.History.Drains, d) }
