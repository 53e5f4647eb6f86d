// Package api answers requests: one file per API key, each headed by its versions, its KIPs, and what it waits for.
//
// A handler reads its request, calls the partitions, the controller or the metadata cache, and puts the outcome into a
// response. It keeps no state of its own but two small things: the block of producer ids, and the topics being created
// because somebody asked for them. It never touches a log, a znode or a socket, and never waits in the connection's
// reader for another request's doing: what must wait is left in the reply, in purgatory. The controller's decisions
// are the exception, as in Kafka, which answers a connection's requests one at a time anyway.
//
// Authorization is not there yet: every request may do everything.
//
// Source in Kafka: kafka.server.KafkaApis, kafka.server.ReplicaManager (appendRecords, fetchMessages), DelayedProduce,
// DelayedFetch, kafka.coordinator.transaction.RPCProducerIdManager, AutoTopicCreationManager, ConfigHelper.
package api
