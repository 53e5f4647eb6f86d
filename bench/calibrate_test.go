package bench

import (
	"context"
	"math"
	"testing"
	"time"

	"barnabas/reports/load"
)

// Goal: a fit finds its way from a wrong guess to a machine whose numbers are known, and its prediction is then near. Method: the
// machine is itself simulated, from a slow profile (so that few records saturate it), and the guess has calls at a third of their
// cost and half the latency.
func TestFitFindsAKnownMachine(t *testing.T) {
	truth := ProfileCosts{Read: Duration(240 * time.Microsecond), Write: Duration(240 * time.Microsecond), FileWrite: Duration(80 * time.Microsecond), Record: Duration(32 * time.Microsecond)}
	p := &Profile{Name: "truth", Machine: ProfileMachine{Cores: 1, Shared: true}, Zones: ProfileZones{Count: 1},
		Network: ProfileNetwork{LatencyMin: Duration(300 * time.Microsecond), LatencyMax: Duration(600 * time.Microsecond), Bandwidth: 1e9}, Disk: ProfileDisk{Bandwidth: 1e9}, Broker: truth, Client: truth}
	m := &measured{run: &load.Run{}}
	for _, rate := range []float64{4_000, 250, 1_000, 1_300} {
		w, err := openAt(rate)
		if err != nil {
			t.Fatal(err)
		}
		w.Phases = Phases{Warmup: Duration(100 * time.Millisecond), Measure: Duration(500 * time.Millisecond), Interval: Duration(250 * time.Millisecond), Repetitions: 1}
		run, err := Simulate(context.Background(), w, SimOptions{Profile: p, Seed: 9})
		if err != nil {
			t.Fatal(err)
		}
		m.run.Repetitions = append(m.run.Repetitions, run.Repetitions[0])
	}
	if err := m.arrange(); err != nil {
		t.Fatal(err)
	}
	guess := *p
	for _, c := range []*ProfileCosts{&guess.Broker, &guess.Client} {
		c.Read, c.Write, c.FileWrite, c.Record = c.Read/3, c.Write/3, c.FileWrite/3, c.Record/3
	}
	guess.Network.LatencyMin, guess.Network.LatencyMax = guess.Network.LatencyMin/2, guess.Network.LatencyMax/2
	off := func(list []load.Predicted) float64 {
		sum := 0.0
		for _, x := range list {
			sum += math.Abs(math.Log(x.Predicted / x.Measured))
		}
		return sum / float64(len(list))
	}
	before, err := m.predict(context.Background(), &guess, m.first)
	if err != nil {
		t.Fatal(err)
	}
	after, err := m.fit(context.Background(), &guess, CalibrateOptions{Options: Options{Say: t.Logf}, Tries: 25})
	if err != nil {
		t.Fatal(err)
	}
	if b, a := off(before), off(after); a > b/2 || a > .3 {
		t.Errorf("off by %.2f before the fit and %.2f after:%s", b, a, table(after))
	}
}
