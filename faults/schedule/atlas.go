package schedule

import "barnabas/faults"

// Class is what Kafka's promise has to say to a kind of fault: the atlas. A generated schedule keeps to what is within
// the promise, unless it is told to go beyond it.
type Class uint8

const (
	// Harmless: no broker is impaired; everything goes on, slower or confused.
	Harmless Class = iota
	// Impairs: a broker (or ZooKeeper) is down, cut off or failing for a while. Within the promise as long as few are.
	Impairs
	// Destroys: a replica loses data. Within the promise while every partition has another in-sync replica that is well;
	// at any other moment such a fault is withheld.
	Destroys
	// Beyond: Kafka promises nothing against it. Only what no fault excuses is checked: no client is handed other bytes
	// than were written, nothing that nobody wrote is read, epochs and leaders are one at a time, the cluster gets well.
	Beyond
)

// String is the class in a word.
func (c Class) String() string { return [...]string{"harmless", "impairs", "destroys", "beyond"}[c&3] }

// ClassOf looks a kind up in the atlas. A Blackout is beyond the promise unless brokers sync every append, see
// Plan.Synced.
func ClassOf(k faults.Kind) Class {
	switch k {
	case faults.SlowLink, faults.SlowDisk, faults.Ring, faults.Reset, faults.ClockOffset, faults.ClockDrift, faults.ClockJump, faults.ClientCrash,
		faults.ClientPause, faults.ClientTwin, faults.Loss, faults.Bandwidth, faults.HalfOpen, faults.HoldBack, faults.ZooKeeperLoseWatch:
		return Harmless
	case faults.Power, faults.Wipe, faults.LoseEntry:
		return Destroys
	case faults.Blackout, faults.BitFlip, faults.Misdirect:
		return Beyond
	}
	return Impairs
}

// TakesNobodyOut tells whether faults of the kind take no broker out of any ISR and destroy nothing.
func TakesNobodyOut(k faults.Kind) bool {
	return ClassOf(k) == Harmless && k != faults.Ring && k != faults.HoldBack && k != faults.Loss && k != faults.Bandwidth
}
