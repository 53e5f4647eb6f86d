// Package workload is what the clients of a scenario do: producers that pace themselves, consumers that follow and
// jump back, and the final drain that reads everything. Each operation and what its client was told goes into the
// history. It never decides whether that was right: linearizability does.
package workload
