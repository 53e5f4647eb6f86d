// Package log is a partition's log on disk, and the log directories that hold them.
//
// It owns the files of a partition: segments with their offset and time indexes, the leader-epoch checkpoint, producer
// snapshots, partition.metadata; those of a log directory: the checkpoints of recovery points, high watermarks and log
// starts, meta.properties, the clean-shutdown marker; what is written in them, in Kafka's formats; and what of it
// survives a crash. It never decides who leads, what is committed or who may read: broker/partition does, and gives
// the bound of a read and the leader epoch of an append.
//
// # What survives
//
// Everything below the recovery point is on the device. Behind it, a process crash loses nothing that was written and
// a power loss may lose or tear anything; recovery walks the batches from the recovery point on and cuts at the first
// that is not whole. Changes that recovery could not tell from healthy content are synced in an order that leaves one
// of two states: see truncate.go, recover.go and manager.go.
//
// # What readers hold
//
// A read returns a Slice, a place in a segment's file, and the bytes go to the socket later. Bytes that a truncation
// cut are never served to it, nor others that took their place: see slice.go.
//
// # What is compacted
//
// The cleaner writes segments anew with the last record of each key, beside the log, and puts them in the place of the
// old ones in steps each of which is durable before the next: see cleaner_filter.go and cleaner_swap.go.
//
// Source in Kafka: kafka.log.{UnifiedLog, LocalLog, LogSegment, LogManager, LogLoader, LogCleaner, Cleaner},
// org.apache.kafka.storage.internals.log.{ProducerStateManager, OffsetIndex, TimeIndex, TransactionIndex},
// org.apache.kafka.storage.internals.epoch.LeaderEpochFileCache.
package log
