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
	return seedRange{first, last}, nil
}

func (r seedRange) count() int { return int(r.last-r.first) + 1 }
