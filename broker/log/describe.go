package log

import "barnabas/broker/wire"

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
		dirs = append(dirs, info)
	}
	return dirs
}
