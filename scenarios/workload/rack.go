package workload

import "fmt"

// rack is where a client stands, "" where there are no racks.
func (l *Load) rack(number int) string {
	if l.Racks == 0 {
		return ""
	}
	return fmt.Sprintf("r%d", number%l.Racks)
}
