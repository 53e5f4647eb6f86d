package scenarios

import (
	"fmt"
	"time"

	"barnabas/faults"
)

func (w *realWorld) SetLink(from, to faults.Node, l faults.Link) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	w.mu.Lock()
	if key := [2]string{a, b}; l == (faults.Link{}) {
		delete(w.links, key)
	} else {
		w.links[key] = l
	}
	w.mu.Unlock()
	return w.tellLink(a, b)
}

// tellLink tells both ends of a link how things stand.
func (w *realWorld) tellLink(a, b string) faults.Outcome {
	err := w.tell(a, w.linkOrder(a, b))
	if err == nil {
		err = w.tell(b, w.linkOrder(b, a))
	}
	if err != nil {
		return refused("%v", err)
	}
	return applied("")
}

// linkOrder is what the node's hook is to know of the links with peer, both ways.
func (w *realWorld) linkOrder(name, peer string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	in, out := w.links[[2]string{peer, name}], w.links[[2]string{name, peer}]
	o := linkOrder{cutIn: in.Cut, delayIn: in.Delay, lossIn: in.OneIn, rateIn: in.Bytes, noDial: out.Cut, refuse: w.deny[peer]}
	if !w.p.Hooked(peer) { // it holds nothing back by itself
		o.cutOut, o.delayOut = out.Cut, out.Delay
	}
	return o.text(w.p.Host(peer))
}

// holdBack makes the connections of controllers to brokers slow from now on; 0 for no longer.
func (w *realWorld) holdBack(most time.Duration) {
	w.mu.Lock()
	w.held = most
	w.mu.Unlock()
	for _, name := range w.r.c.brokerNames() {
		if err := w.tell(name, "hold-control "+most.String()); err != nil {
			w.r.say("%s: %v", name, err)
		}
	}
}

func (w *realWorld) LinkHurt(from, to faults.Node) int64 {
	a, b := nodeName(from), nodeName(to)
	return w.count(b, "in "+w.p.Host(a)) + w.count(a, "out "+w.p.Host(b))
}

func (w *realWorld) Clog(from, to faults.Node, d time.Duration) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if err := w.tell(pair[0], fmt.Sprintf("hold %s %s", w.p.Host(pair[1]), d)); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}

func (w *realWorld) Reset(from, to faults.Node) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	total := 0
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if !w.p.Hooked(pair[0]) || pair[0] != clientsName && w.p.State(pair[0]) != ProcessRunning {
			continue
		}
		words, err := w.p.Order(pair[0], "reset "+w.p.Host(pair[1]))
		n := 0
		if err == nil {
			fmt.Sscan(words, &n)
		}
		total += n
	}
	if total == 0 {
		return refused("no connections")
	}
	return applied("%d ends of connections", total)
}

// HalfOpen makes the first node forget its connections; the second learns of it when it next says something.
func (w *realWorld) HalfOpen(from, to faults.Node) faults.Outcome {
	words, err := w.ask1(nodeName(from), "forget "+w.p.Host(nodeName(to)))
	if err != nil || words == "0" {
		return refused("no connections")
	}
	return applied("%s connections", words)
}

// HoldBack is at the end that receives.
func (w *realWorld) HoldBack(from, to faults.Node, d time.Duration) faults.Outcome {
	words, err := w.ask1(nodeName(to), fmt.Sprintf("hold-back %s %s", w.p.Host(nodeName(from)), d))
	if err != nil || words == "0" {
		return refused("no connections")
	}
	return applied("%s connections", words)
}

// SetWatchLoss is left out.
func (w *realWorld) SetWatchLoss(faults.Node, bool) faults.Outcome {
	return refused("%s", w.cannot(faults.ZooKeeperLoseWatch))
}

func (w *realWorld) SetRefuse(n faults.Node, on bool) faults.Outcome {
	name := nodeName(n)
	w.mu.Lock()
	w.deny[name] = on
	w.mu.Unlock()
	for _, peer := range append([]string{zkName, clientsName}, w.r.c.brokerNames()...) {
		if peer == name {
			continue
		}
		if err := w.tell(peer, w.linkOrder(peer, name)); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}

func (w *realWorld) Hurt(k faults.Kind) int64 {
	what := map[faults.Kind]string{faults.Clog: "hold", faults.Refuse: "refuse", faults.HoldBack: "hold-back"}[k]
	var n int64
	for _, name := range append([]string{zkName, clientsName}, w.r.c.brokerNames()...) {
		n += w.count(name, what)
	}
	return n
}
