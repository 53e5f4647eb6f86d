package faults

import "time"

// World is what a nemesis can do to a cluster. sim/cluster has one, and so has a cluster of real processes. All calls
// come from one task, and none waits for its effect to end. Roles (Leader, Controller) are resolved before any other
// call.
type World interface {
	// Brokers lists the brokers, sorted. ZooKeeper and Clients exist besides them.
	Brokers() []Node
	// Resolve looks up a role; false when nobody holds it. Other nodes resolve to themselves.
	Resolve(role Node) (Node, bool)

	// CrashProcess ends a node's process as kill -9 does; it stays down until Restart. Not applied if it is down.
	CrashProcess(n Node) Outcome
	// PowerLoss ends the process and leaves on the disk what keep says. It applies to a node that is down, too, as
	// long as its disk holds anything unsynced.
	PowerLoss(n Node, keep Keep) Outcome
	// Restart starts a node that is down. Not applied if it is up.
	Restart(n Node) Outcome
	// Pause stops a process as SIGSTOP does, Resume goes on as SIGCONT does. Not applied if it is down.
	Pause(n Node) Outcome
	Resume(n Node) Outcome

	// SetLink gives the directed link its condition from now on; the zero Link is a healthy one.
	SetLink(from, to Node, l Link) Outcome
	// LinkHurt counts what SetLink's conditions have done on the directed link since the world began: segments held
	// up or dropped, dials that failed.
	LinkHurt(from, to Node) int64

	// SetDisk gives a node's disk its condition from now on; the zero Disk is a healthy one.
	SetDisk(n Node, d Disk) Outcome
	// DiskHurt counts what SetDisk's conditions have done since the world began.
	DiskHurt(n Node) DiskHurt

	// Clog lets nothing pass these links, either way, for d; then everything at once.
	Clog(from, to Node, d time.Duration) Outcome
	// Reset breaks all connections between the two. Not applied if there were none.
	Reset(from, to Node) Outcome
	// SetRefuse makes a node refuse new connections from now on, or no longer.
	SetRefuse(n Node, on bool) Outcome
	// HalfOpen makes the first node's machine forget its connections with the second, without a word to it. Not applied
	// if there were none.
	HalfOpen(from, to Node) Outcome
	// HoldBack holds back for d what the connections that are open now carry from the one node to the other; connections
	// made since are free, so that what is held back arrives after what was said later.
	HoldBack(from, to Node, d time.Duration) Outcome
	// SetWatchLoss makes ZooKeeper break the node's connection instead of telling it of a change, from now on or no longer.
	SetWatchLoss(n Node, on bool) Outcome
	// Hurt counts what Clog (Kind Clog), SetRefuse (Refuse), HoldBack and SetWatchLoss (ZooKeeperLoseWatch) have done since
	// the world began.
	Hurt(k Kind) int64

	// SetClock puts a node's wall clock off by so much, and makes it gain so many parts per million from now on.
	SetClock(n Node, off time.Duration, drift int) Outcome
	// Wipe ends a node's process and empties its disk. It applies to a node that is down, too.
	Wipe(n Node) Outcome
	// LoseEntry ends a node's process and takes the newest file of a log out of its directory, synced or not.
	LoseEntry(n Node) Outcome
	// FlipBits turns so many bits in what a node's logs hold. Not applied if they hold nothing.
	FlipBits(n Node, bits int) Outcome
	// SwapDisks ends both nodes' processes and puts each one's disk into the other's machine.
	SwapDisks(a, b Node) Outcome
	// CrashClient ends a client's process, and RestartClient starts it again, as another client in all but its number.
	CrashClient(number int) Outcome
	RestartClient(number int) Outcome
	// PauseClient stops a client's process, and ResumeClient lets it go on. StartTwin starts another process that takes
	// itself for the same client; it stays.
	PauseClient(number int) Outcome
	ResumeClient(number int) Outcome
	StartTwin(number int) Outcome

	// ExpireSession makes ZooKeeper expire the node's session now. Not applied if it has none.
	ExpireSession(n Node) Outcome
}

// Outcome says whether a call had an effect, and if not why, or what it did in detail.
type Outcome struct {
	Applied bool
	Detail  string
}

// Link is the condition of a directed link.
type Link struct {
	Cut   bool          // nothing passes
	Delay time.Duration // added to everything that passes
	OneIn int           // one segment in so many is lost, and sent again; 0: none more than the network's own
	Bytes int           // what passes in a second; 0: no more bound than the network's own
}

// Disk is the condition of a disk.
type Disk struct {
	Slow     int // how many times slower; 0 and 1 are its own speed
	FailSync bool
	// FailRead, FailWrite make these calls fail with EIO; Full makes writes that need room fail with ENOSPC.
	FailRead, FailWrite, Full bool
	// Stall lets no call return for so long from now.
	Stall time.Duration
	// Torn makes writes fail with EIO that have written a leading part of what they should. Misdirect lets one write go to
	// another place in its file.
	Torn, Misdirect bool
	FailDirs        []int // numbers of the log directories, from 1, of which nothing can be read or written, ascending
}

// DiskHurt counts effects.
type DiskHurt struct {
	Slow     int64 // calls that took longer
	FailSync int64 // syncs that failed
	// FailRead, FailWrite, Full are calls that failed; Stall those that waited.
	FailRead, FailWrite, Full, Stall int64
	Torn, Misdirect                  int64 // writes that were
	FailDir                          int64 // calls that failed in a log directory
}
