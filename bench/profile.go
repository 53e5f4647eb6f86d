package bench

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"barnabas/reports/load"
	"barnabas/sim/cpu"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// Profile is the machines, links and disks of a simulated cluster. It is a file in strict YAML, written by a planner or by
// `bench calibrate`.
type Profile struct {
	Name    string         `yaml:"name"`
	Title   string         `yaml:"title"`
	Machine ProfileMachine `yaml:"machine"`
	Zones   ProfileZones   `yaml:"zones,omitempty"`
	Network ProfileNetwork `yaml:"network"`
	Disk    ProfileDisk    `yaml:"disk"`
	Broker  ProfileCosts   `yaml:"broker"`
	Client  ProfileCosts   `yaml:"client"`
}

// ProfileMachine is each broker's machine.
type ProfileMachine struct {
	Cores  int  `yaml:"cores"`
	Shared bool `yaml:"shared,omitempty"` // all brokers and the clients are on one machine
	// Each core is away, for other processes or other guests of the host, for AwayFor every AwayEvery, on average.
	AwayEvery Duration `yaml:"away_every,omitempty"`
	AwayFor   Duration `yaml:"away_for,omitempty"`
}

// ProfileZones is where brokers stand: in turn in zones, the clients in the first.
type ProfileZones struct {
	Count   int      `yaml:"count,omitempty"`
	Between Duration `yaml:"between,omitempty"` // added to what goes from one zone to another, one way
}

// ProfileNetwork is each link.
type ProfileNetwork struct {
	LatencyMin Duration `yaml:"latency_min"` // one way, waking the receiver included; even between the two
	LatencyMax Duration `yaml:"latency_max"`
	SlowOneIn  int      `yaml:"slow_one_in,omitempty"` // how often it takes longer: by SlowMean on average, exponentially
	SlowMean   Duration `yaml:"slow_mean,omitempty"`
	LossOneIn  int      `yaml:"loss_one_in,omitempty"`
	Bandwidth  Size     `yaml:"bandwidth"` // bytes/s
}

// ProfileDisk is each broker's disk. Writes reach it when they are synced; until then they cost CPU alone.
type ProfileDisk struct {
	Seek           Duration `yaml:"seek"`
	Bandwidth      Size     `yaml:"bandwidth"` // bytes/s
	Flush          Duration `yaml:"flush"`     // of a sync
	FlushTail      Duration `yaml:"flush_tail,omitempty"`
	FlushTailOneIn int      `yaml:"flush_tail_one_in,omitempty"`
}

// ProfileCosts is what calls take on a core; see cpu.Costs. Bytes are in ns each.
type ProfileCosts struct {
	Read          Duration `yaml:"read"`
	Write         Duration `yaml:"write"`
	FileWrite     Duration `yaml:"file_write,omitempty"`
	FileRead      Duration `yaml:"file_read,omitempty"`
	ReadByte      float64  `yaml:"read_byte"`
	WriteByte     float64  `yaml:"write_byte"`
	FileWriteByte float64  `yaml:"file_write_byte,omitempty"`
	FileReadByte  float64  `yaml:"file_read_byte,omitempty"`
	SendByte      float64  `yaml:"send_byte,omitempty"`
	Record        Duration `yaml:"record,omitempty"` // of a client, for each record made or taken
}

//go:embed profiles/*.yaml
var embeddedProfiles embed.FS

// ProfileNames lists the profiles that come with the program.
func ProfileNames() []string {
	entries, _ := embeddedProfiles.ReadDir("profiles")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	sort.Strings(names)
	return names
}

// ReadProfile finds a profile: a file, or one that comes with the program by its name.
func ReadProfile(name string) (*Profile, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		var inner error
		if data, inner = embeddedProfiles.ReadFile(path.Join("profiles", name+".yaml")); inner != nil {
			if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			return nil, fmt.Errorf("%s: no such file, and none of the profiles: %s", name, strings.Join(ProfileNames(), ", "))
		}
	}
	return ParseProfile(name, data)
}

// ParseProfile reads one profile. Errors name the file and the line.
func ParseProfile(file string, data []byte) (*Profile, error) {
	p := Profile{Machine: ProfileMachine{Cores: 1}, Zones: ProfileZones{Count: 1}}
	if err := load.Strict(file, data, &p); err != nil {
		return nil, err
	}
	if field, err := p.check(); err != nil {
		return nil, fmt.Errorf("%s:%s %s: %w", file, line(data, field), strings.TrimPrefix(field, "$."), err)
	}
	return &p, nil
}

func (p *Profile) check() (string, error) {
	if p.Zones.Count == 0 {
		p.Zones.Count = 1
	}
	if !nameForm.MatchString(p.Name) {
		return "$.name", fmt.Errorf("%q: lower-case letters, digits and -, please", p.Name)
	}
	for _, r := range []struct {
		field     string
		v         int64
		low, high int64
	}{
		{"$.machine.cores", int64(p.Machine.Cores), 1, 1024},
		{"$.zones.count", int64(p.Zones.Count), 1, 100},
		{"$.network.slow_one_in", int64(p.Network.SlowOneIn), 0, 1 << 40},
		{"$.network.loss_one_in", int64(p.Network.LossOneIn), 0, 1 << 40},
		{"$.network.bandwidth", int64(p.Network.Bandwidth), 1000, 1 << 45},
		{"$.disk.bandwidth", int64(p.Disk.Bandwidth), 1000, 1 << 45},
		{"$.disk.flush_tail_one_in", int64(p.Disk.FlushTailOneIn), 0, 1 << 40},
	} {
		if err := within(r.v, r.low, r.high); err != nil {
			return r.field, err
		}
	}
	const longest = Duration(time.Second)
	for _, r := range []struct {
		field        string
		v, low, high Duration
	}{
		{"$.machine.away_for", p.Machine.AwayFor, 0, 60 * longest},
		{"$.zones.between", p.Zones.Between, 0, longest},
		{"$.network.latency_min", p.Network.LatencyMin, 0, longest},
		{"$.network.latency_max", p.Network.LatencyMax, p.Network.LatencyMin, longest},
		{"$.network.slow_mean", p.Network.SlowMean, 0, longest},
		{"$.disk.seek", p.Disk.Seek, 0, longest},
		{"$.disk.flush", p.Disk.Flush, 0, longest},
		{"$.disk.flush_tail", p.Disk.FlushTail, 0, 10 * longest},
	} {
		if err := lasts(r.v, r.low, r.high); err != nil {
			return r.field, err
		}
	}
	for _, side := range []struct {
		name string
		c    ProfileCosts
	}{{"broker", p.Broker}, {"client", p.Client}} {
		for _, v := range []float64{side.c.ReadByte, side.c.WriteByte, side.c.FileWriteByte, side.c.FileReadByte, side.c.SendByte} {
			if !(v >= 0 && v <= 1e6) {
				return "$." + side.name, fmt.Errorf("%v ns a byte is not within 0 and 1,000,000", v)
			}
		}
		for _, v := range []Duration{side.c.Read, side.c.Write, side.c.FileWrite, side.c.FileRead, side.c.Record} {
			if err := lasts(v, 0, longest); err != nil {
				return "$." + side.name, err
			}
		}
	}
	return "", nil
}

// YAML is the whole profile.
func (p *Profile) YAML() string {
	data, err := yaml.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (c ProfileCosts) costs() cpu.Costs {
	return cpu.Costs{Read: time.Duration(c.Read), Write: time.Duration(c.Write), FileWrite: time.Duration(c.FileWrite), FileRead: time.Duration(c.FileRead),
		ReadByte: c.ReadByte, WriteByte: c.WriteByte, FileWriteByte: c.FileWriteByte, FileReadByte: c.FileReadByte, SendByte: c.SendByte}
}

func (n ProfileNetwork) profile() *network.Profile {
	p := network.Perfect()
	p.LatencyMin, p.LatencyMax = time.Duration(n.LatencyMin), time.Duration(n.LatencyMax)
	p.SlowOneIn, p.SlowMean, p.LossOneIn, p.BytesPerSecond = n.SlowOneIn, time.Duration(n.SlowMean), n.LossOneIn, int64(n.Bandwidth)
	p.Window = 4 << 20
	return &p
}

func (d ProfileDisk) profile() *disk.Profile {
	return &disk.Profile{Seek: time.Duration(d.Seek), BytesPerSecond: int64(d.Bandwidth), Flush: time.Duration(d.Flush), FlushTail: time.Duration(d.FlushTail), FlushTailOneIn: d.FlushTailOneIn}
}
