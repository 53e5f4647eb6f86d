// Package bench puts load on any Kafka-compatible cluster and measures what comes of it.
//
// It owns the workload files (strict YAML), the generator (open loop: every record has an intended time, and latency counts
// from that, so that a stall is not left out; closed loop: as much as goes through), the measuring (HDR histograms, the
// brokers' CPU and memory where they are local processes, its own slip), and the judgement whether a measurement counts. It
// draws nothing: reports/load does. It drives real clusters with franz-go, and simulated ones, of our own brokers on machines that a
// profile describes, with broker/client.
package bench
