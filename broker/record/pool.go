package record

import "sync/atomic"

// pool keeps a few idle codecs. It takes no lock and waits for nobody: when the slots are contended or full, a codec is
// made or dropped. What is in it can not be seen in any result, so worlds that share a process may share it.
type pool[T any] struct {
	slots [8]atomic.Pointer[T]
}

func (p *pool[T]) get() *T {
	for i := range p.slots {
		if p.slots[i].Load() == nil {
			continue
		}
		if v := p.slots[i].Swap(nil); v != nil {
			return v
		}
	}
	return nil
}

func (p *pool[T]) put(v *T) {
	for i := range p.slots {
		if p.slots[i].Load() == nil && p.slots[i].CompareAndSwap(nil, v) {
			return
		}
	}
}
