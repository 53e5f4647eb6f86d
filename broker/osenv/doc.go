// Package osenv is the real world behind package env: goroutines, sockets, files, the machine's clock.
//
// It owns the mapping of env's contract onto Linux: sendfile(2) with explicit offsets and no shared file position,
// fdatasync(2) for files and fsync(2) for directories, any number of open files with a bounded number of descriptors, TCP_CORK, deadlines through the runtime's poller, and the
// translation of the system's errors to env's. It never holds broker logic, and only cmd and tests import it.
package osenv
