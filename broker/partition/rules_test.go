package partition

import (
	"slices"
	"testing"
	"time"

	"barnabas/broker/env"

	"pgregory.net/rapid"
)

// The pure rules: who counts, who is caught up, who may join, where to cut.

const second = env.Instant(time.Second)

// TestFollowerOfBusyLeaderIsCaughtUp plays the worked example of replica.fetched.
func TestFollowerOfBusyLeaderIsCaughtUp(t *testing.T) {
	r := newReplica(2, 0, false)
	for i, step := range []struct {
		offset, leaderEnd int64
		want              env.Instant
	}{{10, 10, 1 * second}, {10, 25, 1 * second}, {25, 40, 2 * second}, {26, 60, 2 * second}, {60, 60, 5 * second}} {
		r.fetched(step.offset, 0, step.leaderEnd, 7, env.Instant(i+1)*second)
		if r.caughtUpAt != step.want {
			t.Fatalf("fetch %d from %d of %d: caught up at %d, want %d", i+1, step.offset, step.leaderEnd, r.caughtUpAt, step.want)
		}
	}
}

// TestNewLeaderTrustsTheISRForTheLagTime: members have the benefit of the doubt, others none.
func TestNewLeaderTrustsTheISRForTheLagTime(t *testing.T) {
	member, other := newReplica(2, 5*second, true), newReplica(3, 5*second, false)
	if !member.caughtUp(10, 6*second, time.Second) || member.caughtUp(10, 6*second+1, time.Second) {
		t.Error("a member should count as caught up for exactly the lag time")
	}
	if other.caughtUp(10, 5*second, time.Hour) {
		t.Error("a replica outside of the ISR should not count as caught up before it has fetched")
	}
}

// TestWatermarkIsTheLeastOfThoseWhoCount compares with the definition on random states.
func TestWatermarkIsTheLeastOfThoseWhoCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.Int64Range(0, 20).Draw(t, "end")
		var followers []replica
		counted := map[int32]bool{}
		want := end
		for id := range int32(rapid.IntRange(0, 4).Draw(t, "followers")) {
			r := replica{id: id, logEndOffset: rapid.Int64Range(-1, 20).Draw(t, "leo")}
			followers = append(followers, r)
			if counted[id] = rapid.Bool().Draw(t, "counts"); counted[id] {
				want = min(want, r.logEndOffset)
			}
		}
		if got := watermark(end, followers, func(r *replica) bool { return counted[r.id] }); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

// TestPendingExpansionCountsAndPendingShrinkKeepsCounting: the maximal ISR holds whatever the controller may have made of it.
func TestPendingExpansionCountsAndPendingShrinkKeepsCounting(t *testing.T) {
	s := inSync{committed: []int32{1, 2}}
	s.pending = &Change{Added: 3}
	if !s.maximal(3) || s.maximalSize() != 3 || !slices.Equal(s.maximalSet(), []int32{1, 2, 3}) {
		t.Error("a replica that is being added should count")
	}
	s.pending = &Change{Added: -1, ISR: []Member{{Broker: 1}}}
	if !s.maximal(2) || s.maximalSize() != 2 {
		t.Error("a replica that is being removed should count until that is confirmed")
	}
	s.commit([]int32{1}, 0)
	if s.maximal(2) || s.pending != nil {
		t.Error("a confirmed removal should be final")
	}
}

// TestFollowerJoinsAtWatermarkAndEpochStart: both are needed (KAFKA-7128).
func TestFollowerJoinsAtWatermarkAndEpochStart(t *testing.T) {
	for _, c := range []struct {
		leo, hw, start int64
		want           bool
	}{{10, 10, 10, true}, {9, 10, 5, false}, {10, 5, 12, false}, {12, 5, 12, true}, {-1, 0, 0, false}, {5, 5, -1, false}} {
		r := replica{logEndOffset: c.leo}
		if got := mayJoin(&r, c.hw, c.start); got != c.want {
			t.Errorf("leo %d, hw %d, epoch start %d: %v", c.leo, c.hw, c.start, got)
		}
	}
}

// TestLaggingFindsTheSilentTheSlowAndTheUnknown, and never the leader itself.
func TestLaggingFindsTheSilentTheSlowAndTheUnknown(t *testing.T) {
	followers := []replica{
		{id: 2, logEndOffset: 10, caughtUpAt: 0},          // silent for long, but has everything
		{id: 3, logEndOffset: 9, caughtUpAt: 0},           // lags
		{id: 4, logEndOffset: 1, caughtUpAt: 99 * second}, // behind, but was at the end a moment ago
	}
	got := lagging([]int32{1, 2, 3, 4, 5}, 1, followers, 10, 100*second, 10*time.Second)
	if !slices.Equal(got, []int32{3, 5}) {
		t.Errorf("lagging: %v, want [3 5]", got)
	}
}

// TestTruncationPoint goes through the cases of KIP-279.
func TestTruncationPoint(t *testing.T) {
	for _, c := range []struct {
		why          string
		leader, ours EpochEnd
		want         int64
	}{
		{"same epoch, leader's ends first", EpochEnd{1, 15}, EpochEnd{1, 20}, 15},
		{"same epoch, ours ends first", EpochEnd{1, 15}, EpochEnd{1, 10}, 10},
		{"we do not have the leader's epoch", EpochEnd{3, 15}, EpochEnd{1, 10}, 10},
		{"we have no epoch that old", EpochEnd{3, 15}, EpochEnd{-1, -1}, 15},
		{"the leader knows nothing", EpochEnd{-1, -1}, EpochEnd{1, 10}, 4},
	} {
		if got := truncation(c.leader, c.ours, 4); got != c.want {
			t.Errorf("%s: cut at %d, want %d", c.why, got, c.want)
		}
	}
}

// history is a log as its epochs: which epoch wrote each offset.
type history []int32

// end is what LeaderEpochFileCache#endOffsetFor answers: the largest epoch ≤ asked, and where it ends; if all are larger, the
// asked one, ending where the first begins.
func (h history) end(asked int32) EpochEnd {
	found := EpochEnd{asked, 0}
	for i, epoch := range h {
		if epoch <= asked {
			found = EpochEnd{epoch, int64(i + 1)}
		}
	}
	return found
}

// TestTruncationEndsAtTheCommonPrefix plays fetches of a follower against a leader whose logs share a random prefix, and
// parted in random epochs of their own: the follower must end with a prefix of the leader's log, having kept all that was
// common, in at most as many rounds as it has epochs (KIP-101, KIP-279).
func TestTruncationEndsAtTheCommonPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := int(rapid.IntRange(0, 6).Draw(t, "common"))
		var leader, follower history
		epoch := int32(0)
		for range common {
			epoch += int32(rapid.IntRange(0, 1).Draw(t, "bump"))
			leader, follower = append(leader, epoch), append(follower, epoch)
		}
		// From here on each epoch belongs to one of the two: there is one leader an epoch.
		for epoch++; epoch < 12; epoch++ {
			n := rapid.IntRange(0, 3).Draw(t, "records")
			mine := rapid.Bool().Draw(t, "follower's")
			for range n {
				if mine {
					follower = append(follower, epoch)
				} else {
					leader = append(leader, epoch)
				}
			}
		}
		for round := 0; len(follower) > 0; round++ {
			last := follower[len(follower)-1]
			found := leader.end(last)
			if found.Epoch == last && found.EndOffset >= int64(len(follower)) {
				break
			}
			cut := truncation(found, follower.end(found.Epoch), 0)
			if cut >= int64(len(follower)) || round > 12 {
				t.Fatalf("round %d cuts %v at %d", round, follower, cut)
			}
			follower = follower[:cut]
		}
		if len(follower) < common || len(follower) > len(leader) || !slices.Equal(follower, leader[:len(follower)]) {
			t.Fatalf("follower ends with %v, leader has %v, common %d", follower, leader, common)
		}
	})
}
