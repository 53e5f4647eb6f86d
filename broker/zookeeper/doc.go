// Package zookeeper is what Barnabas knows about ZooKeeper: the session interface, Kafka's znode layout (kafka.zk.ZkData)
// and its write rules (kafka.zk.KafkaZkClient). Below it stand jute (the wire codec), client (a session on env) and
// server (the embedded ZooKeeper). It never keeps cluster state of its own: broker/controller does.
package zookeeper
