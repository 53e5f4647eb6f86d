package network

import "time"

// Profile is how the links of a network behave. Every directed link has the same one, and its own chance.
type Profile struct {
	LatencyMin     time.Duration // the fast mode is uniform between these two
	LatencyMax     time.Duration
	SlowOneIn      int           // how often a segment is slow instead; 0: never
	SlowMean       time.Duration // the extra delay of a slow segment: exponentially distributed
	LossOneIn      int           // how often a segment is lost and sent again; 0: never
	Retransmit     time.Duration // the first retransmission comes after this; each further loss doubles it
	BytesPerSecond int64         // of a directed link, shared by its connections; 0: no limit
	Window         int           // bytes a writer may be ahead of the reader; it waits then
	GiveUp         time.Duration // a connection without progress breaks after this
	Backlog        int           // connections waiting to be accepted, per listener
	ShortReadOneIn int           // how often Read returns less than it could; 0: never
}

// LAN is a data centre: tens of microseconds, ten gigabits, now and then a slow or lost segment.
func LAN() Profile {
	return Profile{
		LatencyMin: 40 * time.Microsecond, LatencyMax: 250 * time.Microsecond,
		SlowOneIn: 100, SlowMean: 2 * time.Millisecond,
		LossOneIn: 5000, Retransmit: 200 * time.Millisecond,
		BytesPerSecond: 1250 << 20, Window: 256 << 10,
		GiveUp: 30 * time.Second, Backlog: 128, ShortReadOneIn: 16,
	}
}

// WAN is three distant sites: tens of milliseconds, one gigabit, more loss.
func WAN() Profile {
	p := LAN()
	p.LatencyMin, p.LatencyMax = 8*time.Millisecond, 30*time.Millisecond
	p.SlowOneIn, p.SlowMean = 20, 40*time.Millisecond
	p.LossOneIn, p.BytesPerSecond = 300, 125<<20
	return p
}

// Perfect has no chance in it but a little jitter: for tests of something else.
func Perfect() Profile {
	return Profile{
		LatencyMin: 50 * time.Microsecond, LatencyMax: 60 * time.Microsecond,
		Retransmit: 200 * time.Millisecond, Window: 256 << 10, GiveUp: 30 * time.Second, Backlog: 128,
	}
}
