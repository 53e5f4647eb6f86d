package cluster

import (
	"math"
	"math/rand/v2"

	"barnabas/broker/env"
)

// rare is one env.Rare point in this world.
type rare struct {
	r     *rand.Rand
	oneIn int // 0: never
}

var _ env.Luck = (*life)(nil)

// Rare decides whether the point strikes now. Each has a stream of its own.
func (l *life) Rare(name string) bool {
	w := l.w
	if !w.opts.Rare {
		return false
	}
	p := w.rares[name]
	if p == nil {
		p = &rare{r: w.src.Sub("rare").Stream(name)}
		if p.r.IntN(4) == 0 {
			p.oneIn = int(20 * math.Pow(50, p.r.Float64()))
		}
		if w.rares == nil {
			w.rares = map[string]*rare{}
		}
		w.rares[name] = p
		if w.opts.AllRare {
			p.oneIn = 20
			return true
		}
	}
	return p.oneIn > 0 && p.r.IntN(p.oneIn) == 0
}
