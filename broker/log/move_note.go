package log

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// moveNote is what a partition's directory says of moves between log directories, in the file log-dir-move, which is there only while
// one is under way, or if a directory has failed during one. Kafka passes over the file.
//
//	version: 0
//	number: 3     of two logs of one partition, the one with the larger number is the log; 0 where there is no note
//	to: /data/2   the log may be there by now; empty: it is not
type moveNote struct {
	number int64
	to     string
}

const noteFile = "log-dir-move"

func (n moveNote) encode() []byte {
	return fmt.Appendf(nil, "version: 0\nnumber: %d\nto: %s\n", n.number, n.to)
}

func parseMoveNote(data []byte) (n moveNote, err error) {
	text, ok := strings.CutSuffix(string(data), "\n")
	if !ok {
		return n, errors.New("the last line does not end")
	}
	values, err := keyedLines(text, "number", "to")
	if err != nil {
		return n, err
	}
	n.number, err = strconv.ParseInt(values[0], 10, 64)
	if err != nil || n.number < 0 {
		return n, fmt.Errorf("number %q", values[0])
	}
	n.to = values[1]
	return n, nil
}

// readNote reads a partition's note, all zero if there is none. One that makes no sense fails the directory: without it two logs cannot
// be told apart.
func (m *Manager) readNote(d *logDir, dir string) (moveNote, error) {
	data, err := env.ReadFile(m.env, path.Join(dir, noteFile), smallFile)
	if errors.Is(err, env.ErrNotExist) {
		return moveNote{}, nil
	}
	var n moveNote
	if err == nil {
		n, err = parseMoveNote(data)
	}
	if err != nil {
		return n, d.health.fail("read "+path.Join(dir, noteFile), err)
	}
	return n, nil
}

func (m *Manager) writeNote(d *logDir, dir string, n moveNote) error {
	if err := d.health.err(); err != nil {
		return err
	}
	if err := env.ReplaceFile(m.env, path.Join(dir, noteFile), n.encode()); err != nil {
		return d.health.fail("write "+path.Join(dir, noteFile), err)
	}
	return nil
}

// removeNote removes a note that says nothing any more. It may come back after a power loss, and says nothing then either.
func (m *Manager) removeNote(d *logDir, dir string) {
	if err := m.env.Remove(path.Join(dir, noteFile)); err != nil && !errors.Is(err, env.ErrNotExist) {
		_ = d.health.fail("remove "+path.Join(dir, noteFile), err)
	}
}

// settleMoves decides, before logs are opened, about partitions that are in two directories, and about those that may be in one which
// is offline: these are not opened, and not made anew either, since a directory is offline.
func (m *Manager) settleMoves(in []inDir) {
	where := map[wire.TopicPartition][]int{}
	var all []wire.TopicPartition
	for i := range in {
		if m.dirs[i].health.err() != nil {
			continue
		}
		for _, tp := range in[i].tps {
			if where[tp] == nil {
				all = append(all, tp)
			}
			where[tp] = append(where[tp], i)
		}
	}
	slices.SortFunc(all, wire.TopicPartition.Compare)
	for _, tp := range all {
		m.settleMove(tp, in, where[tp])
	}
}

// isOffline says that name is one of our directories, and has failed.
func (m *Manager) isOffline(name string) bool {
	return slices.ContainsFunc(m.dirs, func(d *logDir) bool { return d.path == name && d.health.err() != nil })
}

// settleMove is settleMoves for one partition; in are the numbers of the directories that have it.
func (m *Manager) settleMove(tp wire.TopicPartition, in []inDir, where []int) {
	drop := func(i int) {
		in[i].tps = slices.DeleteFunc(in[i].tps, func(other wire.TopicPartition) bool { return other == tp })
	}
	best, note, tie := -1, moveNote{}, false
	for _, i := range where {
		n, err := m.readNote(m.dirs[i], path.Join(m.dirs[i].path, tp.String()))
		if err != nil {
			continue // the directory is offline now
		}
		switch {
		case best < 0 || n.number > note.number:
			best, note, tie = i, n, false
		case n.number == note.number:
			tie = true
		}
	}
	if best < 0 || tie {
		return // two that nothing tells apart: who opens them refuses the second
	}
	if len(where) > 1 {
		markTwoLogsSettled.Hit()
	}
	for _, i := range where {
		if i == best || m.dirs[i].health.err() != nil {
			continue
		}
		d := m.dirs[i]
		m.env.Emit(env.Event{Kind: evTwoLogs, Topic: tp.Topic, Partition: tp.Partition, V: [4]int64{note.number}, Text: d.path + " loses to " + m.dirs[best].path})
		drop(i)
		gone := path.Join(d.path, m.deletedName(tp))
		err := m.env.Rename(path.Join(d.path, tp.String()), gone)
		if err == nil {
			err = m.env.SyncDir(d.path)
		}
		if err == nil {
			err = env.RemoveAll(m.env, gone)
		}
		if err != nil {
			_ = d.health.fail("delete "+tp.String(), err)
		}
	}
	d := m.dirs[best]
	if m.isOffline(note.to) {
		markPerhapsElsewhere.Hit()
		m.env.Emit(env.Event{Kind: evUnsure, Topic: tp.Topic, Partition: tp.Partition, Text: "the log in " + d.path + " may have moved to " + note.to + ", which is offline"})
		drop(best)
		return
	}
	if note != (moveNote{}) && len(m.OfflineDirs()) == 0 {
		m.removeNote(d, path.Join(d.path, tp.String()))
	}
}
