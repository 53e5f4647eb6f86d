package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicLengthMax is the longest topic name: with "-" and a partition number it must fit a file name (Topic#MAX_NAME_LENGTH).
const topicLengthMax = 249

// validateName holds a topic's name to Kafka's rules (Topic#validate). Errors are INVALID_TOPIC_EXCEPTION.
func validateName(name string) error {
	bad := func(why string) error {
		return refusal(kerr.InvalidTopicException, "Topic name is invalid: %s", why)
	}
	switch {
	case name == "":
		return bad("the empty string is not allowed")
	case name == "." || name == "..":
		return bad("'" + name + "' is not allowed")
	case len(name) > topicLengthMax:
		return bad(fmt.Sprintf("the length of '%s' is longer than the max allowed length %d", name, topicLengthMax))
	}
	for _, c := range name {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return bad("'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
		}
	}
	return nil
}

// validateCreate checks one topic of a CreateTopics request and works out what to write (ZkAdminManager#createTopics,
// AdminZkClient#validateTopicCreate).
func (m *machine) validateCreate(req *kmsg.CreateTopicsRequestTopic) (map[int32]zookeeper.ReplicaAssignment, map[string]string, error) {
	if m.topics[req.Topic] != nil {
		return nil, nil, alreadyExists(req.Topic)
	}
	configs, err := wantedConfigs(req)
	if err != nil {
		return nil, nil, err
	}
	if len(req.ReplicaAssignment) > 0 && (req.NumPartitions != -1 || req.ReplicationFactor != -1) {
		return nil, nil, refusal(kerr.InvalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set. "+
			"Both cannot be used at the same time.")
	}
	partitions, factor := req.NumPartitions, req.ReplicationFactor
	if partitions == -1 {
		partitions = m.config.NumPartitions
	}
	if factor == -1 {
		factor = m.config.DefaultReplicationFactor
	}
	assignment := map[int32]zookeeper.ReplicaAssignment{}
	if len(req.ReplicaAssignment) == 0 {
		if assignment, err = m.assign(partitions, factor); err != nil {
			return nil, nil, err
		}
	} else if assignment, err = wantedAssignment(req); err != nil {
		return nil, nil, err
	}
	if err := validateName(req.Topic); err != nil {
		return nil, nil, err
	}
	if err := m.validateCollision(req.Topic); err != nil {
		return nil, nil, err
	}
	if err := m.config.TopicDefaults().Validate(configs); err != nil {
		return nil, nil, refusal(kerr.InvalidConfig, "%v", err)
	}
	return assignment, configs, fitsTopic(req, assignment, configs)
}

// fitsTopic refuses a topic that is more than ZooKeeper takes at once.
//
// DEVIATION(ZooKeeper): Kafka sends the request, the server closes the connection, and Kafka sends it again, for ever.
func fitsTopic(req *kmsg.CreateTopicsRequestTopic, assignment map[int32]zookeeper.ReplicaAssignment, configs map[string]string) error {
	if err := zookeeper.ConfigFits(configs); err != nil {
		return refusal(kerr.InvalidConfig, "The configuration of topic '%s' cannot be written: %v", req.Topic, err)
	}
	err := zookeeper.TopicFits(zookeeper.TopicAssignment{Partitions: assignment}, configs)
	switch {
	case err == nil:
		return nil
	case len(req.ReplicaAssignment) > 0:
		return refusal(kerr.InvalidReplicaAssignment, "The assignment and configuration of topic '%s' cannot be written: %v", req.Topic, err)
	}
	return refusal(kerr.InvalidPartitions, "The %d partitions and the configuration of topic '%s' cannot be written: %v", len(assignment), req.Topic, err)
}

// tooLargeToWrite makes an answer of zookeeper.ErrTooLarge; nothing has been written then, and everything stands as it did. Another
// error is returned as it is. What is asked for is held to the limits before: this is for what they do not know of.
func tooLargeToWrite(err error) error {
	if errors.Is(err, zookeeper.ErrTooLarge) {
		return refusal(kerr.UnknownServerError, "This cannot be written: %v", err)
	}
	return err
}

func alreadyExists(name string) error {
	return refusal(kerr.TopicAlreadyExists, "Topic '%s' already exists.", name)
}

func wantedConfigs(req *kmsg.CreateTopicsRequestTopic) (map[string]string, error) {
	configs := map[string]string{}
	var null []string
	for _, c := range req.Configs {
		if c.Value == nil {
			null = append(null, c.Name)
			continue
		}
		configs[c.Name] = *c.Value
	}
	if len(null) > 0 {
		return nil, refusal(kerr.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(null, ","))
	}
	return configs, nil
}

// wantedAssignment takes the assignment that the request brings along. As in Kafka, its brokers need not exist.
func wantedAssignment(req *kmsg.CreateTopicsRequestTopic) (map[int32]zookeeper.ReplicaAssignment, error) {
	bad := func(why string) error {
		return refusal(kerr.InvalidReplicaAssignment, "%s", why)
	}
	assignment := map[int32]zookeeper.ReplicaAssignment{}
	factor := len(req.ReplicaAssignment[0].Replicas)
	for _, a := range req.ReplicaAssignment {
		switch {
		case len(a.Replicas) == 0 || len(a.Replicas) != factor:
			return nil, bad("All partitions should have the same number of replicas")
		case !distinctMembers(a.Replicas, a.Replicas):
			return nil, bad(fmt.Sprintf("Duplicate replica assignment found: %v", a.Replicas))
		case slices.Min(a.Replicas) < 0:
			return nil, bad(fmt.Sprintf("Invalid broker id in %v", a.Replicas))
		}
		assignment[a.Partition] = zookeeper.ReplicaAssignment{Replicas: slices.Clone(a.Replicas)}
	}
	for i, n := range slices.Sorted(maps.Keys(assignment)) {
		if int32(i) != n || len(assignment) != len(req.ReplicaAssignment) {
			return nil, bad("partitions should be a consecutive 0-based integer sequence")
		}
	}
	return assignment, nil
}

// validateCollision refuses a name that differs from another topic's only in '.' and '_', since metrics cannot tell
// them apart (Topic#hasCollision).
func (m *machine) validateCollision(name string) error {
	unified := strings.ReplaceAll(name, ".", "_")
	for _, other := range slices.Sorted(maps.Keys(m.topics)) {
		if strings.ReplaceAll(other, ".", "_") == unified {
			return refusal(kerr.InvalidTopicException, "Topic '%s' collides with existing topics: %s", name, other)
		}
	}
	return nil
}

// refusal is a Kafka error with a text of its own, which goes to the client.
func refusal(err *kerr.Error, format string, args ...any) error {
	return &refusalError{fmt.Sprintf(format, args...), err}
}

type refusalError struct {
	text string
	err  *kerr.Error
}

func (e *refusalError) Error() string { return e.text }
func (e *refusalError) Unwrap() error { return e.err }
