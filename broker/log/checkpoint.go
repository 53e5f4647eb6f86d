package log

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Names of the files of a log directory, and of a partition's.
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
	startOffsetFile   = "log-start-offset-checkpoint"
	cleanerFile       = "cleaner-offset-checkpoint"
	metaFile          = "meta.properties"
	cleanFile         = ".kafka_cleanshutdown"

	epochsFile    = "leader-epoch-checkpoint"
	partitionFile = "partition.metadata"
)

var evCorrupt = env.NewKind("log-file-corrupt", env.Warn)

// smallFile bounds what is read of a file that is never large.
const smallFile = 64 << 20

// checkpointLines checks the frame of a checkpoint's text and returns its lines:
//
//	0          version
//	2          count
//	orders 0 17
//	orders 1 4
//
// Source: CheckpointFile.
func checkpointLines(data []byte) ([]string, error) {
	text, ok := strings.CutSuffix(string(data), "\n")
	if !ok {
		return nil, errors.New("the last line does not end")
	}
	lines := strings.Split(text, "\n")
	if lines[0] != "0" || len(lines) < 2 {
		return nil, fmt.Errorf("version %q and %d lines", lines[0], len(lines))
	}
	if n, err := strconv.Atoi(lines[1]); err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("%q entries promised, %d there", lines[1], len(lines)-2)
	}
	return lines[2:], nil
}

// encodeOffsets is the text of a checkpoint of offsets, sorted by partition (OffsetCheckpointFile).
func encodeOffsets(offsets map[wire.TopicPartition]int64) []byte {
	tps := make([]wire.TopicPartition, 0, len(offsets))
	for tp := range offsets { // unordered: sorted below
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	data := fmt.Appendf(nil, "0\n%d\n", len(tps))
	for _, tp := range tps {
		data = fmt.Appendf(data, "%s %d %d\n", tp.Topic, tp.Partition, offsets[tp])
	}
	return data
}

func parseOffsets(data []byte) (map[wire.TopicPartition]int64, error) {
	lines, err := checkpointLines(data)
	if err != nil {
		return nil, err
	}
	out := make(map[wire.TopicPartition]int64, len(lines))
	for _, line := range lines {
		fields := strings.Split(line, " ")
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %q is not a topic, a partition and an offset", line)
		}
		partition, err1 := strconv.ParseInt(fields[1], 10, 32)
		offset, err2 := strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil || offset < 0 {
			return nil, fmt.Errorf("line %q is not a topic, a partition and an offset", line)
		}
		out[wire.TopicPartition{Topic: fields[0], Partition: int32(partition)}] = offset
	}
	return out, nil
}

// readOffsets reads a checkpoint. One that is missing or makes no sense is empty: the first silently, the second with
// an event. That is safe for each of them: recovery then begins at 0, the high watermark is found anew.
func readOffsets(e env.Env, name string) (map[wire.TopicPartition]int64, error) {
	data, err := env.ReadFile(e, name, smallFile)
	if errors.Is(err, env.ErrNotExist) {
		return map[wire.TopicPartition]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	offsets, err := parseOffsets(data)
	if err != nil {
		e.Emit(env.Event{Kind: evCorrupt, Text: name + ": " + err.Error()})
		return map[wire.TopicPartition]int64{}, nil
	}
	return offsets, nil
}

// partition.metadata names the topic's id (PartitionMetadataFile):
//
//	version: 0
//	topic_id: AAAAAAAAAAAAAAAAAAAAAA
func encodePartition(id [16]byte) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s", base64.RawURLEncoding.EncodeToString(id[:]))
}

func parsePartition(data []byte) (id [16]byte, err error) {
	values, err := keyedLines(strings.TrimRight(string(data), "\n"), "topic_id")
	if err != nil {
		return id, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(values[0])
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%q is not a topic id", values[0])
	}
	return [16]byte(raw), nil
}

// keyedLines returns the values of a text whose first line is "version: 0" and whose others are these keys with their values, one
// each and in this order.
func keyedLines(text string, keys ...string) (values []string, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 1+len(keys) || lines[0] != "version: 0" {
		return nil, fmt.Errorf("%d lines, the first %q", len(lines), lines[0])
	}
	for i, key := range keys {
		value, ok := strings.CutPrefix(lines[i+1], key+": ")
		if !ok {
			return nil, fmt.Errorf("no %s in %q", key, lines[i+1])
		}
		values = append(values, value)
	}
	return values, nil
}

// Meta is what meta.properties says of a log directory: to which cluster and broker it belongs.
type Meta struct {
	ClusterID string // "" when the file is missing
	BrokerID  int32  // -1 when missing
}

// encode is a Java properties file, version 0, without the date that Java would put into its comment: a file is a
// function of what it says.
func (m Meta) encode() []byte {
	return fmt.Appendf(nil, "#\nbroker.id=%d\ncluster.id=%s\nversion=0\n", m.BrokerID, m.ClusterID)
}

func parseMeta(data []byte) (Meta, error) {
	m := Meta{BrokerID: -1}
	version := "0" // which need not be said
	for line := range strings.SplitSeq(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "broker.id":
			id, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return m, fmt.Errorf("broker.id=%q", value)
			}
			m.BrokerID = int32(id)
		case "cluster.id":
			m.ClusterID = value
		case "version":
			version = value
		}
	}
	if version != "0" {
		return m, fmt.Errorf("version=%q, want 0", version)
	}
	return m, nil
}

// parseDirName splits "orders-3". ok is false for what is no partition's directory.
func parseDirName(name string) (tp wire.TopicPartition, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return tp, false
	}
	partition, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || partition < 0 || strconv.FormatInt(partition, 10) != name[i+1:] {
		return tp, false
	}
	return wire.TopicPartition{Topic: name[:i], Partition: int32(partition)}, true
}

// parseFileName splits "00000000000000000017.log".
func parseFileName(name string) (offset int64, suffix string, ok bool) {
	suffix = path.Ext(name)
	digits := strings.TrimSuffix(name, suffix)
	if len(digits) != 20 {
		return 0, "", false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, suffix, err == nil && offset >= 0
}
