package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/reports"
)

// compareLogs holds the replicas' segments against each other, byte for byte, once everything is written and the cluster
// is well: what the all-seeing checker of the simulated world does all the time. A segment that one replica has and
// another has not may have been rolled otherwise, or retention took it; of those with the same base offset one may be
// longer, but what both have must be the same. Compacted logs, which each replica's cleaner writes anew when it likes, are
// compared record by record.
func (r *realRun) compareLogs() {
	if r.c == nil {
		return
	}
	for p, s := range r.view.states() {
		tp := wire.TopicPartition{Topic: r.plan.Load.Topic, Partition: int32(p)}
		var first int32
		var kept map[string]string // paths of the first replica's segments, by name
		for _, id := range s.replicas {
			segments := r.segments(id, tp)
			if kept == nil {
				first, kept = id, segments
				continue
			}
			if r.plan.Compacted {
				if why := r.differentRecords(kept, segments); why != "" {
					r.report.Failures = append(r.report.Failures, reports.Failure{ID: "INV-COMMITTED-EQUAL", At: time.Duration(r.e.Mono()),
						Message: fmt.Sprintf("%s, broker %d and broker %d: %s", tp, first, id, why)})
				}
				continue
			}
			for _, name := range sortedKeys(segments) {
				if kept[name] == "" {
					continue
				}
				if at := r.firstDifference(kept[name], segments[name]); at >= 0 {
					r.report.Failures = append(r.report.Failures, reports.Failure{ID: "INV-COMMITTED-EQUAL", At: time.Duration(r.e.Mono()),
						Message: fmt.Sprintf("%s: the segment %s differs between broker %d and broker %d from byte %d on", tp, name, first, id, at)})
				}
			}
		}
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m { // unordered: sorted below
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// segments finds a replica's segment files.
func (r *realRun) segments(id int32, tp wire.TopicPartition) map[string]string {
	found := map[string]string{}
	for _, dir := range r.c.logDirs(brokerName(id)) {
		dir = path.Join(dir, tp.String())
		entries, err := r.e.ReadDir(dir)
		if err != nil {
			continue // not in this one
		}
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name, ".log") {
				found[entry.Name] = path.Join(dir, entry.Name)
			}
		}
	}
	return found
}

// aSegment is the newest segment of one of the replicas on a broker, "" for none.
func (r *realRun) aSegment(id int32) string {
	draw := r.e.Rand("segment")
	for range 2 * r.plan.Partitions {
		segments := r.segments(id, wire.TopicPartition{Topic: r.plan.Load.Topic, Partition: draw.Int32N(r.plan.Partitions)})
		if names := sortedKeys(segments); len(names) > 0 {
			return segments[names[len(names)-1]]
		}
	}
	return ""
}

// firstDifference is the first byte in which two files differ as far as both go, -1 if none. A file that is gone
// meanwhile differs in nothing.
func (r *realRun) firstDifference(a, b string) int64 {
	fa, err := r.e.Open(a, env.ReadOnly)
	if err != nil {
		return -1
	}
	defer fa.Close()
	fb, err := r.e.Open(b, env.ReadOnly)
	if err != nil {
		return -1
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, errA := fa.ReadAt(bufA, at)
		m, errB := fb.ReadAt(bufB, at)
		both := min(n, m)
		if !bytes.Equal(bufA[:both], bufB[:both]) {
			for i := range both {
				if bufA[i] != bufB[i] {
					return at + int64(i)
				}
			}
		}
		at += int64(both)
		if both == 0 || errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) || errA != nil || errB != nil {
			return -1
		}
	}
}
