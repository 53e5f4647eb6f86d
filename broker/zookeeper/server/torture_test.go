package server_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/client"
	"barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// Goal: no acknowledged write is lost, whatever the disk loses that was not synced, and a multi is there whole or not
// at all. Method: clients write growing numbers while the server loses power, crashes, runs into failing syncs and
// starts again on what is left; after each recovery every client's numbers must be between what was acknowledged and
// what was attempted, and a session must be there unless its client knows that it is over.
func TestAcknowledgedWritesSurvivePowerLoss(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	total := torture{}
	for seed := uint64(1); seed <= seeds; seed++ {
		tt := newTorture(t, seed)
		tt.run()
		total.acked += tt.acked
		total.recoveries += tt.recoveries
		total.cuts += tt.cuts
		total.failedSyncs += tt.failedSyncs
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d writes acknowledged, %d recoveries, %d torn tails cut, %d servers stopped by a failed sync",
		total.acked, total.recoveries, total.cuts, total.failedSyncs)
	if total.acked < int(seeds)*500 || total.recoveries < int(seeds)*5 || total.cuts == 0 || total.failedSyncs == 0 {
		t.Error("that shows too little")
	}
}

type torture struct {
	t       *testing.T
	seed    uint64
	w       *cluster.World
	r       *rand.Rand
	server  *server.Server
	clients []*writer
	ending  bool
	ended   int

	acked, recoveries, cuts, failedSyncs int
}

// writer is one client and what it knows.
type writer struct {
	tt        *torture
	id        int
	r         *rand.Rand
	session   zookeeper.Session
	sessionID int64 // 0 when it is or may be over
	acked     int   // the last number acknowledged
	attempted int
	created   []string // sequential nodes acknowledged
}

func newTorture(t *testing.T, seed uint64) *torture {
	// On a slow disk a write is nearly always under way when the power fails.
	profile := disk.Spinning
	if seed%4 == 0 {
		profile = disk.SATA
	}
	w := cluster.New(cluster.Options{Seed: seed, Disk: &profile})
	tt := &torture{t: t, seed: seed, w: w, r: w.Rand().Stream("torture")}
	w.OnEmit(func(_ string, ev env.Event) {
		if ev.Kind.Name == "zookeeper-recovered" && ev.V[3] > 0 {
			tt.cuts++
		}
	})
	w.AddNode("zk", tt.main)
	for i := range 6 {
		c := &writer{tt: tt, id: i, r: w.Rand().Stream(fmt.Sprint("writer/", i))}
		tt.clients = append(tt.clients, c)
		w.Go(fmt.Sprint("writer-", i), c.run)
	}
	return tt
}

func (tt *torture) main(e env.Env) {
	s, err := server.New(e, server.Config{Addr: "zk:2181", DataDir: "/data/zk", TickMs: 1000, SnapshotEvery: 40})
	if err == nil {
		tt.server = s
		tt.recoveries++
		tt.check()
		err = s.Run()
	}
	switch {
	case errors.Is(err, env.ErrIO):
		tt.failedSyncs++
	case err != nil:
		tt.t.Errorf("server: %v", err)
	}
}

// run disturbs the server for a minute, then lets it be.
func (tt *torture) run() {
	w := tt.w
	defer w.Close()
	w.Start("zk")
	for w.Now() < env.Instant(time.Minute) && !tt.t.Failed() {
		w.RunFor(time.Duration(tt.r.Int64N(int64(4 * time.Second))))
		switch tt.r.IntN(6) {
		case 0:
			w.Crash("zk")
		case 2:
			w.ResetLinks([]string{"harness"}, []string{"zk"})
		case 3:
			heal := w.Partition([]string{"harness"}, []string{"zk"}, tt.r.IntN(2) == 0)
			w.RunFor(time.Duration(tt.r.Int64N(int64(time.Second))))
			heal()
		case 1:
			op := []disk.Op{disk.OpSync, disk.OpWrite, disk.OpMeta}[tt.r.IntN(3)]
			w.Disk("zk").SetFail(op, true)
			w.RunFor(time.Duration(tt.r.Int64N(int64(time.Second))))
			if tt.r.IntN(2) == 0 {
				w.PowerLoss("zk", disk.KeepRandom)
			}
			w.Disk("zk").SetFail(op, false)
		default:
			w.PowerLoss("zk", disk.Keep(tt.r.IntN(3)))
		}
		w.RunFor(time.Duration(tt.r.Int64N(int64(time.Second))))
		if w.Status("zk") != cluster.Running {
			w.Start("zk")
		}
	}
	tt.ending = true
	if o := w.RunUntil(func() bool { return tt.ended == len(tt.clients) }, w.Now().Add(5*time.Minute)); o != cluster.Satisfied {
		tt.t.Errorf("the clients do not end: %v\n%s", o, w.Stuck())
	}
	for _, c := range w.Crashes() {
		tt.t.Errorf("%s", c)
	}
	tt.check()
	for _, c := range tt.clients {
		tt.acked += c.acked
	}
}

// check looks into the server between events.
func (tt *torture) check() {
	number := func(path string) int {
		data, _, ok := tt.server.Get(path)
		if !ok {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimRight(string(data), " "))
		return n
	}
	sessions := map[int64]bool{}
	for _, s := range tt.server.Sessions() {
		sessions[s.ID] = true
		for _, path := range s.Ephemerals {
			if _, stat, ok := tt.server.Get(path); !ok || stat.EphemeralOwner != s.ID {
				tt.t.Errorf("session %#x: ephemeral %s: %v %+v", s.ID, path, ok, stat)
			}
		}
	}
	for _, c := range tt.clients {
		a, b := number(c.path("a")), number(c.path("b"))
		if a != b || a < c.acked || a > c.attempted {
			tt.t.Errorf("client %d: recovered %d and %d; %d was acknowledged, %d attempted", c.id, a, b, c.acked, c.attempted)
		}
		for _, path := range c.created {
			if _, _, ok := tt.server.Get(path); !ok {
				tt.t.Errorf("client %d: %s was acknowledged and is lost", c.id, path)
			}
		}
		if c.sessionID != 0 && !sessions[c.sessionID] {
			tt.t.Errorf("client %d: session %#x is lost", c.id, c.sessionID)
		}
	}
}

func (c *writer) path(name string) string { return fmt.Sprintf("/c%d-%s", c.id, name) }

func (c *writer) run(e env.Env) {
	for !c.tt.ending {
		if c.session == nil {
			s, err := client.Open(e, []string{"zk:2181"}, 20_000, e.Mono().Add(time.Minute))
			if err != nil {
				continue
			}
			c.session, c.sessionID = s, s.ID()
		}
		switch err := c.step(); {
		case errors.Is(err, zookeeper.ErrSessionExpired):
			c.tt.t.Errorf("client %d: expired, although the server is never gone for long", c.id)
			c.session, c.sessionID = nil, 0
		case errors.Is(err, zookeeper.ErrConnectionLoss):
			e.Sleep(time.Duration(c.r.Int64N(int64(200 * time.Millisecond))))
		case err != nil:
			c.tt.t.Errorf("client %d: %v", c.id, err)
			c.tt.ending = true
		}
		e.Sleep(time.Duration(c.r.Int64N(int64(20 * time.Millisecond))))
	}
	if c.session != nil {
		c.sessionID = 0
		c.session.Close()
	}
	c.tt.ended++
}

// step writes the next number to both of the client's nodes, or makes a node.
func (c *writer) step() error {
	if c.r.IntN(8) == 0 {
		path, _, err := c.session.Create(c.path("n-"), nil, zookeeper.PersistentSequential)
		if err == nil {
			c.created = append(c.created, path)
		}
		return err
	}
	if c.r.IntN(10) == 0 {
		_, _, err := c.session.Create(c.path("e-"), nil, zookeeper.EphemeralSequential)
		return err
	}
	next := c.attempted + 1
	data := fmt.Appendf(nil, "%-*d", 1+c.r.IntN(3000), next) // of some sectors, which can tear apart
	exists, _, err := c.session.Exists(c.path("a"), false)
	if err != nil {
		return err
	}
	c.attempted = next
	if exists {
		_, err = c.session.Multi(zookeeper.SetOp(c.path("a"), data, -1), zookeeper.SetOp(c.path("b"), data, -1))
	} else {
		_, err = c.session.Multi(
			zookeeper.CreateOp(c.path("a"), data, zookeeper.Persistent), zookeeper.CreateOp(c.path("b"), data, zookeeper.Persistent))
	}
	if err == nil {
		c.acked = next
	}
	return err
}
