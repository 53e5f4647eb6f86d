package oracle

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
)

// batches are disks of batches of ten records, of which each broker's may differ from the second on.
type batches struct{ sum map[int32]byte }

func (d batches) Find(broker int32, _ string, _ wire.TopicPartition, name string) File {
	return fileOf(func(p []byte, offset int64) int { return d.peek(broker, name, p, offset) })
}

// fileOf makes a file of a function that reads it.
type fileOf func(p []byte, offset int64) int

func (f fileOf) Peek(p []byte, offset int64) int { return f(p, offset) }

func (d batches) peek(broker int32, file string, p []byte, offset int64) int {
	n := offset / headerSize
	if file != segmentFile(0) || offset%headerSize != 0 || n > 9 {
		return -1
	}
	var h [headerSize]byte
	base := n * 10
	if d.sum[broker] == gap && n > 0 {
		base += 5
	}
	binary.BigEndian.PutUint64(h[0:], uint64(base))
	binary.BigEndian.PutUint32(h[8:], headerSize-12)
	binary.BigEndian.PutUint32(h[23:], 9)
	if n > 0 && d.sum[broker] != torn {
		h[headerSize-1] = d.sum[broker]
	}
	binary.BigEndian.PutUint32(h[17:], crc32.Checksum(h[21:], castagnoli))
	if n > 0 && d.sum[broker] == torn {
		h[headerSize-1]++
	}
	return copy(p, h[:])
}

// gap and torn, as a sum, are a broker's batches that do not follow each other, or are not whole.
const gap, torn = 0xff, 0xfe

// cluster is a view that changes from look to look.
type cluster struct {
	at    env.Instant
	disks batches
	view  View
}

// well is three replicas that agree, thirty records committed: nothing is wrong with it.
func well() *cluster {
	c := &cluster{disks: batches{map[int32]byte{}}}
	tp := wire.TopicPartition{Topic: "t"}
	for id := int32(1); id <= 3; id++ {
		role := partition.Follower
		if id == 1 {
			role = partition.Leader
		}
		c.view.Replicas = append(c.view.Replicas, Replica{Broker: id, Life: 1, State: partition.State{TP: tp, Role: role, LeaderID: 1, LeaderEpoch: 3,
			PartitionEpoch: 5, HighWatermark: 30, LogEndOffset: 30, ISR: []int32{1, 2, 3}, Replicas: []int32{1, 2, 3}, MinISR: 2,
			LatestEpoch: 3, Epochs: []log.EpochEntry{{Epoch: 0, StartOffset: 0}, {Epoch: 3, StartOffset: 30}}, Log: new(log.Log)}})
	}
	c.view.Partitions = []Registered{{TP: tp, Leader: 1, LeaderEpoch: 3, PartitionEpoch: 5, ControllerEpoch: 2, Controllers: 2, ISR: []int32{1, 2, 3}, Replicas: []int32{1, 2, 3}}}
	return c
}

func (c *cluster) replica(id int) *partition.State { return &c.view.Replicas[id-1].State }

func (c *cluster) look(o *Oracle) {
	c.at = c.at.Add(time.Second)
	c.view.At = c.at
	o.Look(c.view)
}

// planted is what goes wrong between the first look and those after it, by the invariant that it breaks.
var planted = map[string]func(c *cluster){
	"INV-HW-LEO":        func(c *cluster) { c.replica(2).HighWatermark = 40 },
	"INV-HW-MONOTONIC":  func(c *cluster) { c.replica(1).HighWatermark = 20 },
	"INV-LEADER-IN-ISR": func(c *cluster) { p := &c.view.Partitions[0]; p.PartitionEpoch, p.ISR = 6, []int32{2, 3} },
	"INV-ISR-REPLICAS": func(c *cluster) {
		p := &c.view.Partitions[0]
		p.PartitionEpoch, p.ISR = 6, []int32{1, 2, 4}
	},
	"INV-EPOCH-MONOTONIC": func(c *cluster) { c.replica(2).LeaderEpoch = 2 },
	"INV-ONE-LEADER":      func(c *cluster) { c.replica(2).Role = partition.Leader },
	"INV-ONE-ACKER": func(c *cluster) { // 1 is deposed and goes on
		c.replica(1).Acked = 33
		next := c.replica(2)
		next.Role, next.LeaderID, next.LeaderEpoch, next.EpochStart = partition.Leader, 2, 4, 31
	},
	"INV-CONTROLLER-FENCED": func(c *cluster) { p := &c.view.Partitions[0]; p.PartitionEpoch, p.ControllerEpoch = 6, 1 },
	"INV-ISR-COMPLETE": func(c *cluster) {
		c.replica(3).LogEndOffset, c.replica(3).HighWatermark = 20, 20
		c.view.Replicas[2].Life = 2
	},
	"INV-COMMITTED-EQUAL": func(c *cluster) { c.disks.sum[3] = 1; c.view.Replicas[2].Life = 2 },
	"INV-COMMITTED-KEPT":  func(c *cluster) { c.replica(2).LogEndOffset, c.replica(2).HighWatermark = 10, 10 },
	"INV-COMMITTED-WHOLE": func(c *cluster) { c.disks.sum[3] = torn; c.view.Replicas[2].Life = 2 },
	"INV-LOG-CONTIGUOUS":  func(c *cluster) { c.disks.sum[3] = gap; c.view.Replicas[2].Life = 2 },
	"INV-EPOCH-KNOWN":     func(c *cluster) { c.replica(1).LatestEpoch = 0 },
	"INV-MIN-ISR": func(c *cluster) {
		c.replica(1).ISR = []int32{1}
		c.replica(1).PartitionEpoch = 6
		c.view.Partitions[0].ISR = []int32{1}
		c.view.Partitions[0].PartitionEpoch = 6
	},
}

// Goal: each invariant that the oracle owns is seen to break when it does, under its own name, and a cluster that is well
// is accused of nothing. Method: a cluster that is well, one thing planted in it, more looks.
func TestPlantedAnomaliesAreSeen(t *testing.T) {
	o := New(batches{})
	c := well()
	for range 5 {
		c.look(o)
	}
	if v := o.Violations(); len(v) > 0 {
		t.Fatalf("a cluster that is well: %v", v)
	}
	for id, plant := range planted {
		t.Run(id, func(t *testing.T) {
			c := well()
			o := New(c.disks)
			c.look(o)
			plant(c)
			for range 3 {
				c.look(o)
				if id == "INV-MIN-ISR" { // what the watermark must not do now
					c.replica(1).HighWatermark, c.replica(1).LogEndOffset = 40+c.replica(1).HighWatermark-30, 60
				}
			}
			if !slices.ContainsFunc(o.Violations(), func(v Violation) bool { return v.ID == id && v.Message != "" && v.At > 0 }) {
				t.Errorf("not seen; seen were %v", o.Violations())
			}
		})
	}
}

// Goal: no invariant of the oracle is without a planted anomaly. Method: its own source names them.
func TestEveryInvariantOfTheOracleIsPlanted(t *testing.T) {
	for _, name := range []string{"oracle.go", "canonical.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range regexp.MustCompile(`"INV-[A-Z-]+"`).FindAllString(string(source), -1) {
			if planted[strings.Trim(id, `"`)] == nil {
				t.Errorf("%s: nothing is planted", id)
			}
		}
	}
}

// Goal: what a replica still has on disk below its log's start is its own affair, as nobody can read it, and what it has from there on is not.
// Method: a replica whose batches differ from the second, ten records each, on; its log begins behind them all, or before the last.
func TestBelowTheLogStartNothingIsCompared(t *testing.T) {
	for start, want := range map[int64]bool{30: false, 29: true, 20: true, 0: true} {
		c := well()
		o := New(c.disks)
		c.look(o)
		c.disks.sum[3] = 1
		c.view.Replicas[2].Life = 2
		c.replica(3).LogStartOffset = start
		c.look(o)
		if seen := len(o.Violations()) > 0; seen != want {
			t.Errorf("a log from %d on: %v", start, o.Violations())
		}
	}
}

// Goal: a batch whose epoch is not what its log takes it for is seen on whoever has it. Method: batches of epoch 0 in logs that know other epochs.
func TestEpochsOfBatchesAreKnown(t *testing.T) {
	for _, test := range []struct {
		name  string
		known []log.EpochEntry
		want  bool
	}{
		{"none known", nil, true},
		{"all behind the batches", []log.EpochEntry{{Epoch: 3, StartOffset: 30}}, true},
		{"too early", []log.EpochEntry{{Epoch: 0, StartOffset: 0}, {Epoch: 3, StartOffset: 20}}, true},
		{"right", []log.EpochEntry{{Epoch: 0, StartOffset: 0}, {Epoch: 2, StartOffset: 30}, {Epoch: 3, StartOffset: 30}}, false},
	} {
		for id := 1; id <= 3; id++ {
			c := well()
			c.replica(id).Epochs = test.known
			o := New(c.disks)
			c.look(o)
			if seen := slices.ContainsFunc(o.Violations(), func(v Violation) bool { return v.ID == "INV-EPOCH-KNOWN" }); seen != test.want {
				t.Errorf("%s, on broker %d: %v", test.name, id, o.Violations())
			}
		}
	}
}
