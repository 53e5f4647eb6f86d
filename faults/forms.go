package faults

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// form is how one kind is written: the words that begin it, and what it takes.
type form struct {
	kind  Kind
	verb  string // one or two words
	has   string // a word that must be there besides ("oneway"), telling kinds of the same verb apart
	usage string
	parse func(*params, *Fault)
}

// forms lists every kind. Of those with the same verb the ones with a word of their own come first.
var forms = [KindCount]form{
	{Crash, "crash", "", "crash node=2 for=3s", parseNode},
	{Power, "power", "", "power node=3 keep=random for=6s", func(p *params, f *Fault) {
		f.Keep = p.keep()
		parseNode(p, f)
	}},
	{Pause, "pause", "", "pause node=1 for=2s", parseNode},
	{PartitionOneWay, "partition", "oneway", "partition from=2 to=1,3 oneway for=4s", parseSides},
	{Partition, "partition", "", "partition from=2 to=1,3 for=4s", parseSides},
	{Isolate, "isolate", "", "isolate node=2 for=4s", parseNode},
	{SlowLink, "link", "", "link from=1 to=2,3 delay=50ms for=4s", func(p *params, f *Fault) {
		f.Delay = p.duration("delay", true)
		parseSides(p, f)
	}},
	{TornWrite, "disk", "torn", "disk node=1 op=write torn for=2s", parseWrite},
	{Misdirect, "disk", "misdirect", "disk node=1 op=write misdirect for=2s", parseWrite},
	{FailSync, "disk", "op=fsync", "disk node=1 op=fsync fail for=2s", parseFail("fsync")},
	{FailRead, "disk", "op=read", "disk node=1 op=read fail for=2s", parseFail("read")},
	{FailWrite, "disk", "op=write", "disk node=1 op=write fail for=2s", parseFail("write")},
	{FullDisk, "disk", "full", "disk node=1 full for=2s", parseNode},
	{StallDisk, "disk", "stall", "disk node=1 op=all stall for=2s", func(p *params, f *Fault) {
		p.exactly("op", "all")
		parseNode(p, f)
	}},
	{FailDir, "disk", "broken", "disk node=1 log-dir=2 broken for=4s", func(p *params, f *Fault) {
		f.Dir = p.number("log-dir", "number of a log directory", 1, dirMax)
		parseNode(p, f)
	}},
	{BitFlip, "disk", "", "disk node=2 flip=3", func(p *params, f *Fault) {
		f.Bits = p.number("flip", "number of bits", 1, bitsMax)
		f.Node = p.node("node")
	}},
	{SlowDisk, "disk", "", "disk node=1 op=all slow=20 for=4s", func(p *params, f *Fault) {
		p.exactly("op", "all")
		f.Slow = p.factor("slow")
		parseNode(p, f)
	}},
	{ZooKeeperExpire, "zookeeper expire", "", "zookeeper expire node=2", func(p *params, f *Fault) {
		if f.Node = p.node("node"); f.Node == ZooKeeper {
			p.fail("node=zk has no session")("name a broker, leader or controller")
		}
	}},
	{ZooKeeperRestart, "zookeeper restart", "", "zookeeper restart", func(*params, *Fault) {}},
	{ZooKeeperOutage, "zookeeper outage", "", "zookeeper outage for=8s", func(p *params, f *Fault) {
		f.For = p.duration("for", false)
	}},
	{ZooKeeperCut, "zookeeper cut", "", "zookeeper cut node=2 for=4s", func(p *params, f *Fault) {
		if parseNode(p, f); f.Node == ZooKeeper {
			p.fail("node=zk cannot be cut off from itself")("name a broker, leader or controller")
		}
	}},
	{Clog, "clog", "", "clog from=1 to=2,3 for=2s", parseSides},
	{Reset, "reset", "", "reset from=1 to=2,3", parseSidesAlone},
	{Refuse, "refuse", "", "refuse node=1 for=2s", parseNode},
	{Halves, "halves", "", "halves from=1,3 to=2,zk for=4s", parseSides},
	{Ring, "ring", "", "ring order=1,3,2,5,4 for=4s", func(p *params, f *Fault) {
		f.From = p.order("order")
		f.For = p.duration("for", false)
	}},
	{Wipe, "wipe", "", "wipe node=2 for=3s", parseNode},
	{ClockOffset, "clock", "", "clock node=2 offset=-3s for=4s", func(p *params, f *Fault) {
		f.Wall = p.wall("offset")
		parseNode(p, f)
	}},
	{ClockDrift, "clock", "", "clock node=2 drift=20000 for=4s", func(p *params, f *Fault) {
		f.Drift = p.drift("drift")
		parseNode(p, f)
	}},
	{ClockJump, "clock", "", "clock node=2 jump=-30s", func(p *params, f *Fault) {
		f.Wall = p.wall("jump")
		f.Node = p.node("node")
	}},
	{ClientCrash, "client crash", "", "client crash number=2 for=1s", func(p *params, f *Fault) {
		parseClient(p, f)
	}},
	{ClientPause, "client pause", "", "client pause number=2 for=8s", parseClient},
	{ClientTwin, "client twin", "", "client twin number=2 for=4s", parseClient},
	{Blackout, "blackout", "", "blackout nodes=1,2,3 keep=random for=6s", func(p *params, f *Fault) {
		f.Keep = p.keep()
		f.From = p.nodes("nodes")
		for _, n := range f.From {
			if n == Clients || n == Others {
				p.fail("nodes=… with %s", n)("name brokers by their ids, zk, leader or controller")
			}
		}
		f.For = p.duration("for", false)
	}},
	{SwapDisks, "swap-disks", "", "swap-disks from=1 to=2 for=3s", func(p *params, f *Fault) {
		parseSides(p, f)
		for _, n := range append(append([]Node(nil), f.From...), f.To...) {
			if !n.IsBroker() && !n.IsRole() || len(f.From) != 1 || len(f.To) != 1 {
				p.fail("disks are swapped between two brokers")("write it like %q", "swap-disks from=1 to=2 for=3s")
			}
		}
	}},
	{Loss, "loss", "", "loss from=1 to=2,3 one-in=5 for=4s", func(p *params, f *Fault) {
		f.OneIn = p.number("one-in", "number of segments", 2, slowMax)
		parseSides(p, f)
	}},
	{HalfOpen, "half-open", "", "half-open from=1 to=2,3", parseSidesAlone},
	{Bandwidth, "bandwidth", "", "bandwidth from=1 to=2,3 bytes=65536 for=4s", func(p *params, f *Fault) {
		f.Bytes = p.number("bytes", "number of bytes a second", 1024, bytesMax)
		parseSides(p, f)
	}},
	{HoldBack, "hold-back", "", "hold-back from=1 to=2,3 for=8s", parseSides},
	{LoseEntry, "lose-entry", "", "lose-entry node=2 for=3s", parseNode},
	{ZooKeeperPause, "zookeeper pause", "", "zookeeper pause for=3s", func(p *params, f *Fault) {
		f.For = p.duration("for", false)
	}},
	{ZooKeeperLoseWatch, "zookeeper lose-watches", "", "zookeeper lose-watches node=2 for=4s", func(p *params, f *Fault) {
		if parseNode(p, f); f.Node == ZooKeeper {
			p.fail("node=zk watches nothing")("name a broker, leader or controller")
		}
	}},
}

func parseClient(p *params, f *Fault) {
	f.Client = p.number("number", "number", 1, slowMax)
	f.For = p.duration("for", false)
}

func parseWrite(p *params, f *Fault) {
	p.exactly("op", "write")
	parseNode(p, f)
}

func parseFail(op string) func(*params, *Fault) {
	return func(p *params, f *Fault) {
		p.exactly("op", op)
		p.word("fail")
		parseNode(p, f)
	}
}

func parseNode(p *params, f *Fault) {
	f.Node = p.node("node")
	f.For = p.duration("for", false)
}

func parseSides(p *params, f *Fault) {
	f.For = p.duration("for", false)
	parseSidesAlone(p, f)
}

func parseSidesAlone(p *params, f *Fault) {
	f.From, f.To = p.nodes("from"), p.nodes("to")
	for _, n := range f.From {
		if slices.Contains(f.To, n) {
			p.fail("%s is on both sides", n)("leave it out of from= or to=")
		}
	}
}

// formOf finds the form that the words are in; nil if none.
func formOf(words []string) *form {
	for i := range forms {
		verb := strings.Fields(forms[i].verb)
		if len(words) >= len(verb) && slices.Equal(words[:len(verb)], verb) &&
			(forms[i].has == "" || slices.Contains(words, forms[i].has)) && forms[i].fits(words) {
			return &forms[i]
		}
	}
	return nil
}

// fits tells the kinds of "clock" and "disk" apart, by the one word that only one of them takes.
func (f *form) fits(words []string) bool {
	key := map[Kind]string{ClockOffset: "offset=", ClockDrift: "drift=", BitFlip: "flip="}[f.kind]
	return key == "" || slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, key) })
}

// verbs lists what a fault can begin with.
func verbs() string {
	var out []string
	for i := range forms {
		if !slices.Contains(out, forms[i].verb) {
			out = append(out, forms[i].verb)
		}
	}
	return strings.Join(out, ", ")
}

// params takes the words of a fault one by one and keeps the first error.
type params struct {
	form  *form
	given []string
	err   *ParseError
}

// fail keeps an error, unless there is one.
func (p *params) fail(reason string, args ...any) func(remedy string, args ...any) {
	return func(remedy string, more ...any) {
		if p.err == nil {
			p.err = wrong(reason, args...)(remedy, more...)
		}
	}
}

// take removes key=value from what was given.
func (p *params) take(key string) (string, bool) {
	for i, word := range p.given {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			p.given = slices.Delete(slices.Clone(p.given), i, i+1)
			return value, true
		}
	}
	return "", false
}

// need is take for what must be there.
func (p *params) need(key string) string {
	value, ok := p.take(key)
	if !ok {
		p.fail("%s without %s=", p.form.verb, key)("write it like %q", p.form.usage)
	}
	return value
}

// finish reports the first error, or words that nobody took.
func (p *params) finish() *ParseError {
	if i := slices.Index(p.given, p.form.has); p.form.has != "" && i >= 0 {
		p.given = slices.Delete(slices.Clone(p.given), i, i+1)
	}
	if len(p.given) > 0 {
		p.fail("%s does not take %q, or not twice", p.form.verb, p.given[0])("write it like %q", p.form.usage)
	}
	return p.err
}

func (p *params) exactly(key, want string) {
	if got := p.need(key); got != want {
		p.fail("%s=%s does not go with this fault", key, got)("write it like %q", p.form.usage)
	}
}

func (p *params) duration(key string, needed bool) time.Duration {
	value, ok := p.take(key)
	switch {
	case !ok && needed:
		p.need(key)
		return 0
	case !ok:
		return UntilEnd
	case value == "forever" && !needed:
		return Forever
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > timeMax {
		p.fail("%s=%s is not a duration", key, value)(`write a positive one with its unit, such as "4s" or "50ms"`)
	}
	return d
}

// word takes a word that must be there.
func (p *params) word(w string) {
	i := slices.Index(p.given, w)
	if i < 0 {
		p.fail("%s without %q", p.form.verb, w)("write it like %q", p.form.usage)
		return
	}
	p.given = slices.Delete(slices.Clone(p.given), i, i+1)
}

// wall takes how far a clock is off: either way, and not nothing.
func (p *params) wall(key string) time.Duration {
	value := p.need(key)
	d, err := time.ParseDuration(value)
	if err != nil || d == 0 || d > timeMax || d < -timeMax {
		p.fail("%s=%s is not a shift of a clock", key, value)(`write one with its unit, such as "30s" or "-2s"`)
	}
	return d
}

func (p *params) drift(key string) int {
	value := p.need(key)
	n, err := strconv.Atoi(value)
	if err != nil || n == 0 || n > driftMax || n < -driftMax {
		p.fail("%s=%s is not a drift", key, value)("write parts per million, from -%d to %d", driftMax, driftMax)
	}
	return n
}

// order takes at least three brokers, each once.
func (p *params) order(key string) []Node {
	var out []Node
	for name := range strings.SplitSeq(p.need(key), ",") {
		n := p.parseNode(key, name)
		if !n.IsBroker() || slices.Contains(out, n) {
			p.fail("%s=… with %s", key, name)("name brokers by their ids, each once")
		}
		out = append(out, n)
	}
	if len(out) < 3 {
		p.fail("a ring of %d", len(out))("name three brokers at least")
	}
	return out
}

func (p *params) factor(key string) int { return p.number(key, "factor", 2, slowMax) }

// dirMax bounds the number of a log directory.
const dirMax = 100

func (p *params) number(key, what string, low, high int) int {
	value := p.need(key)
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		p.fail("%s=%s is not a %s", key, value, what)("write a whole number from %d to %d", low, high)
	}
	return n
}

func (p *params) keep() Keep {
	value := p.need("keep")
	i := slices.Index(keepNames[:], value)
	if i < 0 {
		p.fail("keep=%s is unknown", value)("write one of %s", strings.Join(keepNames[:], ", "))
		return 0
	}
	return Keep(i)
}

// node takes the one node that something happens to.
func (p *params) node(key string) Node {
	n := p.parseNode(key, p.need(key))
	if n == Clients || n == Others {
		p.fail("%s=%s is not one node", key, n)("name a broker by its id, zk, leader or controller")
	}
	return n
}

// nodes takes one side of a link, sorted and without repetition.
func (p *params) nodes(key string) []Node {
	var out []Node
	for name := range strings.SplitSeq(p.need(key), ",") {
		out = append(out, p.parseNode(key, name))
	}
	return SortNodes(out)
}

// SortNodes puts nodes in the order of the text form, without repetition: brokers by id, then zk, clients and the
// roles. It changes and returns the slice.
func SortNodes(nodes []Node) []Node {
	slices.SortFunc(nodes, compareNodes)
	return slices.Compact(nodes)
}

func (p *params) parseNode(key, name string) Node {
	if i := slices.Index(roleNames[:], name); i >= 0 {
		return Node(-1 - i)
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil || id < 1 || id > math.MaxInt32 {
		p.fail("%s=%s is no node", key, name)("write a broker's id, from 1 on, or one of %s", strings.Join(roleNames[:], ", "))
	}
	return Node(max(0, id))
}

// compareNodes puts brokers first, by id, then the others in the order of their names' table.
func compareNodes(a, b Node) int {
	switch {
	case a.IsBroker() != b.IsBroker():
		if a.IsBroker() {
			return -1
		}
		return 1
	case a.IsBroker():
		return int(a) - int(b)
	}
	return int(b) - int(a)
}
