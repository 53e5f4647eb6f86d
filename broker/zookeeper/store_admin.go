package zookeeper

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"barnabas/broker/wire"
)

// The znodes by which tools older than KIP-455 and KIP-460 ask the controller for something: they write one, the controller
// works it off and removes it.

// Reassignment reads /admin/reassign_partitions; there is false if nobody has asked. With watch an event comes when that
// changes. A malformed znode is taken for an empty one, which the controller removes: it would be met again by every
// controller otherwise.
func (s *Store) Reassignment(watch bool) (wanted map[wire.TopicPartition][]int32, there bool, err error) {
	data, there, err := s.asked(PathReassignPartitions, watch)
	if err != nil || !there {
		return nil, false, err
	}
	if wanted, err = DecodeReassignment(data); err != nil {
		return map[wire.TopicPartition][]int32{}, true, nil
	}
	return wanted, true, nil
}

// SetReassignment writes what is left to be reassigned, and removes the znode when nothing is.
func (s *Store) SetReassignment(f Fence, wanted map[wire.TopicPartition][]int32) error {
	if len(wanted) == 0 {
		return s.fencedDelete(f, []string{PathReassignPartitions})
	}
	_, _, err := s.fenced(f, SetOp(PathReassignPartitions, EncodeReassignment(wanted), AnyVersion))
	if errors.Is(err, ErrNoNode) && !errors.Is(err, ErrControllerMoved) {
		return nil // the tool has taken it back; that does not cancel what was begun
	}
	return err
}

// PreferredElection reads /admin/preferred_replica_election, as Reassignment does.
func (s *Store) PreferredElection(watch bool) (wanted []wire.TopicPartition, there bool, err error) {
	data, there, err := s.asked(PathPreferredElection, watch)
	if err != nil || !there {
		return nil, false, err
	}
	wanted, err = DecodeISRChange(PathPreferredElection, data) // the form is the same
	if err != nil {
		return nil, true, nil
	}
	return wanted, true, nil
}

// ClearPreferredElection removes /admin/preferred_replica_election.
func (s *Store) ClearPreferredElection(f Fence) error {
	return s.fencedDelete(f, []string{PathPreferredElection})
}

// asked reads a znode that may not be there; the watch is set in either case.
func (s *Store) asked(path string, watch bool) (data []byte, there bool, err error) {
	if there, _, err = s.exists(path, watch); err != nil || !there {
		return nil, false, err
	}
	data, _, err = s.get(path, false)
	if errors.Is(err, ErrNoNode) {
		return nil, false, nil // the watch tells
	}
	return data, err == nil, err
}

// configChangeAge is how long a note in /config/changes is kept (ZkNodeChangeNotificationListener).
const configChangeAge = 15 * time.Minute

// ConfigChanges reads the notes in /config/changes with a number above after, in their order, and returns the entities that
// they name ("topics/t", "brokers/<default>"), each once, with the highest number. Notes that are older than 15 minutes are
// removed. With watch an event comes with the next one.
func (s *Store) ConfigChanges(after int64, watch bool) (entities []string, last int64, err error) {
	names, err := s.children(PathConfigChanges, watch)
	if err != nil {
		return nil, after, err
	}
	last = after
	for _, name := range names { // sorted: the numbers have ten digits
		number, ok := sequence(name)
		if !ok {
			continue
		}
		path := PathConfigChanges + "/" + name
		data, stat, err := s.get(path, false)
		if errors.Is(err, ErrNoNode) {
			continue // somebody has found it too old
		}
		if err != nil {
			return nil, after, err
		}
		if number > after {
			last = max(last, number)
			if entity, err := DecodeConfigChange(path, data); err == nil && !slices.Contains(entities, entity) {
				entities = append(entities, entity)
			}
		}
		if s.env.Now().UnixMilli()-stat.CtimeMs > configChangeAge.Milliseconds() {
			if err := s.delete(path); err != nil {
				return nil, after, err
			}
		}
	}
	return entities, last, nil
}

// sequence is the number at the end of a sequential znode's name.
func sequence(name string) (int64, bool) {
	const digits = 10
	if len(name) < digits {
		return 0, false
	}
	n, err := strconv.ParseInt(name[len(name)-digits:], 10, 64)
	return n, err == nil
}
