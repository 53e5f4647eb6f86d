package log_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// account is one life of a broker that keeps account of what its disks have lost, or not.
type account struct {
	dirs  int    // log directories; 0 is one
	off   bool   // keeps no account
	kafka bool   // is one of Kafka's, which stops cleanly and leaves what it does not know
	mute  bool   // ends before it has vouched
	fails string // "sync", or "dir" for the first directory: what fails before it ends
	clean bool   // stops cleanly
	power bool   // and then the machine loses power
	want  int64  // since when nothing was lost, as it finds it; life n registers in epoch 10 n
}

// Goal: what a broker finds of its data is believed exactly as far as it is there: over process ends and clean stops, not over losses of
// power, failures, missing directories, or lives that kept no account. Method: lives of one machine.
func TestIntact(t *testing.T) {
	for _, c := range []struct {
		name  string
		lives []account
	}{
		{"a process ends", []account{{}, {want: 10}, {want: 10}}},
		{"the machine loses power", []account{{power: true}, {}, {want: 20}}},
		{"it does so behind a clean stop", []account{{clean: true, power: true}, {want: 10}, {want: 10}}},
		{"a clean stop vouches for one life", []account{{clean: true, power: true}, {want: 10, mute: true, power: true}, {}}},
		{"a process ends before it has vouched", []account{{power: true}, {mute: true}, {}}},
		{"a power loss, and then an end that loses nothing", []account{{}, {want: 10, power: true}, {}, {want: 30}}},
		{"a sync fails", []account{{}, {want: 10, fails: "sync"}, {}, {want: 30}}},
		{"a sync fails before a clean stop", []account{{dirs: 2}, {dirs: 2, want: 10, fails: "sync", clean: true, power: true}, {dirs: 2}}},
		{"a directory fails for good, another lets go of its file", []account{{dirs: 2}, {dirs: 2, want: 10, fails: "dir"}, {dirs: 2}}},
		{"a life without account", []account{{}, {off: true}, {}}},
		{"one that stops cleanly", []account{{clean: true}, {off: true, clean: true}, {}}},
		{"one that does so behind a power loss", []account{{clean: true}, {off: true, power: true}, {off: true, clean: true}, {}}},
		{"Kafka stops cleanly behind a power loss", []account{{power: true}, {kafka: true, power: true}, {want: 0}}},
		{"Kafka does so behind our own clean stop", []account{{clean: true, power: true}, {kafka: true, power: true}, {}}},
		{"a directory is gone", []account{{dirs: 2}, {dirs: 1}}},
		{"a directory is new", []account{{dirs: 1}, {dirs: 2}}},
		{"two directories keep theirs", []account{{dirs: 2}, {dirs: 2, want: 10, clean: true, power: true}, {dirs: 2, want: 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := cluster.New(cluster.Options{Seed: 1})
			defer w.Close()
			n := 0
			w.AddNode("b1", func(e env.Env) { live(t, w, e, n, c.lives[n]) })
			for n = range c.lives {
				w.Start("b1")
				w.RunUntil(func() bool { return w.Status("b1") != cluster.Running }, w.Now().Add(time.Minute))
				w.Disk("b1").Heal()
				for _, crash := range w.Crashes() {
					t.Fatal(crash)
				}
				if c.lives[n].power {
					w.PowerLoss("b1", disk.KeepAll) // the files that vouch stay, and are not to be believed
				}
			}
		})
	}
}

func live(t *testing.T, w *cluster.World, e env.Env, n int, l account) {
	var dirs []string
	for i := range max(1, l.dirs) {
		dirs = append(dirs, fmt.Sprintf("/data/%d", i+1))
	}
	if l.kafka {
		if err := env.ReplaceFile(e, dirs[0]+"/.kafka_cleanshutdown", []byte(`{"version":0,"brokerEpoch":-1}`)); err != nil {
			t.Error(err)
		}
		return
	}
	cfg := brokerConfig(dirs...)
	cfg.EligibleLeaderReplicas = !l.off
	m := manager(t, e, cfg)
	since, kept := m.Intact()
	if since != l.want || !kept {
		t.Errorf("life %d: intact since %d, %v, want since %d", n+1, since, kept, l.want)
	}
	epoch := int64(10 * (n + 1))
	if since == 0 {
		since = epoch
	}
	if !l.mute {
		if err := m.Vouch(since, epoch); err != nil {
			t.Errorf("life %d: %v", n+1, err)
		}
	}
	if l.fails != "" {
		create(t, m, topic("t", int32(n)), 1)
		switch l.fails {
		case "sync":
			w.Disk("b1").SetFail(disk.OpSync, true)
		case "dir":
			w.Disk("b1").SetFailUnder(dirs[0])
		}
		m.CheckpointRecoveryPoints()
		w.Disk("b1").Heal()
		if _, kept := m.Intact(); kept {
			t.Errorf("life %d: a directory has failed, and nothing is lost", n+1)
		}
		if err := m.Vouch(since, epoch); err != nil { // a later session of the same life
			t.Errorf("life %d, again: %v", n+1, err)
		}
	}
	if l.clean {
		m.Shutdown(true)
	}
}

// Goal: a disk that is put into another machine is not believed there. Method: two machines change disks.
func TestIntactOnAnotherMachine(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	want := int64(0)
	main := func(e env.Env) {
		cfg := brokerConfig("/data")
		cfg.EligibleLeaderReplicas = true
		m := manager(t, e, cfg)
		if since, _ := m.Intact(); since != want {
			t.Errorf("intact since %d, want %d", since, want)
		}
		m.Vouch(5, 5)
	}
	w.AddNode("b1", main)
	w.AddNode("b2", main)
	for _, swap := range []bool{false, false, true} {
		if swap {
			w.SwapDisks("b1", "b2")
			want = 0
		}
		w.Start("b1")
		w.Start("b2")
		w.RunUntil(func() bool { return w.Status("b1") != cluster.Running && w.Status("b2") != cluster.Running }, w.Now().Add(time.Minute))
		want = 5
	}
	for _, crash := range w.Crashes() {
		t.Fatal(crash)
	}
}
