// Package coordinator is what the coordinators of groups and of transactions have in common: state that lives in the
// partitions of an internal topic. For every partition that this broker leads it keeps one Shard, loads it when leadership comes and
// drops it when it goes, appends what is to be written and tells when it is replicated, and lets time pass.
//
// It knows nothing of what the state is; that is for who makes a Runtime: broker/group and broker/txn. Two tasks do all of it, however many
// shards there are.
//
// Source in Kafka: the halves that GroupMetadataManager and TransactionStateManager share; CoordinatorRuntime (KIP-848).
package coordinator
