// Package txn coordinates transactions: which producer id and epoch a transactional id has, which partitions its transaction has
// touched, and how it ended.
//
// Txn is a pure machine of one transactional id: it waits for nobody, reads no clock and writes nothing. It is told what time it is,
// answers through the functions it was given, and leaves behind what is to be written (Writes) and which partitions are to get a marker
// (Markers); testdata holds its scripts. Coordinator feeds the machines of this broker: they live in the partitions of __transaction_state
// that it leads (broker/coordinator loads them, appends and lets time pass). A transaction ends in two phases: PrepareCommit or
// PrepareAbort is written, then every partition gets its marker from its leader, then CompleteCommit or CompleteAbort is written.
//
// It also holds what any broker needs of transactions: producer ids, and the verifier by which a leader asks a coordinator whether a
// partition is part of a transaction (KIP-890).
//
// It never appends to the partitions of a transaction (broker/api does, when it is sent WriteTxnMarkers) and never decides who
// coordinates: that is who leads the partition.
//
// Source in Kafka: kafka.coordinator.transaction (TransactionCoordinator, TransactionMetadata, TransactionStateManager,
// TransactionMarkerChannelManager, ProducerIdManager), AddPartitionsToTxnManager; KIP-98, KIP-360 (recovery by epoch bump), KIP-447, KIP-664
// (describe, list, abort), KIP-890 (verification; an epoch per transaction as transaction.version=2).
package txn
