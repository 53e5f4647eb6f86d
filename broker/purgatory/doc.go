// Package purgatory holds requests that cannot be answered yet: a produce until its records are replicated, a fetch
// until there is enough to read. A waiter watches keys; who changes what a key stands for says Notify, and the waiter
// is asked again whether it is ready. At its deadline it is let go in any case.
//
// It never decides anything itself, never holds its lock while it asks, and never polls: the one task that drives the
// clock sleeps until the next bucket of the timing wheel expires.
//
// Source in Kafka: kafka.server.DelayedOperationPurgatory, org.apache.kafka.server.util.timer.{TimingWheel, SystemTimer}.
package purgatory
