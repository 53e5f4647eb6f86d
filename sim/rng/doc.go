// Package rng hands out the simulated world's chance: named random streams, all drawn from one seed.
//
// It owns the way from (seed, name) to a generator. Streams of different names are independent, so one more draw in
// one place never shifts another. It never keeps state: opening a stream twice gives the same numbers twice.
package rng
