package zookeeper

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// EnsurePersistentPaths creates PersistentPaths where they are missing (KafkaZkClient#createTopLevelPaths), and the parent of
// /cluster/id. What is missing is made in one transaction: a broker that starts waits for one sync of ZooKeeper's log, not
// for twenty.
func (s *Store) EnsurePersistentPaths() error {
	if err := s.ensureChroot(); err != nil {
		return err
	}
	var paths, parents []string // each behind its parent
	for _, path := range append(slices.Clone(PersistentPaths), parentPath(PathClusterID)) {
		for i := 1; i <= len(path); i++ {
			if (i == len(path) || path[i] == '/') && !slices.Contains(paths, path[:i]) {
				paths = append(paths, path[:i])
				if parent := parentPath(path[:i]); !slices.Contains(parents, parent) {
					parents = append(parents, parent)
				}
			}
		}
	}
	children := make([][]string, len(parents))
	err := s.each(len(parents), func(i int) (err error) {
		parent := parents[i]
		if parent == "" && s.options.Chroot == "" {
			parent = "/"
		}
		children[i], err = s.children(parent, false)
		return err
	})
	if err != nil {
		return err
	}
	var ops []Op
	for _, path := range paths {
		parent := parentPath(path)
		if !slices.Contains(children[slices.Index(parents, parent)], path[len(parent)+1:]) {
			ops = append(ops, CreateOp(path, nil, Persistent))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if _, _, err = s.multi(ops...); !errors.Is(err, ErrNodeExists) {
		return wrap("create", ops[0].Path, err)
	}
	for _, op := range ops { // another broker starts too, or an answer was lost
		if err := s.ensure(op.Path, nil); err != nil {
			return err
		}
	}
	return nil
}

// ensureChroot creates the chroot, one segment after the other.
func (s *Store) ensureChroot() error {
	for i, c := range s.options.Chroot + "/" {
		if c != '/' || i == 0 {
			continue
		}
		_, err := s.retry(func() error {
			_, _, err := s.session.Create(s.options.Chroot[:i], nil, Persistent)
			return err
		})
		if err != nil && !errors.Is(err, ErrNodeExists) {
			return wrap("create", s.options.Chroot[:i], err)
		}
	}
	return nil
}

// ClusterID returns the id in /cluster/id, after writing proposed there if there is none
// (KafkaZkClient#createOrGetClusterId).
func (s *Store) ClusterID(proposed string) (string, error) {
	data, _, err := s.get(PathClusterID, false)
	if errors.Is(err, ErrNoNode) {
		content := EncodeClusterID(proposed)
		lost, err := s.create(PathClusterID, content, Persistent)
		if err == nil && !lost {
			return proposed, nil
		}
		if err := s.ensure(PathClusterID, content); err != nil { // somebody else's, or an attempt of ours; or /cluster is missing
			return "", err
		}
		if data, _, err = s.get(PathClusterID, false); err != nil {
			return "", err
		}
		return DecodeClusterID(data)
	}
	if err != nil {
		return "", err
	}
	return DecodeClusterID(data)
}

// registrationSlack is how much longer than its session time-out a dead session may last: ZooKeeper rounds expiry up to its
// tick, and a new leader of the ensemble gives every session its whole time-out again.
const registrationSlack = 6 * time.Second

// RegisterBroker writes /brokers/ids/N in this session and returns the broker epoch, the znode's czxid.
//
// A znode of another session is most likely left over from an earlier life of this broker: it is waited for until it
// must have expired (KAFKA-7165: it must not be mistaken for ours, since it will go). After that the error wraps
// ErrNodeExists: another broker runs with the same id.
func (s *Store) RegisterBroker(info BrokerInfo) (epoch int64, err error) {
	path, data := PathBrokerID(info.ID), EncodeBroker(info)
	deadline := s.env.Mono().Add(s.options.SessionTimeout + registrationSlack)
	for {
		// The set brings the Stat with the czxid back, which a create does not in Kafka's ZooKeeper versions.
		results, _, err := s.multi(CreateOp(path, data, Ephemeral), SetOp(path, data, 0))
		if err == nil {
			return results[1].Stat.Czxid, nil
		}
		if !errors.Is(err, ErrNodeExists) {
			return 0, wrap("register", path, err)
		}
		exists, stat, err := s.exists(path, false)
		switch {
		case err != nil:
			return 0, wrap("register", path, err)
		case exists && stat.EphemeralOwner == s.session.ID():
			return stat.Czxid, nil // an attempt whose answer was lost
		case exists && s.env.Mono() >= deadline:
			return 0, fmt.Errorf("register %s: session 0x%x of another broker holds it: %w", path, stat.EphemeralOwner, ErrNodeExists)
		case exists:
			s.env.Sleep(s.options.RetryBackoff)
		}
	}
}

// GenerateBrokerID makes an id above reservedMax that no broker has got this way: it writes /brokers/seqid, and takes the version that
// this write made. An id whose answer was lost is left unused.
//
// Source: KafkaZkClient#generateBrokerSequenceId, KafkaServer#generateBrokerId.
func (s *Store) GenerateBrokerID(reservedMax int32) (int32, error) {
	for {
		var stat Stat
		_, err := s.retry(func() (err error) {
			stat, err = s.session.Set(s.options.Chroot+PathBrokerSequence, nil, AnyVersion)
			return err
		})
		if errors.Is(err, ErrNoNode) {
			if err := s.ensure(PathBrokerSequence, nil); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, wrap("set", PathBrokerSequence, err)
		}
		if id := int64(stat.Version) + int64(reservedMax); id <= math.MaxInt32 {
			return int32(id), nil
		}
		return 0, fmt.Errorf("%s: no broker id is left above reserved.broker.max.id, %d", PathBrokerSequence, reservedMax)
	}
}

// Brokers reads all registrations, by id, and with watch asks for an event when one comes, goes or changes.
func (s *Store) Brokers(watch bool) ([]BrokerInfo, error) {
	names, err := s.children(PathBrokerIDs, watch)
	if err != nil {
		return nil, err
	}
	found := make([]*BrokerInfo, len(names))
	err = s.each(len(names), func(i int) error {
		id, err := strconv.ParseInt(names[i], 10, 32)
		if err != nil {
			return malformed(PathBrokerIDs, "child %q is not a broker id", names[i])
		}
		data, stat, err := s.get(PathBrokerID(int32(id)), watch)
		if errors.Is(err, ErrNoNode) {
			return nil // gone since; the watch on the list tells
		}
		if err != nil {
			return err
		}
		info, err := DecodeBroker(int32(id), data)
		info.Epoch = stat.Czxid
		found[i] = &info
		return err
	})
	if err != nil {
		return nil, err
	}
	var brokers []BrokerInfo
	for _, info := range found {
		if info != nil {
			brokers = append(brokers, *info)
		}
	}
	sortBrokers(brokers)
	return brokers, nil
}

// Controller reads who holds /controller, -1 if nobody does. With watch, an event comes when that changes.
func (s *Store) Controller(watch bool) (brokerID int32, err error) {
	// Exists sets a watch on a missing node too, which Get does not.
	exists, _, err := s.exists(PathController, watch)
	if err != nil || !exists {
		return -1, err
	}
	data, _, err := s.get(PathController, false)
	if errors.Is(err, ErrNoNode) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	return DecodeController(data)
}

// ElectController takes /controller for the broker if it is free, and counts /controller_epoch up in the same
// transaction; in that one too, if it keeps lists of eligible leader replicas, it makes its reign known. ErrControllerMoved: another one
// has it, or this broker's own earlier session still has.
//
// Source: KafkaZkClient#registerControllerAndIncrementControllerEpoch.
func (s *Store) ElectController(brokerID int32) (Fence, error) {
	epoch, version, err := s.controllerEpoch()
	if err != nil {
		return Fence{}, err
	}
	next := epoch + 1
	ops := []Op{
		CreateOp(PathController, EncodeController(brokerID, s.env.Now().UnixMilli()), Ephemeral),
		SetOp(PathControllerEpoch, EncodeControllerEpoch(next), version)}
	reign := Reign{}
	if s.options.Reigns {
		op := Op{}
		if reign, op, err = s.reignUntil(next); err != nil {
			return Fence{}, err
		}
		ops = append(ops, op)
	}
	results, _, err := s.multi(ops...)
	switch {
	case err == nil:
		return Fence{Epoch: next, Version: results[1].Stat.Version, Reign: reign.First}, nil
	case errors.Is(err, ErrNodeExists), errors.Is(err, ErrBadVersion), s.options.Reigns && errors.Is(err, ErrNoNode):
		return s.electedAfterAll(brokerID, next)
	}
	return Fence{}, wrap("elect", PathController, err)
}

// reignUntil is the reign that a controller of epoch next would continue, or begin, and the operation that says so.
func (s *Store) reignUntil(next int32) (Reign, Op, error) {
	data, stat, err := s.get(PathReign, false)
	if errors.Is(err, ErrNoNode) {
		r := Reign{First: next, Last: next}
		return r, CreateOp(PathReign, EncodeReign(r), Persistent), nil
	}
	if err != nil {
		return Reign{}, Op{}, err
	}
	r, err := DecodeReign(data)
	if err != nil || r.Last != next-1 { // a znode that nobody can read is no reign
		r.First = next
	}
	r.Last = next
	return r, SetOp(PathReign, EncodeReign(r), stat.Version), nil
}

// electedAfterAll finds out whether it was an attempt of this session, its answer lost, that took /controller.
func (s *Store) electedAfterAll(brokerID, epoch int32) (Fence, error) {
	data, stat, err := s.get(PathController, false)
	if err != nil && !errors.Is(err, ErrNoNode) {
		return Fence{}, err
	}
	if err == nil && stat.EphemeralOwner == s.session.ID() {
		holder, err := DecodeController(data)
		if err != nil {
			return Fence{}, err
		}
		// The epoch is ours only if nobody was elected since: any other round has counted it up.
		current, version, err := s.controllerEpoch()
		if err != nil {
			return Fence{}, err
		}
		if holder == brokerID && current == epoch {
			f := Fence{Epoch: epoch, Version: version}
			if s.options.Reigns {
				data, _, err := s.get(PathReign, false)
				if err != nil {
					return Fence{}, err
				}
				r, err := DecodeReign(data)
				if err != nil || r.Last != epoch { // somebody has meddled with it
					r.First = epoch
				}
				f.Reign = r.First
			}
			return f, nil
		}
	}
	return Fence{}, fmt.Errorf("elect broker %d: %w", brokerID, ErrControllerMoved)
}

// controllerEpoch reads /controller_epoch, making it with epoch 0 if it is missing.
func (s *Store) controllerEpoch() (epoch, version int32, err error) {
	for {
		data, stat, err := s.get(PathControllerEpoch, false)
		if errors.Is(err, ErrNoNode) {
			if err := s.ensure(PathControllerEpoch, EncodeControllerEpoch(0)); err != nil {
				return 0, 0, err
			}
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		epoch, err := DecodeControllerEpoch(data)
		return epoch, stat.Version, err
	}
}

// ResignController deletes /controller if the fence still holds, so that everybody stands for election again.
func (s *Store) ResignController(f Fence) error { return s.fencedDelete(f, []string{PathController}) }

// EnableFeatures writes /feature as every controller does that speaks KIP-584: enabled, and without levels if there
// were none.
func (s *Store) EnableFeatures(f Fence) error {
	want := EncodeFeature(Feature{Enabled: true})
	data, stat, err := s.get(PathFeature, false)
	switch {
	case errors.Is(err, ErrNoNode):
		_, _, err = s.fenced(f, CreateOp(PathFeature, want, Persistent))
		if errors.Is(err, ErrNodeExists) {
			return nil
		}
		return err
	case err != nil:
		return err
	}
	current, err := DecodeFeature(data)
	if err != nil || current.Enabled {
		return err
	}
	_, lost, err := s.fenced(f, SetOp(PathFeature, want, stat.Version))
	if lost && errors.Is(err, ErrBadVersion) {
		return nil
	}
	return err
}

// Feature reads /feature and its version; nothing is enabled, and the version is -1, where it does not exist.
func (s *Store) Feature() (f Feature, version int32, err error) { return s.feature(false) }

// WatchFeature is Feature, with a watch.
func (s *Store) WatchFeature() (f Feature, version int32, err error) { return s.feature(true) }

func (s *Store) feature(watch bool) (f Feature, version int32, err error) {
	for {
		data, stat, err := s.get(PathFeature, watch)
		switch {
		case err == nil:
			f, err = DecodeFeature(data)
			return f, stat.Version, err
		case !errors.Is(err, ErrNoNode):
			return Feature{}, -1, err
		case !watch:
			return Feature{}, -1, nil
		}
		if there, _, err := s.exists(PathFeature, true); err != nil || !there {
			return Feature{}, -1, err
		}
	}
}

// SetFeature replaces what is in /feature, of which the version was read, under the fence (KafkaZkClient#updateFeatureZNode). Errors:
// ErrBadVersion, ErrNoNode, ErrControllerMoved.
func (s *Store) SetFeature(f Fence, feature Feature, version int32) error {
	_, lost, err := s.fenced(f, SetOp(PathFeature, EncodeFeature(feature), version))
	if lost && errors.Is(err, ErrBadVersion) {
		return nil // ours, most likely: the controller alone writes it
	}
	return err
}

// ProducerIDBlockSize is how many producer ids a broker gets at a time (ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE).
const ProducerIDBlockSize = 1000

// AllocateProducerIDs gives the next block of producer ids to a broker, under the fence
// (ZkProducerIdManager#getNewProducerIdBlock). A block whose answer was lost is left unused rather than given out twice.
func (s *Store) AllocateProducerIDs(f Fence, brokerID int32) (ProducerIDBlock, error) {
	for {
		data, stat, err := s.get(PathProducerIDBlock, false)
		if err != nil {
			return ProducerIDBlock{}, err
		}
		last, ok, err := DecodeProducerIDBlock(data)
		if err != nil {
			return ProducerIDBlock{}, err
		}
		next := ProducerIDBlock{Broker: brokerID, First: 0, Last: ProducerIDBlockSize - 1}
		if ok {
			if last.Last > math.MaxInt64-ProducerIDBlockSize {
				return ProducerIDBlock{}, fmt.Errorf("%s: all producer ids are used up (%d)", PathProducerIDBlock, last.Last)
			}
			next.First, next.Last = last.Last+1, last.Last+ProducerIDBlockSize
		}
		content := EncodeProducerIDBlock(next)
		_, lost, err := s.fenced(f, SetOp(PathProducerIDBlock, content, stat.Version))
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, ErrBadVersion) {
			return ProducerIDBlock{}, err
		}
		if now, _, err := s.get(PathProducerIDBlock, false); lost && err == nil && bytes.Equal(now, content) {
			return next, nil
		}
	}
}
