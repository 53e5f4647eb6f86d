package faults

import (
	"math"
	"strconv"
	"time"
)

// Kind is what goes wrong.
type Kind uint8

// The kinds. The comment behind each is its text form, with all it takes.
const (
	Crash              Kind = iota // crash node=2 for=3s
	Power                          // power node=3 keep=random for=6s
	Pause                          // pause node=1 for=2s
	Partition                      // partition from=2 to=1,3 for=4s
	PartitionOneWay                // partition from=2 to=1,3 oneway for=4s
	Isolate                        // isolate node=2 for=4s
	SlowLink                       // link from=1 to=2,3 delay=50ms for=4s
	SlowDisk                       // disk node=1 op=all slow=20 for=4s
	FailSync                       // disk node=1 op=fsync fail for=2s
	ZooKeeperExpire                // zookeeper expire node=2
	ZooKeeperRestart               // zookeeper restart
	ZooKeeperOutage                // zookeeper outage for=8s
	ZooKeeperCut                   // zookeeper cut node=2 for=4s
	Clog                           // clog from=1 to=2,3 for=2s
	Reset                          // reset from=1 to=2,3
	Refuse                         // refuse node=1 for=2s
	Halves                         // halves from=1,3 to=2,zk for=4s
	Ring                           // ring order=1,3,2,5,4 for=4s
	StallDisk                      // disk node=1 op=all stall for=2s
	FailRead                       // disk node=1 op=read fail for=2s
	FailWrite                      // disk node=1 op=write fail for=2s
	FullDisk                       // disk node=1 full for=2s
	Wipe                           // wipe node=2 for=3s
	ClockOffset                    // clock node=2 offset=-3s for=4s
	ClockDrift                     // clock node=2 drift=20000 for=4s
	ClockJump                      // clock node=2 jump=-30s
	ClientCrash                    // client crash number=2 for=1s
	FailDir                        // disk node=1 log-dir=2 broken for=4s
	Blackout                       // blackout nodes=1,2,3 keep=random for=6s
	SwapDisks                      // swap-disks from=1 to=2 for=3s
	Loss                           // loss from=1 to=2,3 one-in=5 for=4s
	HalfOpen                       // half-open from=1 to=2,3
	Bandwidth                      // bandwidth from=1 to=2,3 bytes=65536 for=4s
	HoldBack                       // hold-back from=1 to=2,3 for=8s
	TornWrite                      // disk node=1 op=write torn for=2s
	Misdirect                      // disk node=1 op=write misdirect for=2s
	BitFlip                        // disk node=2 flip=3
	LoseEntry                      // lose-entry node=2 for=3s
	ZooKeeperPause                 // zookeeper pause for=3s
	ZooKeeperLoseWatch             // zookeeper lose-watches node=2 for=4s
	ClientPause                    // client pause number=2 for=8s
	ClientTwin                     // client twin number=2 for=4s
	KindCount                      // how many there are
)

var kindNames = [KindCount]string{
	"crash", "power", "pause", "partition", "partition-oneway", "isolate", "slow-link", "slow-disk", "fail-fsync",
	"zookeeper-expire", "zookeeper-restart", "zookeeper-outage", "zookeeper-cut", "clog", "reset", "refuse", "halves", "ring",
	"stall-disk", "fail-read", "fail-write", "full-disk", "wipe", "clock-offset", "clock-drift", "clock-jump", "client-crash", "fail-log-dir",
	"blackout", "swap-disks", "loss", "half-open", "bandwidth", "hold-back", "torn-write", "misdirect", "bit-flip", "lose-entry",
	"zookeeper-pause", "zookeeper-lose-watches", "client-pause", "client-twin",
}

// String is the kind's name in reports ("partition-oneway").
func (k Kind) String() string {
	if k < KindCount {
		return kindNames[k]
	}
	return "kind-" + strconv.Itoa(int(k))
}

// KindNamed is the inverse of String.
func KindNamed(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// Lasts tells whether faults of the kind have an end to wait for.
func (k Kind) Lasts() bool {
	switch k {
	case ZooKeeperExpire, ZooKeeperRestart, Reset, ClockJump, HalfOpen, BitFlip:
		return false
	}
	return true
}

// Node is a member of the cluster, or a role that the world looks up at the moment the fault begins.
type Node int32

const (
	// ZooKeeper is the ZooKeeper server ("zk").
	ZooKeeper Node = -1
	// Clients are all clients, as one end of links ("clients").
	Clients Node = -2
	// Leader is the broker that leads the first partition of the scenario's topic just then ("leader").
	Leader Node = -3
	// Controller is the broker that is the active controller just then ("controller").
	Controller Node = -4
	// Others, on one side of a partition or slow link, are all brokers that are not on the other ("others").
	Others Node = -5
)

var roleNames = [...]string{"zk", "clients", "leader", "controller", "others"}

// String is the node's text form: a broker id, or the name of a role.
func (n Node) String() string {
	if i := -1 - int(n); i >= 0 && i < len(roleNames) {
		return roleNames[i]
	}
	return strconv.Itoa(int(n))
}

// IsRole reports whether the world must look the node up when the fault begins.
func (n Node) IsRole() bool { return n == Leader || n == Controller }

// IsBroker reports whether the node is a broker's id.
func (n Node) IsBroker() bool { return n >= 0 }

// Keep is how much of what was not synced survives a power loss. The numbers are sim/disk's.
type Keep uint8

const (
	KeepRandom Keep = iota // a random, torn subset
	KeepNone
	KeepAll
	keepCount
)

var keepNames = [keepCount]string{"random", "none", "all"}

// String is the text form: random, none, all.
func (k Keep) String() string {
	if k < keepCount {
		return keepNames[k]
	}
	return "keep-" + strconv.Itoa(int(k))
}

const (
	// UntilEnd as For: the fault lasts until the schedule's end, when everything heals. It has no text.
	UntilEnd time.Duration = 0
	// Forever as For: the fault never heals, not even at the end ("for=forever").
	Forever time.Duration = math.MaxInt64
)

// Fault is one thing that goes wrong. Which of the fields count depends on Kind; the others are zero.
type Fault struct {
	At    time.Duration // since the start of the world
	Kind  Kind
	Node  Node          // whom it strikes: all kinds that are written with node=
	From  []Node        // of kinds between two sides: one side, sorted; of Ring: the brokers in its order; of Blackout: all it strikes
	To    []Node        // the other side, sorted
	Keep  Keep          // Power, Blackout
	Delay time.Duration // SlowLink: added to each way
	Dir   int           // FailDir: which of log.dirs, from 1
	Slow  int           // SlowDisk: how many times slower
	Wall  time.Duration // ClockOffset, ClockJump: how far the wall clock is off, either way
	Drift int           // ClockDrift: parts per million that the wall clock gains, either way
	OneIn int           // Loss: one segment in so many is lost, and sent again
	Bytes int           // Bandwidth: what passes in a second
	Bits  int           // BitFlip: how many bits turn
	// Client is whom a fault of clients strikes, counted from 1 over all clients, and around again.
	Client int
	For    time.Duration // how long, UntilEnd or Forever; zero for kinds that do not last
}

// Schedule is a list of faults in the order of their times.
type Schedule []Fault

// File is a schedule file.
type File struct {
	Name     string // where it was read from, "" if nowhere
	Header   Header
	Schedule Schedule
	Lines    []int // that each fault was read from, nil if none was
}

// Wrong is an error about the fault at index i: it names file and line, if the schedule was read.
func (f *File) Wrong(i int, reason, remedy string) *ParseError {
	e := &ParseError{File: f.Name, Reason: reason, Remedy: remedy}
	if i < len(f.Lines) {
		e.Line = f.Lines[i]
	}
	return e
}
