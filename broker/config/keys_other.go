package config

import (
	"fmt"
	"strings"
)

// Why a key of Kafka's has no effect here, where several share the reason.
const (
	classicGroups = "groups are of the classic protocol, as in ZooKeeper mode"
	forKRaft      = "it is for KRaft, and coordination here is by ZooKeeper"
	noJavaMetrics = "there are no metrics of the Java kind"
	systemDefault = "the system's default is used"
	noTiers       = "there is no tiered storage"
	plaintextOnly = "SASL and SSL are not supported, only PLAINTEXT"
	noACLs        = "there are no ACLs: everybody may do everything"
	waitersLeave  = "finished waiters leave at once"
)

// inert are keys of Kafka's that a server.properties may hold and that have no effect here; the value says why.
//
// DEVIATION(KafkaConfig): they are taken, so that a server.properties of Kafka's is, and each is a warning at the start.
var inert = map[string]string{
	"auto.include.jmx.reporter":                                   noJavaMetrics,
	"background.threads":                                          "background work has its own tasks",
	"connection.failed.authentication.delay.ms":                   "nobody authenticates",
	"controller.quorum.voters":                                    "coordination is by ZooKeeper",
	"delete.records.purgatory.purge.interval.requests":            waitersLeave,
	"fetch.purgatory.purge.interval.requests":                     waitersLeave,
	"group.consumer.assignors":                                    classicGroups,
	"group.consumer.heartbeat.interval.ms":                        classicGroups,
	"group.consumer.max.heartbeat.interval.ms":                    classicGroups,
	"group.consumer.max.session.timeout.ms":                       classicGroups,
	"group.consumer.max.size":                                     classicGroups,
	"group.consumer.migration.policy":                             classicGroups,
	"group.consumer.min.heartbeat.interval.ms":                    classicGroups,
	"group.consumer.min.session.timeout.ms":                       classicGroups,
	"group.consumer.session.timeout.ms":                           classicGroups,
	"group.coordinator.append.linger.ms":                          classicGroups,
	"group.coordinator.new.enable":                                classicGroups,
	"group.coordinator.rebalance.protocols":                       classicGroups,
	"group.coordinator.threads":                                   classicGroups,
	"group.share.delivery.count.limit":                            classicGroups,
	"group.share.enable":                                          classicGroups,
	"group.share.heartbeat.interval.ms":                           classicGroups,
	"group.share.max.groups":                                      classicGroups,
	"group.share.max.heartbeat.interval.ms":                       classicGroups,
	"group.share.max.record.lock.duration.ms":                     classicGroups,
	"group.share.max.session.timeout.ms":                          classicGroups,
	"group.share.max.size":                                        classicGroups,
	"group.share.min.heartbeat.interval.ms":                       classicGroups,
	"group.share.min.record.lock.duration.ms":                     classicGroups,
	"group.share.min.session.timeout.ms":                          classicGroups,
	"group.share.partition.max.record.locks":                      classicGroups,
	"group.share.record.lock.duration.ms":                         classicGroups,
	"group.share.session.timeout.ms":                              classicGroups,
	"inter.broker.listener.name":                                  "there is one listener, PLAINTEXT",
	"inter.broker.protocol.version":                               "brokers speak 3.9",
	"kafka.metrics.polling.interval.secs":                         noJavaMetrics,
	"kafka.metrics.reporters":                                     noJavaMetrics,
	"listener.security.protocol.map":                              "there is one listener, PLAINTEXT",
	"log.dir.failure.timeout.ms":                                  "a failed directory is told through ZooKeeper",
	"log.flush.start.offset.checkpoint.interval.ms":               "the log start is checkpointed with the recovery point",
	"log.initial.task.delay.ms":                                   "background work begins with the start",
	"log.local.retention.bytes":                                   noTiers,
	"log.local.retention.ms":                                      noTiers,
	"log.message.format.version":                                  "batches are version 2, as with inter.broker.protocol.version 3.0 and later",
	"max.request.partition.size.limit":                            "DescribeTopicPartitions is not served in ZooKeeper mode",
	"metric.reporters":                                            noJavaMetrics,
	"metrics.num.samples":                                         noJavaMetrics,
	"metrics.recording.level":                                     noJavaMetrics,
	"metrics.sample.window.ms":                                    noJavaMetrics,
	"num.io.threads":                                              "every connection has its own tasks",
	"num.network.threads":                                         "every connection has its own tasks",
	"num.replica.alter.log.dirs.threads":                          "a move has a task of its own",
	"offsets.commit.required.acks":                                "commits wait for all in-sync replicas",
	"offsets.load.buffer.size":                                    "the topic is read a MiB at a time",
	"offsets.topic.compression.codec":                             "offsets are written uncompressed",
	"producer.id.expiration.check.interval.ms":                    "idle producers are looked for with log.retention.check.interval.ms",
	"producer.purgatory.purge.interval.requests":                  waitersLeave,
	"queued.max.request.bytes":                                    "what waits on a connection is bounded by socket.request.max.bytes and barnabas.requests.in.flight.max",
	"queued.max.requests":                                         "see barnabas.requests.in.flight.max",
	"replica.socket.receive.buffer.bytes":                         systemDefault,
	"request.timeout.ms":                                          "each kind of request between brokers has a time of its own",
	"security.inter.broker.protocol":                              "brokers speak PLAINTEXT",
	"socket.connection.setup.timeout.max.ms":                      systemDefault,
	"socket.connection.setup.timeout.ms":                          systemDefault,
	"socket.listen.backlog.size":                                  systemDefault,
	"socket.receive.buffer.bytes":                                 systemDefault,
	"socket.send.buffer.bytes":                                    systemDefault,
	"telemetry.max.bytes":                                         "clients' telemetry is not collected",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "every transaction has a timer of its own",
	"transaction.state.log.load.buffer.size":                      "the topic is read a MiB at a time",
	"unclean.leader.election.interval.ms":                         "an election is made when it is needed",
	"unstable.api.versions.enable":                                "no version is held back",
	"unstable.feature.versions.enable":                            "no version is held back",
	"zookeeper.max.in.flight.requests":                            "requests to ZooKeeper are pipelined without a bound",
	"zookeeper.set.acl":                                           "the nodes are open to everybody",
}

// refused are keys of Kafka's, and beginnings of such, that would be a promise which is not kept; why says which. Sorted by name.
//
// DEVIATION(KafkaConfig): Kafka has what they ask for.
var refused = []struct{ name, why string }{
	{"alter.config.policy.class.name", "Java classes cannot be loaded"},
	{"authorizer.class.name", noACLs},
	{"broker.heartbeat.interval.ms", forKRaft},
	{"broker.session.timeout.ms", forKRaft},
	{"client.quota.callback.class", "Java classes cannot be loaded"},
	{"connections.max.reauth.ms", "SASL is not supported, only PLAINTEXT"},
	{"control.plane.listener.name", "there is one listener"},
	{"controller.listener.names", forKRaft},
	{"controller.quorum.append.", forKRaft},
	{"controller.quorum.bootstrap.", forKRaft},
	{"controller.quorum.election.", forKRaft},
	{"controller.quorum.fetch.", forKRaft},
	{"controller.quorum.request.", forKRaft},
	{"controller.quorum.retry.", forKRaft},
	{"create.topic.policy.class.name", "Java classes cannot be loaded"},
	{"delegation.token.", "SASL is not supported, only PLAINTEXT"},
	{"early.start.listeners", noACLs},
	{"eligible.leader.replicas.enable", forKRaft},
	{"initial.broker.registration.timeout.ms", forKRaft},
	{"listener.name.", plaintextOnly},
	{"local.retention.", noTiers},
	{"metadata.", forKRaft},
	{"node.id", "it is for KRaft, and coordination here is by ZooKeeper; write broker.id"},
	{"password.encoder.", plaintextOnly},
	{"principal.builder.class", plaintextOnly},
	{"process.roles", forKRaft},
	{"remote.", noTiers},
	{"sasl.", "SASL is not supported, only PLAINTEXT"},
	{"security.providers", plaintextOnly},
	{"server.max.startup.time.ms", forKRaft},
	{"ssl.", "SSL is not supported, only PLAINTEXT"},
	{"super.users", noACLs},
	{"zookeeper.clientCnxnSocket", "SSL is not supported, only PLAINTEXT"},
	{"zookeeper.metadata.migration.", forKRaft},
	{"zookeeper.ssl.", "SSL is not supported, only PLAINTEXT"},
}

// refusal is why a key of Kafka's is not taken, if it is one: itself, or all that begin like it up to a point.
func refusal(key string) (why string, ok bool) {
	for _, r := range refused {
		if key == r.name || strings.HasSuffix(r.name, ".") && strings.HasPrefix(key, r.name) {
			return r.why, true
		}
	}
	return "", false
}

// demand checks the value of an inert key where one value alone tells no lie.
func demand(key, value string) error {
	only := ""
	switch key {
	case "inter.broker.listener.name", "security.inter.broker.protocol":
		only = "PLAINTEXT"
	case "zookeeper.set.acl":
		only = "false"
	}
	if only != "" && value != only {
		return fmt.Errorf("%s: %q is not supported, only %s", key, value, only)
	}
	return nil
}
