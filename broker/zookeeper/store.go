package zookeeper

import (
	"time"

	"barnabas/broker/env"
)

// Store is Kafka's operations on its znodes over one session.
type Store struct{}

// StoreOptions is what a Store needs besides its session.
type StoreOptions struct {
	Chroot         string        // "/kafka"; "" for none
	SessionTimeout time.Duration // how long a stale registration of this broker may outlive its session
}

// NewStore makes a store over a session. Its owner calls Run once everything that listens has been started.
func NewStore(e env.Env, session Session, o StoreOptions) *Store { panic("unfinished") }

// Listen has f called for every event of the session, in order, in the task of Run. f must not wait.
func (s *Store) Listen(f func(Event)) { panic("unfinished") }

// Run reads the session's events until the session is over, and says how it ended: StateExpired or StateClosed.
func (s *Store) Run() State { panic("unfinished") }

// Close ends the session.
func (s *Store) Close() error { panic("unfinished") }

// EnsurePersistentPaths creates the persistent znodes that Kafka creates at start-up where they are missing.
func (s *Store) EnsurePersistentPaths() error { panic("unfinished") }

// ClusterID returns the id in /cluster/id, after writing proposed there if there is none.
func (s *Store) ClusterID(proposed string) (string, error) { panic("unfinished") }

// RegisterBroker writes /brokers/ids/N in this session and returns the broker epoch.
func (s *Store) RegisterBroker(info BrokerInfo) (epoch int64, err error) { panic("unfinished") }

// BrokerInfo is what a broker says about itself in /brokers/ids/N.
type BrokerInfo struct {
	ID        int32
	Endpoints []Endpoint
	Rack      string // "" without one
	JmxPort   int32  // -1 without one
	Timestamp int64  // ms since 1970
	Version   int    // of the JSON form; 5 when written by us
	Epoch     int64  // czxid; not in the JSON
}

// Endpoint is one advertised listener.
type Endpoint struct {
	Listener string // "PLAINTEXT"
	Protocol string // "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
	Host     string
	Port     int32
}
