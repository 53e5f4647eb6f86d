package zookeeper

import (
	"errors"

	"barnabas/broker/env"
)

// Session is one client's session with ZooKeeper. Every method but Events and ID waits for the answer and may be
// called from several tasks at once; the requests of one session are pipelined and answered in order.
//
// While the connection is lost, calls fail with ErrConnectionLoss: the operation may or may not have happened. The
// session itself reconnects by itself until it is told that it has expired; then every call fails with
// ErrSessionExpired, for good, and its owner opens a new one.
type Session interface {
	// Create makes a node and returns its path, which for a sequential node has the number appended, and its Stat.
	Create(path string, data []byte, mode CreateMode) (string, Stat, error)
	// Get reads a node. With watch, one Event comes when its data changes or it is deleted.
	Get(path string, watch bool) ([]byte, Stat, error)
	// Set replaces a node's data if version matches, or always with AnyVersion.
	Set(path string, data []byte, version int32) (Stat, error)
	// Delete removes a node without children if version matches.
	Delete(path string, version int32) error
	// Exists tells whether a node is there. With watch, one Event comes when it is created, changed or deleted.
	Exists(path string, watch bool) (bool, Stat, error)
	// Children lists the names of a node's children, sorted. With watch, one Event comes when the list changes.
	Children(path string, watch bool) ([]string, Stat, error)
	// Multi does all of ops or none. The results are in the order of ops; on failure the error is that of the op
	// that failed, and OpError tells which it was.
	Multi(ops ...Op) ([]OpResult, error)
	// Sync returns once the server has seen everything that was acknowledged to anybody before the call.
	Sync(path string) error

	// Events is where watches and changes of the session's state arrive, in the order they happened, and before the
	// answer of any later call. It is closed after Close or expiry.
	Events() *env.Queue[Event]
	// ID is the session's id at the server, 0 before it is established.
	ID() int64
	// Close ends the session: its ephemeral nodes go at once.
	Close() error
}

// AnyVersion matches every version of a node.
const AnyVersion int32 = -1

// CreateMode is the kind of node to create; the values are those on the wire.
type CreateMode int32

const (
	Persistent           CreateMode = 0
	Ephemeral            CreateMode = 1
	PersistentSequential CreateMode = 2
	EphemeralSequential  CreateMode = 3
)

// Stat is what ZooKeeper keeps about a node.
type Stat struct {
	Czxid, Mzxid, Pzxid         int64 // transaction ids: created, modified, children changed
	CtimeMs, MtimeMs            int64 // wall clock, milliseconds
	Version, Cversion, Aversion int32
	EphemeralOwner              int64 // session id, 0 for a persistent node
	DataLength, NumChildren     int32
}

// OpKind is the kind of an operation inside Multi.
type OpKind uint8

const (
	OpCreate OpKind = iota
	OpSet
	OpDelete
	OpCheck
)

// Op is one operation of a Multi. Make it with CreateOp, SetOp, DeleteOp or CheckOp.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Mode    CreateMode
	Version int32
}

// CreateOp creates a node.
func CreateOp(path string, data []byte, mode CreateMode) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Mode: mode}
}

// SetOp replaces a node's data if version matches.
func SetOp(path string, data []byte, version int32) Op {
	return Op{Kind: OpSet, Path: path, Data: data, Version: version}
}

// DeleteOp removes a node if version matches.
func DeleteOp(path string, version int32) Op { return Op{Kind: OpDelete, Path: path, Version: version} }

// CheckOp requires that a node has this version.
func CheckOp(path string, version int32) Op { return Op{Kind: OpCheck, Path: path, Version: version} }

// OpResult is the outcome of one operation of a successful Multi.
type OpResult struct {
	Path string // of a create
	Stat Stat   // of a set; of a create where the server sends one, else zero: a set behind it brings it
}

// OpError is the error of a Multi that did nothing: which operation failed, and why.
type OpError struct {
	Index int
	Op    Op
	Err   error
}

func (e *OpError) Error() string { return "multi: op on " + e.Op.Path + ": " + e.Err.Error() }
func (e *OpError) Unwrap() error { return e.Err }

// EventType is what a watch saw, or that the session's state changed.
type EventType int32

const (
	EventSession             EventType = -1
	EventNodeCreated         EventType = 1
	EventNodeDeleted         EventType = 2
	EventNodeDataChanged     EventType = 3
	EventNodeChildrenChanged EventType = 4
)

// State is a session's state, in EventSession events.
type State int32

const (
	StateDisconnected State = 0    // the connection is lost; the session may still live
	StateConnected    State = 3    // connected (again)
	StateExpired      State = -112 // over, its ephemeral nodes gone
	StateClosed       State = -1   // closed by its owner
)

// Event is one watch fired, or one change of the session's state.
type Event struct {
	Type  EventType
	State State  // of EventSession
	Path  string // of the others
}

// Errors of a session. Test with errors.Is.
var (
	ErrNoNode                  = errors.New("zookeeper: node does not exist")
	ErrNodeExists              = errors.New("zookeeper: node exists")
	ErrBadVersion              = errors.New("zookeeper: version conflict")
	ErrNotEmpty                = errors.New("zookeeper: node has children")
	ErrNoChildrenForEphemerals = errors.New("zookeeper: ephemeral nodes may not have children")
	ErrBadArguments            = errors.New("zookeeper: invalid arguments")
	ErrTooLarge                = errors.New("zookeeper: more than a request may carry") // it was not sent
	ErrConnectionLoss          = errors.New("zookeeper: connection lost")
	ErrSessionExpired          = errors.New("zookeeper: session expired")
	ErrSessionClosed           = errors.New("zookeeper: session closed")
)

// Opener opens sessions: the env-native client in the simulated world, go-zookeeper in the real one. It waits until
// the session is established, or fails at the deadline with ErrConnectionLoss.
type Opener func(e env.Env, servers []string, sessionTimeoutMs int32, deadline env.Instant) (Session, error)
