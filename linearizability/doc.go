// Package linearizability judges what clients of a log were told. Package history is the record of it, package check
// the linear gate that every run passes through, and package models holds pure models for porcupine: slower, and the
// yardstick that the gate is held against.
//
// It never talks to a broker and never reads a clock: a verdict depends on the history alone.
package linearizability
