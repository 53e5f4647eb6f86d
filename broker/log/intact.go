package log

import (
	"encoding/json"
	"errors"
	"path"
	"slices"

	"barnabas/broker/env"
)

// Whether what a broker had when it last registered is still there, and if not, since when what it has is whole.
//
// A process that ends leaves its writes in the page cache, to the next one. They go with the machine's power, and with a sync or
// a write that fails. So each log directory holds a file that vouches for it, with the name of the machine's boot and the
// broker epoch since which nothing was lost:
//
//	{"version":1,"boot":"5f0c…","intact":17,"epoch":23,"directories":2}
//
// It holds if the boot is still the same, or if the broker stopped cleanly behind it, with everything synced: then the clean-shutdown
// marker names the same epoch, that of the last registration. A life in between that keeps no account leaves another epoch
// there, -1, and removes the file where it finds it. It must hold in all directories, and in as many as there were, as a
// directory that is not there any more has lost what was in it.
//
// When a directory fails, the files go from all, before anybody is told; and no more come in this life. What a device does not even
// let go of, it may vouch for wrongly when another life finds the device well within the same boot: where there are
// several directories, another one's missing file tells.
//
// Source: none in Kafka, whose clean-shutdown marker tells of the last stop alone (KIP-966, CleanShutdownFileHandler).
type intact struct {
	on    bool
	env   env.Env
	boot  string
	since int64 // the epoch since which nothing was lost, as the directories said when they were opened; 0: not known
	epoch int64 // of the last registration that Vouch was told, -1 before

	mu   env.Mutex // held while the files are written or removed
	gone bool      // a directory has failed in this life
	dirs []*logDir
}

// intactFile vouches for a log directory. Kafka looks at directories alone there.
const intactFile = ".barnabas_intact"

type intactJSON struct {
	Version     int    `json:"version"`
	Boot        string `json:"boot"`
	Intact      int64  `json:"intact"`
	Epoch       int64  `json:"epoch"`
	Directories int    `json:"directories"`
}

func newIntact(e env.Env, on bool) *intact {
	k := &intact{on: on, env: e, epoch: -1, mu: e.NewMutex()}
	if on {
		k.boot = e.BootID()
	}
	return k
}

// watch adds a directory that is about to be opened.
func (k *intact) watch(d *logDir) {
	k.dirs = append(k.dirs, d)
	d.health.failing = func() {
		if k.on {
			k.void()
		}
		d.doubt()
	}
}

// opened reads what all directories say, now that they have been listed.
func (k *intact) opened() error {
	if !k.on {
		return nil
	}
	since := int64(0)
	for _, d := range k.dirs {
		if d.health.err() != nil || !d.vouched {
			return nil
		}
		data, err := env.ReadFile(k.env, path.Join(d.path, intactFile), smallFile)
		if err != nil {
			return d.health.fail("read "+intactFile, err)
		}
		var j intactJSON
		if json.Unmarshal(data, &j) != nil || j.Version != 1 || j.Intact <= 0 || j.Directories != len(k.dirs) {
			markVouchedByNobody.Hit()
			return nil
		}
		sameBoot := k.boot != "" && j.Boot == k.boot
		if !sameBoot && (!d.clean || d.cleanEpoch != j.Epoch) {
			markVouchedInAnotherBoot.Hit()
			return nil
		}
		since = max(since, j.Intact)
	}
	k.since = since
	return nil
}

// cleanMarkerWrong is why a log was cut whose directory had been shut down cleanly.
const cleanMarkerWrong = "the clean-shutdown marker was wrong"

// doubt takes back what the directories say if a log is not as it was left.
func (k *intact) doubt(recovered []Recovered) {
	if slices.ContainsFunc(recovered, func(r Recovered) bool { return r.CutReason == cleanMarkerWrong }) {
		k.since = 0
	}
}

// void removes the files: a directory is failing. It is called before anybody hears of it.
func (k *intact) void() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return
	}
	k.gone = true
	for _, d := range k.dirs {
		k.env.Remove(path.Join(d.path, intactFile)) // as far as the device lets us; the next boot will not believe it in any case
	}
}

// kept reports whether no directory has failed in this life, and since when.
func (k *intact) kept() (since int64, kept bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since, !k.gone
}

// stopEpoch is what a clean-shutdown marker is to say: the epoch in the files, -1 where there are none.
func (k *intact) stopEpoch() int64 {
	if !k.on {
		return -1
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

// Intact is the broker epoch since which these directories have lost nothing, as earlier lives have left word of: 0 if that is not known.
// kept is false if one has failed in this life: then they have lost something just now.
//
// With barnabas.eligible.leader.replicas.enable only; else nobody keeps account.
func (m *Manager) Intact() (since int64, kept bool) { return m.intact.kept() }

// Vouch leaves word, durably, that nothing was lost since that epoch, for the life after this one; epoch is that of the registration which said
// so. It does nothing once a directory has failed. Errors: KAFKA_STORAGE_ERROR, of the first directory that could not take it.
func (m *Manager) Vouch(since, epoch int64) error {
	failed, err := m.intact.vouch(since, epoch)
	if err == nil {
		return nil
	}
	err = failed.health.fail("write "+intactFile, err)
	failed.health.tell()
	return err
}

func (k *intact) vouch(since, epoch int64) (*logDir, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone || !k.on {
		return nil, nil
	}
	data, err := json.Marshal(intactJSON{Version: 1, Boot: k.boot, Intact: since, Epoch: epoch, Directories: len(k.dirs)})
	if err != nil {
		return k.dirs[0], err
	}
	k.epoch = -1
	for _, d := range k.dirs {
		if err := env.ReplaceFile(k.env, path.Join(d.path, intactFile), data); err != nil {
			return d, err
		}
	}
	k.epoch = epoch
	return nil, nil
}

// cleanJSON is the content of the clean-shutdown marker (CleanShutdownFileHandler.Content).
type cleanJSON struct {
	Version     int   `json:"version"`
	BrokerEpoch int64 `json:"brokerEpoch"`
}

// readClean is the epoch that the clean-shutdown marker names, -1 for none.
func readClean(e env.Env, dir string) (int64, error) {
	data, err := env.ReadFile(e, path.Join(dir, cleanFile), smallFile)
	if errors.Is(err, env.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	j := cleanJSON{BrokerEpoch: -1}
	if json.Unmarshal(data, &j) != nil {
		return -1, nil // older brokers leave it empty
	}
	return j.BrokerEpoch, nil
}
