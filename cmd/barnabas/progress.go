package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows on a terminal how far many runs have come, and nothing elsewhere.
type progress struct {
	bars   *mpb.Progress
	bar    *mpb.Bar
	failed int
}

func newProgress(name string, total int) *progress {
	p := &progress{}
	if total < 2 || !isTerminal(os.Stderr) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithRefreshRate(150*time.Millisecond))
	p.bar = p.bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name+" "), decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			if p.failed == 0 {
				return "no failure"
			}
			return fmt.Sprintf("%d failed", p.failed)
		}), decor.Name(", "), decor.AverageETA(decor.ET_STYLE_GO), decor.Name(" left")),
	)
	return p
}

// done counts one run. Lines printed meanwhile go above the bar through out.
func (p *progress) done(failed bool) {
	if failed {
		p.failed++
	}
	if p.bar != nil {
		p.bar.Increment()
	}
}

// out is where to print while the bar is shown.
func (p *progress) out() io.Writer {
	if p.bars != nil {
		return p.bars
	}
	return os.Stdout
}

func (p *progress) end() {
	if p.bars != nil {
		p.bar.Abort(false)
		p.bars.Wait()
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
