// Package metadata is what the controller has told this broker about the cluster: topics and their ids, partition
// leaders, epochs and replica sets, the brokers that are alive, and who the controller is.
//
// It owns the Cache, which applies UpdateMetadata requests, and the immutable Snapshot that everybody reads. It never
// asks anybody for anything, never guesses, and never decides: a broker may act on what is here, but only the
// partition's own leader epoch tells whether the broker may still do so.
//
// Source in Kafka: kafka.server.metadata.ZkMetadataCache, and the controller epoch check of
// kafka.server.ReplicaManager#maybeUpdateMetadataCache.
package metadata
