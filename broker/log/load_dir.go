package log

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// openDir lists the partition's directory, if there is one, and removes what an interrupted replacement left.
func (l *Log) openDir() (names []string, created bool, err error) { return l.listDir(false) }

// listDir is openDir; again says that interrupted replacements are finished.
func (l *Log) listDir(again bool) (names []string, created bool, err error) {
	entries, err := l.env.ReadDir(l.path)
	if errors.Is(err, env.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, suffixCleaned) || strings.HasSuffix(e.Name, ".tmp") || strings.HasSuffix(e.Name, suffixDeleted) {
			if err := l.env.Remove(path.Join(l.path, e.Name)); err != nil {
				return nil, false, err
			}
			continue
		}
		names = append(names, e.Name)
	}
	if !again {
		changed, err := l.finishSwaps(names)
		if err != nil {
			return nil, false, err
		}
		if changed {
			markInterruptedSwapFinished.Hit()
			return l.listDir(true)
		}
	}
	return names, false, nil
}

// checkTopicID compares, or writes, partition.metadata.
func (l *Log) checkTopicID(id [16]byte, created bool) error {
	name := path.Join(l.path, partitionFile)
	if !created {
		data, err := env.ReadFile(l.env, name, smallFile)
		switch {
		case errors.Is(err, env.ErrNotExist):
		case err != nil:
			return l.fail("read "+partitionFile, err)
		default:
			if l.topicID, err = parsePartition(data); err != nil {
				l.emitCorrupt(name, err)
			}
		}
	}
	return l.setTopicID(id)
}

// AssignTopicID writes down the topic's id, for a log that was opened when nobody knew it.
//
// Errors: INCONSISTENT_TOPIC_ID when another one is known, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR. Source: UnifiedLog#assignTopicId.
func (l *Log) AssignTopicID(id [16]byte) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.setTopicID(id)
}

// setTopicID writes the topic's id if none is known. INCONSISTENT_TOPIC_ID when another one is.
func (l *Log) setTopicID(id [16]byte) error {
	if id == [16]byte{} || id == l.topicID {
		return nil
	}
	if l.topicID != [16]byte{} {
		return fmt.Errorf("%s: topic id is %x, not %x: %w", l.tp, l.topicID, id, kerr.InconsistentTopicID)
	}
	if l.unborn {
		l.topicID = id
		return nil
	}
	if err := env.ReplaceFile(l.env, path.Join(l.path, partitionFile), encodePartition(id)); err != nil {
		return l.fail("write "+partitionFile, err)
	}
	l.topicID = id
	return nil
}

func (l *Log) emitCorrupt(name string, err error) {
	l.env.Emit(env.Event{Kind: evCorrupt, Topic: l.tp.Topic, Partition: l.tp.Partition, Text: name + ": " + err.Error()})
}

// openSegments opens all there are, or makes the first, and removes indexes whose segment is gone.
func (l *Log) openSegments(names []string, first int64) error {
	have := map[int64]bool{}
	for _, name := range names {
		offset, suffix, ok := parseFileName(name)
		if !ok || suffix != suffixLog {
			continue
		}
		g, err := openSegment(l.env, l.path, offset, env.ReadWrite)
		if err != nil {
			return err
		}
		g.createdMs = l.env.Now().UnixMilli()
		l.segments = append(l.segments, g)
		have[offset] = true
	}
	for _, name := range names {
		offset, suffix, ok := parseFileName(name)
		if ok && (suffix == suffixIndex || suffix == suffixTime || suffix == suffixTxn) && !have[offset] {
			if err := l.env.Remove(path.Join(l.path, name)); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	if len(l.segments) > 0 {
		return nil
	}
	if l.unborn {
		l.segments = append(l.segments, unbornSegment(l.env, l.path))
		return nil
	}
	if err := l.env.SyncDir(path.Dir(l.path)); err != nil {
		return err
	}
	g, err := createSegment(l.env, l.path, first, l.env.Now().UnixMilli())
	if err != nil {
		return err
	}
	l.segments = append(l.segments, g)
	return nil
}
