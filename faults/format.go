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
	case Crash, Pause, Isolate, Refuse, Wipe:
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
	case ZooKeeperCut:
		fmt.Fprintf(&b, " zookeeper cut node=%s", f.Node)
	case Clog, Reset, Halves:
		fmt.Fprintf(&b, " %s from=%s to=%s", f.Kind, list(f.From), list(f.To))
	case Ring:
		fmt.Fprintf(&b, " ring order=%s", list(f.From))
	case StallDisk:
		fmt.Fprintf(&b, " disk node=%s op=all stall", f.Node)
	case FailRead:
		fmt.Fprintf(&b, " disk node=%s op=read fail", f.Node)
	case FailWrite:
		fmt.Fprintf(&b, " disk node=%s op=write fail", f.Node)
	case FullDisk:
		fmt.Fprintf(&b, " disk node=%s full", f.Node)
	case ClockOffset:
		fmt.Fprintf(&b, " clock node=%s offset=%s", f.Node, f.Wall)
	case ClockDrift:
		fmt.Fprintf(&b, " clock node=%s drift=%d", f.Node, f.Drift)
	case ClockJump:
		fmt.Fprintf(&b, " clock node=%s jump=%s", f.Node, f.Wall)
	case ClientCrash:
		fmt.Fprintf(&b, " client crash number=%d", f.Client)
	default:
		b.WriteByte(' ')
		b.WriteString(f.words())
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

// words are those of the kinds that came later.
func (f Fault) words() string {
	switch f.Kind {
	case Blackout:
		return fmt.Sprintf("blackout nodes=%s keep=%s", list(f.From), f.Keep)
	case SwapDisks, HalfOpen, HoldBack:
		return fmt.Sprintf("%s from=%s to=%s", f.Kind, list(f.From), list(f.To))
	case Loss:
		return fmt.Sprintf("loss from=%s to=%s one-in=%d", list(f.From), list(f.To), f.OneIn)
	case Bandwidth:
		return fmt.Sprintf("bandwidth from=%s to=%s bytes=%d", list(f.From), list(f.To), f.Bytes)
	case TornWrite:
		return fmt.Sprintf("disk node=%s op=write torn", f.Node)
	case Misdirect:
		return fmt.Sprintf("disk node=%s op=write misdirect", f.Node)
	case BitFlip:
		return fmt.Sprintf("disk node=%s flip=%d", f.Node, f.Bits)
	case LoseEntry:
		return fmt.Sprintf("lose-entry node=%s", f.Node)
	case ZooKeeperPause:
		return "zookeeper pause"
	case ZooKeeperLoseWatch:
		return fmt.Sprintf("zookeeper lose-watches node=%s", f.Node)
	case ClientPause:
		return fmt.Sprintf("client pause number=%d", f.Client)
	case ClientTwin:
		return fmt.Sprintf("client twin number=%d", f.Client)
	}
	return f.Kind.String()
}

// Format is the file's text; Parse reads it back to the same value if its schedule is in order.
func (f File) Format() []byte {
	var b strings.Builder
	b.WriteString(f.Header.format())
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
