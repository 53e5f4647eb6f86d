package bench

import (
	"fmt"
	"strings"
)

// Variant is one cell of a sweep's matrix.
type Variant struct {
	Name string   // "batch=64KiB acks=1": what the keys end in, for plots have little room
	Sets []string // for Read
}

// Matrix crosses KEY=VALUE,VALUE,… with one another.
func Matrix(varies []string) ([]Variant, error) {
	matrix := []Variant{{}}
	ends := map[string]int{}
	for _, vary := range varies {
		ends[shortKey(vary)]++
	}
	for _, vary := range varies {
		key, values, ok := strings.Cut(vary, "=")
		if !ok || key == "" || values == "" {
			return nil, fmt.Errorf("--vary %s: not KEY=VALUE,VALUE,…", vary)
		}
		var wider []Variant
		for _, v := range matrix {
			for _, value := range strings.Split(values, ",") {
				set := key + "=" + strings.TrimSpace(value)
				name := set
				if short := shortKey(set); ends[short] == 1 {
					name = short + "=" + strings.TrimSpace(value)
				}
				wider = append(wider, Variant{strings.TrimSpace(v.Name + " " + name), append(append([]string(nil), v.Sets...), set)})
			}
		}
		if matrix = wider; len(matrix) > 1000 {
			return nil, fmt.Errorf("--vary: more than 1000 combinations")
		}
	}
	return matrix, nil
}

// shortKey is what the dotted key of KEY=VALUE ends in.
func shortKey(set string) string {
	key, _, _ := strings.Cut(set, "=")
	return key[strings.LastIndexByte(key, '.')+1:]
}
