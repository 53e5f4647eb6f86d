package env

import (
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// Env is everything outside a broker, as one node sees it. An Env belongs to one life of one node: after a crash the
// node gets a new one.
type Env interface {
	Clock
	Tasks
	Net
	FS
	Trace
	Machine

	// Rand opens the named random stream. Streams of different names are independent, so one more draw in one place
	// never shifts another. The caller owns the result, which must not be shared between tasks without a lock.
	Rand(stream string) *rand.Rand
}

// Instant is a moment on the monotonic clock: nanoseconds since an origin that is the same for one Env's whole life
// and means nothing elsewhere. Deadlines are Instants.
type Instant int64

// Never is the deadline that does not come.
const Never Instant = math.MaxInt64

// Add returns the instant d later; it stays at Never rather than overflow.
func (t Instant) Add(d time.Duration) Instant {
	if t == Never || (d > 0 && t > Never-Instant(d)) {
		return Never
	}
	return t + Instant(d)
}

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// Clock tells the time.
type Clock interface {
	// Now is the wall clock. It may jump either way: use it for timestamps that leave the broker, never for waiting.
	Now() time.Time
	// Mono is the monotonic clock. It never goes back.
	Mono() Instant
	// Sleep waits for d. A d ≤ 0 is only a scheduling point.
	Sleep(d time.Duration)
}

// Machine is what is known of the machine that a process runs on.
type Machine interface {
	// BootID names the time since the machine was last started. A process finds the same as those before it whose page cache
	// it finds, and another one after a power loss or a reboot. "" where the system does not tell.
	BootID() string
}

// Tasks starts tasks and makes the primitives they meet on.
type Tasks interface {
	// Go starts f as a task. The name is for traces and stacks ("fetcher-2").
	Go(name string, f func())
	// NewMutex makes an unlocked, non-reentrant mutex.
	NewMutex() Mutex
	// NewCond makes a condition variable on m.
	NewCond(m Mutex) Cond
}

// Mutex is mutual exclusion between tasks of one node.
type Mutex interface {
	Lock()
	Unlock()
}

// Cond is a condition variable. Its mutex must be held for Wait and WaitUntil, and may be for Signal and Broadcast.
// There are no spurious guarantees: callers re-check their condition in a loop.
type Cond interface {
	// Wait releases the mutex, waits for a Signal or Broadcast, and takes the mutex again.
	Wait()
	// WaitUntil is Wait with a deadline. It reports false if the deadline came first.
	WaitUntil(deadline Instant) bool
	// Signal wakes one waiter, the longest waiting first in the real world, a seeded choice in the simulated one.
	Signal()
	// Broadcast wakes all waiters.
	Broadcast()
}

// Net opens and accepts TCP-like byte streams. Addresses are "host:port".
type Net interface {
	// Listen binds addr; port 0 picks a free one, which Listener.Addr then tells.
	Listen(addr string) (Listener, error)
	// Dial connects to addr. Errors: ErrRefused when nobody listens, ErrTimeout after timeout.
	Dial(addr string, timeout time.Duration) (Conn, error)
}

// Listener accepts connections.
type Listener interface {
	// Accept waits for the next connection. After Close it returns ErrClosed.
	Accept() (Conn, error)
	// Addr is the bound address, with its real port.
	Addr() string
	// Close stops listening and wakes Accept.
	Close() error
}

// Conn is one end of a byte stream. One task may read while another writes; Close may be called from any task, more
// than once, and wakes both.
type Conn interface {
	// Read reads 1 to len(p) bytes. io.EOF after the peer's orderly close; ErrReset, ErrTimeout, ErrClosed.
	Read(p []byte) (int, error)
	// Write writes all of p or returns an error. It may wait while the peer does not read.
	Write(p []byte) (int, error)
	// WriteMore is Write with the hint that more follows at once: this, and what SendFile sends behind it, may be held back a while
	// until the next Write, so that an answer in parts goes out in full packets. Who has nothing left to write then writes nothing.
	WriteMore(p []byte) (int, error)
	// SendFile sends n bytes of f from offset without passing through user space where the system can (sendfile(2)
	// with an explicit offset). It returns how many bytes went out; fewer than n comes with an error.
	SendFile(f File, offset, n int64) (int64, error)
	// SetReadDeadline and SetWriteDeadline bound the calls that follow and those that wait now; Never removes it.
	SetReadDeadline(t Instant)
	SetWriteDeadline(t Instant)
	Close() error
	LocalAddr() string
	RemoteAddr() string
}

// OpenMode says how Open treats the file.
type OpenMode uint8

const (
	// ReadOnly opens an existing file for reading.
	ReadOnly OpenMode = iota
	// ReadWrite opens an existing file for both.
	ReadWrite
	// Create opens for both, creating an empty file if there is none.
	Create
	// CreateNew creates a file for both; ErrExist if there is one.
	CreateNew
)

// FS is the node's disk. Paths are slash-separated, as given in the configuration; directories must exist first.
// What is written is in the page cache until Sync; what is created, renamed or removed may be undone by a power loss
// until SyncDir of its directory.
type FS interface {
	// Open opens a file. ErrNotExist, ErrExist, ErrIO, ErrNoSpace.
	Open(name string, mode OpenMode) (File, error)
	// Rename replaces newName atomically.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll makes a directory and those above it.
	MkdirAll(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]DirEntry, error)
	// Stat describes a file or directory.
	Stat(name string) (FileInfo, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(name string) error
	// Lock takes an existing directory for this process alone, until the result is closed or the process ends, however it
	// ends. It does not wait: ErrLocked while somebody holds it, be it under another name. In the real world a file
	// ".lock" stays in the directory, the one that Kafka locks; in the simulated one there is none.
	Lock(dir string) (io.Closer, error)
}

// DirEntry is one name in a directory.
type DirEntry struct {
	Name  string
	IsDir bool
}

// FileInfo describes a file.
type FileInfo struct {
	Size    int64 // bytes
	ModTime time.Time
	IsDir   bool
}

// File is an open file. Reads and writes carry their offset; there is no shared position. Safe for concurrent use.
type File interface {
	// ReadAt fills p or returns an error with what it read; io.EOF at the end of the file.
	ReadAt(p []byte, offset int64) (int, error)
	// WriteAt writes all of p or returns an error; writing behind the end extends the file.
	WriteAt(p []byte, offset int64) (int, error)
	// Truncate sets the size, cutting or extending with zeros.
	Truncate(size int64) error
	// Size is the current size in bytes.
	Size() (int64, error)
	// Sync makes content and size durable. After an error what was dirty is lost or not, and will not be retried:
	// the caller must treat the file as failed (fsyncgate).
	Sync() error
	Close() error
	Name() string
}
