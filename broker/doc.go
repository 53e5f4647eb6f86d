// Package broker joins the parts into a broker: it is the one place that knows everybody. It owns the order of starting
// and stopping, the ZooKeeper session's life, and the connection to the controller. It never handles a request.
//
// Source in Kafka: kafka.server.KafkaServer, kafka.server.BrokerToControllerChannelManager.
package broker
