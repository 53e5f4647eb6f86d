package controller

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"barnabas/broker/zookeeper"
)

// What the watches saw is read here, each time with a new watch, and given to the machine. None of it matters while
// another broker is the controller.

func (t *term) brokersChanged() error {
	if t.machine == nil {
		return nil
	}
	now, err := t.store.Brokers(true)
	if err != nil {
		return err
	}
	return t.machine.brokersChanged(now)
}

// topicsChanged reads the list of topics, and those topics that have no watch yet.
func (t *term) topicsChanged() error {
	if t.machine == nil {
		return nil
	}
	names, err := t.store.Topics(true)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	var unwatched []string
	for _, name := range names {
		there[name] = true
		if !t.watched[name] {
			unwatched = append(unwatched, name)
		}
	}
	maps.DeleteFunc(t.watched, func(name string, _ bool) bool { return !there[name] })
	read, err := t.store.TopicAssignments(unwatched, true)
	if err != nil {
		return err
	}
	for name := range read {
		t.watched[name] = true
	}
	return t.machine.topicsFound(names, read)
}

// topicModified reads a topic whose znode has changed: it may have got more partitions.
func (t *term) topicModified(name string) error {
	if t.machine == nil {
		return nil
	}
	delete(t.watched, name)
	assignment, err := t.store.Topic(name, true)
	if errors.Is(err, zookeeper.ErrNoNode) {
		return nil // deleted: the watch on all topics tells
	}
	if err != nil {
		return err
	}
	t.watched[name] = true
	return t.machine.topicsRead(map[string]zookeeper.TopicAssignment{name: assignment})
}

// deletionsChanged reads the marks, after the topics: a mark for a topic that is not known would be taken away.
func (t *term) deletionsChanged() error {
	if t.machine == nil {
		return nil
	}
	if err := t.topicsChanged(); err != nil {
		return err
	}
	marked, err := t.store.TopicDeletions(true)
	if err != nil {
		return err
	}
	return t.machine.deletionsMarked(marked)
}

func (t *term) isrsChanged() error {
	if t.machine == nil {
		return nil
	}
	topics, err := t.store.TakeISRChanges(t.machine.fence, true)
	if err != nil {
		return err
	}
	return t.machine.isrsChanged(topics)
}

func (t *term) logDirsChanged() error {
	if t.machine == nil {
		return nil
	}
	brokers, err := t.store.TakeLogDirEvents(t.machine.fence, true)
	if err != nil {
		return err
	}
	t.machine.logDirsFailed(brokers)
	return nil
}

// reassignmentAsked reads what an old tool wants reassigned.
func (t *term) reassignmentAsked() error {
	if t.machine == nil {
		return nil
	}
	wanted, there, err := t.store.Reassignment(true)
	if err != nil {
		return err
	}
	if !there {
		t.machine.asked = nil
		return nil
	}
	return t.machine.reassignmentsAsked(wanted)
}

// preferredAsked reads for which partitions an old tool wants preferred leaders.
func (t *term) preferredAsked() error {
	if t.machine == nil {
		return nil
	}
	wanted, there, err := t.store.PreferredElection(true)
	if err != nil || !there {
		return err
	}
	return t.machine.preferredAsked(wanted)
}

// resync looks at everything that is watched.
func (t *term) resync() error {
	for _, look := range []func() error{t.brokersChanged, t.topicsChanged, t.deletionsChanged, t.isrsChanged, t.logDirsChanged,
		t.reassignmentAsked, t.preferredAsked} {
		if err := look(); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
