package log

import (
	"slices"

	"barnabas/broker/wire"
)

// DirInfo is what there is in one log directory.
type DirInfo struct {
	Path string
	Err  error // KAFKA_STORAGE_ERROR once it has failed
	Logs []Info
}

// Info is the size of one log.
type Info struct {
	TP                       wire.TopicPartition
	Size                     int64 // bytes
	HighWatermark, EndOffset int64
	Future                   bool  // it is a copy, on its way into this directory
	Behind                   int64 // of a copy: how many offsets the log is ahead of it; -1 if the log is not there
}

// Describe lists the log directories in the order of the configuration, and the logs in each, sorted.
func (m *Manager) Describe() []DirInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	var dirs []DirInfo
	for _, d := range m.dirs {
		info := DirInfo{Path: d.path, Err: d.health.err()}
		for _, tp := range m.list(d) {
			l := m.logs[tp].log
			info.Logs = append(info.Logs, Info{TP: tp, Size: l.Size(), HighWatermark: l.HighWatermark(), EndOffset: l.EndOffset()})
		}
		for tp, h := range m.futures { // unordered: sorted below
			if h.dir != d {
				continue
			}
			copied := Info{TP: tp, Size: h.log.Size(), EndOffset: h.log.EndOffset(), Future: true, Behind: -1}
			if of := m.logs[tp]; of != nil {
				copied.HighWatermark, copied.Behind = of.log.HighWatermark(), max(of.log.EndOffset()-copied.EndOffset, 0)
			}
			info.Logs = append(info.Logs, copied)
		}
		slices.SortFunc(info.Logs, func(a, b Info) int { return a.TP.Compare(b.TP) })
		dirs = append(dirs, info)
	}
	return dirs
}
