// Package network is the simulated network: TCP-like byte streams between the hosts of one world.
//
// # What it owns
//
// Hosts, listeners, connections, and for every ordered pair of hosts a link with its own random stream: a latency that
// is mostly fast and sometimes slow, a bandwidth shared by its connections, loss that shows as delay, and the faults
// below. Each direction of a connection is first in, first out; a bounded window holds a writer back.
//
// # Faults
//
//   - Partition, one way or both: segments sent or under way are held and come after the heal, as retransmissions do.
//     While one direction is cut the other still delivers, but its acknowledgements do not return, so its writer fills
//     the window. A connection that makes no progress for Profile.GiveUp breaks with ErrTimeout.
//   - Reset: both ends get ErrReset. What a crashed process leaves behind is closed by its host's kernel, with a FIN or
//     a RST; a RST sent into a partition is lost.
//   - Power loss sends nothing. The peer notices when its next segment reaches the restarted host and is answered by a
//     RST, or when it gives up.
//   - Dial: ErrRefused when nobody listens, ErrTimeout through a partition, to a host that is down, or into a full
//     backlog. SYNs are sent again.
//   - Slow (latency times a factor), Clog (nothing passes for a while, then everything does).
//
// Each kind counts how often it really touched a segment or a dial (Fired).
//
// # What it never does
//
// It never copies a byte wrongly, duplicates or reorders within a direction: that is TCP's promise. It holds no state
// outside of one Network.
package network
