// Package quota measures rates over sliding windows and says how long to hold back whoever exceeds one.
//
// It owns five things. Rate: a value per second over some samples. Clients: what producers, consumers and requests of each user and client
// id may use, and for how long a connection is muted that used more. Mutations: the partitions that a request may have created and
// deleted, out of a bucket of tokens. Replication: what may be moved for replicas that catch up. Addresses:
// how many connections a second an IP address may make, which the server holds it to. It never waits itself, and knows neither sockets nor partitions.
//
// Source in Kafka: org.apache.kafka.common.metrics.stats.Rate, kafka.server.ClientQuotaManager, ClientRequestQuotaManager,
// ReplicationQuotaManager, ControllerMutationQuotaManager. KIP-13, KIP-55, KIP-73, KIP-124, KIP-219, KIP-546, KIP-599, KIP-612.
package quota
