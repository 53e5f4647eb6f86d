package nemesis

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// Goal: what strikes several nodes strikes all of them at one moment and heals each unless another fault still holds it;
// swapped disks go back to where they belong, whatever else was to be swapped meanwhile.
func TestFaultsOfSeveralNodes(t *testing.T) {
	w := newWorld()
	n := play(t, w, "1s blackout nodes=1,2,3 keep=none for=2s\n0.9s crash node=2 for=3.1s\n"+
		"5s swap-disks from=1 to=2 for=2s\n6s swap-disks from=2 to=3 for=4s\n"+
		"12s lose-entry node=3 for=1s\n14s disk node=1 flip=2", nil)
	expect(t, w, "0.9 crash 2", "1 power 1 none", "1 power 2 none", "1 power 3 none", "3 restart 1", "3 restart 3", "4 restart 2",
		"5 swap 1 2", "5 restart 1", "5 restart 2", "7 swap 1 2", "7 restart 1", "7 restart 2",
		"12 lose-entry 3", "13 restart 3", "14 flip 1 2")
	if e := n.Timeline()[3]; e.Status != NoEffect || e.Note != "the disk of 2 is in another machine already" {
		t.Errorf("entry %v", e)
	}
}

// Goal: loss and bandwidth of overlapping faults are the worst of them; half-open and held-back connections go pair by
// pair, and what is held back comes at the fault's end by itself.
func TestFaultsOfLinksThatCameLater(t *testing.T) {
	w := newWorld()
	play(t, w, "1s loss from=1 to=2 one-in=9 for=3s\n2s loss from=2 to=1 one-in=4 for=1s\n2.5s bandwidth from=1 to=2 bytes=4096 for=1s\n"+
		"5s half-open from=1 to=2,3\n6s hold-back from=2 to=1,3 for=3s", nil)
	expect(t, w, "1 1>2 0s loss 9 bytes 0", "1 2>1 0s loss 9 bytes 0", "2 2>1 0s loss 4 bytes 0", "2 1>2 0s loss 4 bytes 0",
		"2.5 1>2 0s loss 4 bytes 4096", "2.5 2>1 0s loss 4 bytes 4096", "3 2>1 0s loss 9 bytes 4096", "3 1>2 0s loss 9 bytes 4096",
		"3.5 1>2 0s loss 9 bytes 0", "3.5 2>1 0s loss 9 bytes 0", "4 1>2 0s", "4 2>1 0s",
		"5 half-open 1>2", "5 half-open 1>3", "6 hold-back 2>1 3s", "6 hold-back 2>3 3s")
}

// Goal: ZooKeeper pauses and loses watches for as long as any fault says so; a client that sleeps wakes when the last
// fault that lets it sleep is over, its twin's too.
func TestFaultsOfZooKeeperAndClientsThatCameLater(t *testing.T) {
	w := newWorld()
	w.kindHurt = map[faults.Kind]int64{}
	w.At(env.Instant(2500*time.Millisecond), func() { w.kindHurt[faults.ZooKeeperLoseWatch]++ })
	n := play(t, w, "1s zookeeper pause for=2s\n2s pause node=zk for=2s\n2s zookeeper lose-watches node=1 for=1s\n"+
		"5s client pause number=2 for=3s\n6s client twin number=2 for=3s", nil)
	expect(t, w, "1 pause zk", "2 pause zk", "2 watch-loss 1 true", "3 watch-loss 1 false", "4 resume zk",
		"5 client 2 pause", "6 client 2 pause", "6 twin of 2", "9 client 2 resume")
	if got := n.Counts()[faults.ZooKeeperLoseWatch]; got.Fired != 1 {
		t.Errorf("counted %+v", got)
	}
}
