package main

import (
	"strconv"
	"strings"
)

// seedRange is what --seeds takes: A..B, both included.
type seedRange struct{ first, last uint64 }

func parseSeeds(text string) (seedRange, error) {
	a, b, ok := strings.Cut(text, "..")
	if !ok {
		b = a
	}
	first, err1 := strconv.ParseUint(a, 10, 64)
	last, err2 := strconv.ParseUint(b, 10, 64)
	if err1 != nil || err2 != nil || last < first {
		return seedRange{}, usage("--seeds %q: write FIRST..LAST, as in 1..200", text)
	}
	if last-first >= seedsMax {
		return seedRange{}, usage("--seeds %q: more than %d seeds; split them over several runs, or let 'barnabas soak' go on for as long as you like", text, seedsMax)
	}
	return seedRange{first, last}, nil
}

// seedsMax bounds one run: a row of each is kept for the report.
const seedsMax = 1_000_000

func (r seedRange) count() int { return int(r.last-r.first) + 1 }
