//go:build !race

package bench

// raceEnabled: the race detector makes everything several times slower.
const raceEnabled = false
