// Package disk is the simulated disk of one node. It outlives the node's lives.
//
// # What it owns
//
// Files and directories, each in two states: what the page cache holds, which is what every reader sees, and what the
// device holds, which is what a power loss leaves. The two differ by a log of unsynced writes per file and a log of
// unsynced directory operations for the whole disk; File.Sync and FS.SyncDir empty them.
//
//   - A process crash keeps the cache: the next life sees everything the last one wrote.
//   - A power loss keeps, of each file, a random subset of the unsynced writes, torn at 512-byte sectors, and of the
//     directory operations a random prefix, of the whole disk or of each directory, as journalling file systems do.
//     A truncation is metadata: when it is lost, nothing that was written behind it later survives either.
//   - A new file's Sync makes its content durable, but not its name: that takes SyncDir. (ext4 is kinder.)
//   - A failed Sync leaves the data readable and marks it clean, as Linux does: the next Sync succeeds without having
//     written it, and a power loss loses it.
//
// # What it never does
//
// It knows no scheduler: whoever runs a life gives it a Host, the only way the disk waits, tells the time or reports
// events. It draws chance only from the streams it is given, and never ranges over a map.
//
// # Its model
//
// Linux: the page cache, ext4's ordered mode and XFS's zeroed tails, and "Can Applications Recover from fsync
// Failures?" (Rebello et al., ATC 2020) for what a failed fsync leaves behind.
package disk
