// Package legacy is the consumer of Kafka 0.8: the members of a group find each other in ZooKeeper, without a coordinator.
//
// Each member registers itself in /consumers/GROUP/ids, an ephemeral node with its subscription: topics by name, or a whitelist or a blacklist, whose
// topics it looks for in /brokers/topics. Whenever the members or the partitions change,
// every member works out by itself who reads what (the range assignor over all members' threads, one each), gives up what it had, claims what it
// is to have by ephemeral nodes in /consumers/GROUP/owners, and reads from the offsets in /consumers/GROUP/offsets, where it commits too. A claim
// that another still holds makes it give all up and try again after a while.
//
// It never talks to a group coordinator, and it knows nothing of generations: what fences a member that is gone is that its session, in
// which it commits, ends before its claims do.
//
// Source in Kafka: kafka.consumer.ZookeeperConsumerConnector (removed in 2.0), kafka.consumer.RangeAssignor, kafka.consumer.TopicCount, kafka.consumer.TopicFilter.
package legacy
