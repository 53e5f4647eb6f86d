//go:build race

package scenarios

// underRace is whether the race detector is on, which makes a run ten times as long: the tests then run fewer.
const underRace = true
