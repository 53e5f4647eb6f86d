// Package controller runs the cluster's one controller, and stands for election on every broker.
//
// It owns three things. The machine: pure bookkeeping of brokers, assignments, partition leadership and deletions,
// and the decisions about them; its only side effects are znode writes through an interface and requests laid into a
// batch, so scripts can test it. The loop: one task that takes events (watches, requests of brokers, answers) one
// after the other and feeds the machine. The senders: one task per broker that delivers the machine's requests in order.
//
// It never touches a log or a partition of its own broker except through the requests that every broker gets. It
// never writes to ZooKeeper but under the fence of its controller epoch: a controller that has been replaced gets
// nothing done, whatever it still believes.
//
// # If you are about to make your first change
//
// Everything about the cluster is decided in the loop's task, so the machine has no locks. A step of the machine first
// writes znodes, then changes its own context to what was written, and then says it to the brokers; an error from
// ZooKeeper other than a conflict on one partition ends the term, because what was written is then not known.
// The next controller reads everything afresh.
//
// Source in Kafka: kafka.controller (KafkaController, ControllerContext, PartitionStateMachine, ReplicaStateMachine,
// TopicDeletionManager, ControllerChannelManager), kafka.server.ZkAdminManager, kafka.zk.AdminZkClient.
package controller
