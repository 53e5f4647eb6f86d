package bench

import (
	"fmt"
	"strings"
)

// Variant is one cell of a sweep's matrix.
type Variant struct {
	Name string   // "producers.batch=64KiB producers.acks=1"
	Sets []string // for Read
}

// Matrix crosses KEY=VALUE,VALUE,… with one another.
func Matrix(varies []string) ([]Variant, error) {
	matrix := []Variant{{}}
	for _, vary := range varies {
		key, values, ok := strings.Cut(vary, "=")
		if !ok || key == "" || values == "" {
			return nil, fmt.Errorf("--vary %s: not KEY=VALUE,VALUE,…", vary)
		}
		var wider []Variant
		for _, v := range matrix {
			for _, value := range strings.Split(values, ",") {
				set := key + "=" + strings.TrimSpace(value)
				wider = append(wider, Variant{strings.TrimSpace(v.Name + " " + set), append(append([]string(nil), v.Sets...), set)})
			}
		}
		if matrix = wider; len(matrix) > 1000 {
			return nil, fmt.Errorf("--vary: more than 1000 combinations")
		}
	}
	return matrix, nil
}
