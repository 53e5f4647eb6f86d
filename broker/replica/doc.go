// Package replica is the partitions of this broker: it obeys the controller's LeaderAndIsr and StopReplica requests, and
// fetches from leaders what this broker follows.
//
// It owns the map of partitions, the fetcher tasks (one per source broker and fetcher number), the task that shrinks ISRs,
// the one that sends AlterPartition, and the high watermark checkpoint. It never touches records or offsets itself: that
// is package partition's; and it never decides who leads.
//
// # Tasks
//
// fetcher-B-N waits for partitions of broker B that are due, fetches, hands over, begins anew. isr-shrink looks at every
// partition each replica.lag.time.max.ms/2. alter-partition sends what partitions ask for, one request at a time.
// hw-checkpoint writes replication-offset-checkpoint. All wait on conditions, none polls.
//
// Source in Kafka: kafka.server.ReplicaManager, ReplicaFetcherManager, AbstractFetcherThread, ReplicaFetcherThread,
// AlterPartitionManager.
package replica
