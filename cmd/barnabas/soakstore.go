package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"barnabas/broker/env"
	"barnabas/reports"
)

// The files of a soak's directory.
const (
	fileSoak = "soak.json"  // the last soak that ended
	fileRuns = "runs.jsonl" // the one under way: its head, then a line a run
)

// soakHead says which soak the lines belong to.
type soakHead struct {
	Scenarios []string  `json:"scenarios"`
	Bugs      string    `json:"bugs"`
	Beyond    bool      `json:"beyond,omitempty"`
	Shard     string    `json:"shard"`
	Commit    string    `json:"commit"`
	First     uint64    `json:"first"`
	Started   time.Time `json:"started"`
}

// same tells whether a soak can go on where another was killed.
func (h *soakHead) same(o *soakHead) bool {
	return slices.Equal(h.Scenarios, o.Scenarios) && h.Bugs == o.Bugs && h.Beyond == o.Beyond && h.Shard == o.Shard && h.Commit == o.Commit
}

// soakLine is one run that is done.
type soakLine struct {
	Piece      int               `json:"piece"`
	Elapsed    time.Duration     `json:"elapsed_ns"`
	Rechecked  bool              `json:"rechecked,omitempty"`
	Regression string            `json:"regression,omitempty"`
	Dir        string            `json:"dir,omitempty"`
	Marks      map[string]uint64 `json:"marks,omitempty"` // all so far, now and then
	Run        *reports.Run      `json:"run"`
}

// soakStore keeps what a soak has done, so that one that is killed goes on.
type soakStore struct {
	name  string
	file  *os.File
	lines int               // runs begun or done
	marks map[string]uint64 // hits before the process was killed
	wrote time.Time         // when marks were written last
}

// openStore begins a soak's file, or reads back that of one that was killed; then head becomes its head. The file is locked as
// long as the soak is at work.
func openStore(out string, head *soakHead, fresh bool) (*soakStore, []soakLine, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, nil, err
	}
	s := &soakStore{name: filepath.Join(out, fileRuns), marks: map[string]uint64{}, wrote: time.Now()}
	var err error
	if s.file, err = os.OpenFile(s.name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
		return nil, nil, err
	}
	if syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		s.file.Close()
		return nil, nil, usage("another soak is at work in %s; choose another --out", out)
	}
	done, err := s.begin(head, fresh)
	if err != nil {
		s.file.Close()
		return nil, nil, err
	}
	s.lines = len(done)
	return s, done, nil
}

// begin leaves in the file what a soak that was killed has done, or the head alone.
func (s *soakStore) begin(head *soakHead, fresh bool) (done []soakLine, err error) {
	data, err := io.ReadAll(s.file)
	if err != nil {
		return nil, err
	}
	if !fresh {
		done, data = s.resume(data, head)
	}
	if len(done) > 0 {
		return done, s.file.Truncate(int64(len(data))) // a torn line goes
	}
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if err := s.file.Truncate(0); err != nil {
		return nil, err
	}
	_, err = s.file.Write(append(line, '\n'))
	return nil, err
}

// resume reads the lines of the same soak, and the bytes they take; the last line may be torn.
func (s *soakStore) resume(data []byte, head *soakHead) (done []soakLine, whole []byte) {
	var was soakHead
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if json.Unmarshal(first, &was) != nil || !was.same(head) {
		return nil, nil
	}
	end := len(first) + 1
	scan := bufio.NewScanner(bytes.NewReader(data[min(end, len(data)):]))
	scan.Buffer(nil, 64<<20)
	for scan.Scan() {
		var l soakLine
		if json.Unmarshal(scan.Bytes(), &l) != nil || l.Run == nil {
			break
		}
		end += len(scan.Bytes()) + 1
		if end > len(data) {
			break // no newline: torn
		}
		if l.Marks != nil {
			s.marks = l.Marks
		}
		done = append(done, l)
		whole = data[:end]
	}
	if len(done) > 0 {
		*head = was
	}
	return done, whole
}

// add appends a run. Of one that passed only the sums are kept.
func (s *soakStore) add(l soakLine) error {
	if l.Run.Verdict == reports.Pass {
		r := *l.Run
		r.Slices, r.Leaders, r.Nodes, r.Faults, r.Settings = nil, nil, nil, nil, nil
		l.Run = &r
	}
	if time.Since(s.wrote) > 10*time.Second {
		s.wrote = time.Now()
		l.Marks = map[string]uint64{}
		for _, m := range env.Marks() {
			if n := m.Hits + s.marks[m.Name]; n > 0 {
				l.Marks[m.Name] = n
			}
		}
	}
	line, err := json.Marshal(l)
	if err == nil {
		_, err = s.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%s: %w; a killed soak will not go on from here", s.name, err)
	}
	return nil
}

// finish removes the file: the soak has ended, and the next one begins anew.
func (s *soakStore) finish() error { return os.Remove(s.name) }

func (s *soakStore) close() { s.file.Close() }

// readSoak reads a soak's outcome back.
func readSoak(name string) (*reports.Soak, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var s reports.Soak
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, usage("%s: %w", name, err)
	}
	return &s, nil
}
