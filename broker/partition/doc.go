// Package partition is one partition on one broker, as its leader or as a follower.
//
// It owns the role and its epochs, the in-sync replica set with the change that is under way, the high watermark, what
// the leader knows of each follower, and the checks that stand before every append and read. It never sends anything:
// ISR changes are handed to whoever Options.RequestAlter names, follower fetches are driven by package replica, and
// those who wait are woken through Options.Notify.
//
// # Locks
//
// The partition's mutex is held for looking and for changing fields, never over I/O. An operation that relies on the
// role while it is in the log (append, read, truncation) enters the role first and leaves it after; a role change waits
// until the last has left, and lets nobody in meanwhile. That is Kafka's leaderIsrUpdateLock, readers preferring writers.
// Lock order: replica.Manager, partition, log. Notify and RequestAlter are called with no lock held.
//
// # Source
//
// kafka.cluster.Partition, kafka.cluster.Replica, and the follower's half of kafka.server.AbstractFetcherThread and
// ReplicaFetcherThread. KIP-101, 279, 320, 392, 497, 595 (diverging epoch), 841, 903; KAFKA-15583 (the high watermark
// rests while the ISR is below min.insync.replicas).
package partition
