// Package client is Kafka's client on env, so that it lives in the simulated world and in the real one: a pipelined
// connection, cluster metadata, a producer, a consumer of given partitions, and an admin client.
//
// What sets it apart from other clients is that it always knows how a request ended. A connection tells whether a
// request was certainly never sent or may have been; the producer turns that into one of three outcomes for each
// record: ok, failed (it is certainly not in the log and never will be) and unknown. The judgement of histories rests
// on that difference, so where it is in doubt the answer is unknown.
//
// It never logs and goes on, never spins, never holds a mutex over network I/O, and calls callbacks with no lock held.
//
// Source in Kafka: org.apache.kafka.clients (NetworkClient, Metadata), clients.producer.internals (RecordAccumulator,
// Sender, TransactionManager), clients.consumer.internals (Fetcher, OffsetFetcher, SubscriptionState), clients.admin.
package client
