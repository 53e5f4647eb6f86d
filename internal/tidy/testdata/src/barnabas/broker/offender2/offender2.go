package offender2

import (
	"maps"
	"slices"
)

func sorted(m map[string]int) []string {
	var keys []string
	for k := range m {
		if k != "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func unsorted(m map[string]int) []string {
	var keys []string
	for k := range m { // want `ranging over a map`
		keys = append(keys, k)
	}
	return keys
}

func iterated(m map[string]int, f func(string)) {
	for k := range maps.Keys(m) { // want `ranging over a map`
		f(k)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f(k)
	}
}

func counted(m map[string]int) (n int, text string) {
	for _, v := range m {
		n += v
	}
	for k := range m { // want `ranging over a map`
		text += k
	}
	return
}

func excused(m map[string]func()) {
	// unordered: each does nothing
	for _, f := range m {
		f()
	}
}
