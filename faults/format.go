package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is the fault's one-line text form.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(seconds(f.At))
	switch f.Kind {
	case Crash, Pause, Isolate:
		fmt.Fprintf(&b, " %s node=%s", f.Kind, f.Node)
	case Power:
		fmt.Fprintf(&b, " power node=%s keep=%s", f.Node, f.Keep)
	case Partition:
		fmt.Fprintf(&b, " partition from=%s to=%s", list(f.From), list(f.To))
	case PartitionOneWay:
		fmt.Fprintf(&b, " partition from=%s to=%s oneway", list(f.From), list(f.To))
	case SlowLink:
		fmt.Fprintf(&b, " link from=%s to=%s delay=%s", list(f.From), list(f.To), f.Delay)
	case SlowDisk:
		fmt.Fprintf(&b, " disk node=%s op=all slow=%d", f.Node, f.Slow)
	case FailSync:
		fmt.Fprintf(&b, " disk node=%s op=fsync fail", f.Node)
	case FailDir:
		fmt.Fprintf(&b, " disk node=%s log-dir=%d broken", f.Node, f.Dir)
	case ZooKeeperExpire:
		fmt.Fprintf(&b, " zookeeper expire node=%s", f.Node)
	case ZooKeeperRestart:
		b.WriteString(" zookeeper restart")
	case ZooKeeperOutage:
		b.WriteString(" zookeeper outage")
	default:
		fmt.Fprintf(&b, " %s", f.Kind)
	}
	switch f.For {
	case UntilEnd:
	case Forever:
		b.WriteString(" for=forever")
	default:
		b.WriteString(" for=" + f.For.String())
	}
	return b.String()
}

// Format is the file's text; Parse reads it back to the same value if its schedule is in order.
func (f File) Format() []byte {
	var b strings.Builder
	if f.Header != (Header{}) {
		b.WriteString("#")
		if f.Header.Scenario != "" {
			b.WriteString(" scenario=" + f.Header.Scenario)
		}
		b.WriteString(" seed=" + strconv.FormatUint(f.Header.Seed, 10))
		if f.Header.Commit != "" {
			b.WriteString(" commit=" + f.Header.Commit)
		}
		b.WriteString("\n")
	}
	for _, fault := range f.Schedule {
		b.WriteString(fault.String())
		b.WriteString("\n")
	}
	return []byte(b.String())
}

// seconds is a time as "3.200s": milliseconds, and more digits only where there is more.
func seconds(t time.Duration) string {
	frac := fmt.Sprintf("%09d", t%time.Second)
	for len(frac) > 3 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	return strconv.FormatInt(int64(t/time.Second), 10) + "." + frac + "s"
}

func list(nodes []Node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.String()
	}
	return strings.Join(names, ",")
}
