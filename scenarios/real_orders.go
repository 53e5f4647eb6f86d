package scenarios

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"barnabas/faults"
)

// linkOrder is what a process's hook is to know of its links with one peer (docs/formats/control.md).
type linkOrder struct {
	cutIn, cutOut, noDial, refuse bool
	delayIn, delayOut             time.Duration
	lossIn, rateIn                int
}

func (o linkOrder) text(host string) string {
	var b strings.Builder
	b.WriteString("link " + host)
	for _, flag := range []struct {
		on   bool
		word string
	}{{o.cutIn, "cut-in"}, {o.cutOut, "cut-out"}, {o.noDial, "no-dial"}, {o.refuse, "refuse"}} {
		if flag.on {
			b.WriteString(" " + flag.word)
		}
	}
	if o.delayIn > 0 {
		b.WriteString(" delay-in=" + o.delayIn.String())
	}
	if o.delayOut > 0 {
		b.WriteString(" delay-out=" + o.delayOut.String())
	}
	if o.lossIn > 0 {
		fmt.Fprintf(&b, " loss-in=%d", o.lossIn)
	}
	if o.rateIn > 0 {
		fmt.Fprintf(&b, " rate-in=%d", o.rateIn)
	}
	return b.String()
}

// diskOrder is a disk's condition as an order; dirs are the log directories that are broken.
func diskOrder(d faults.Disk, dirs []string) string {
	var b strings.Builder
	b.WriteString("disk")
	if d.Slow > 1 {
		fmt.Fprintf(&b, " slow=%d", d.Slow)
	}
	for _, flag := range []struct {
		on   bool
		word string
	}{{d.FailSync, "fail-sync"}, {d.FailRead, "fail-read"}, {d.FailWrite, "fail-write"}, {d.Full, "full"}, {d.Torn, "torn"}} {
		if flag.on {
			b.WriteString(" " + flag.word)
		}
	}
	if d.Stall > 0 {
		b.WriteString(" stall=" + d.Stall.String())
	}
	for _, dir := range dirs {
		b.WriteString(" dir=" + dir)
	}
	return b.String()
}

// parseFelt reads what a hook answers to "felt": "in 127.1.2.3=4, disk slow=17".
func parseFelt(words string) map[string]int64 {
	felt := map[string]int64{}
	for word := range strings.SplitSeq(words, ", ") {
		if i := strings.LastIndexByte(word, '='); i > 0 {
			if n, err := strconv.ParseInt(word[i+1:], 10, 64); err == nil {
				felt[word[:i]] = n
			}
		}
	}
	return felt
}
