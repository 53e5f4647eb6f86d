// Package group coordinates consumer groups: who is a member, who owns what in which generation, and which offsets were
// committed.
//
// Group is a pure machine of one group: it waits for nobody, reads no clock and writes nothing. It is told what time it is, answers
// through the functions it was given, and asks for records to be written by leaving Writes behind; testdata holds its scripts.
// Coordinator feeds the groups of this broker: it keeps one shard of groups per partition of __consumer_offsets that this broker
// leads, loads a shard when leadership comes and drops it when it goes, appends what is to be written and waits for its
// replication, and lets time pass. Two tasks do all of that, however many groups there are.
//
// It never talks to clients (broker/api does) and never decides who coordinates: that is who leads the partition.
//
// Source in Kafka: kafka.coordinator.group (GroupCoordinator, GroupMetadata, MemberMetadata, GroupMetadataManager), with KIP-62 (rebalance
// time-out), KIP-134 (initial delay), KIP-211 (offset expiry), KIP-345 (static members), KIP-394 (member id required), KIP-429
// (cooperative rebalancing, which is the clients' affair alone) and KIP-447 (requireStable).
package group
