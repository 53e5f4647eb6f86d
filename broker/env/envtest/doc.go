// Package envtest is the conformance suite of package env: what every world must do, as cases that a test runs over
// broker/osenv and over the simulated world alike.
//
// FS has the cases of files and directories, Env those of clocks, tasks and connections.
//
// A case is a function that returns what was wrong; it runs inside a task of the world and depends on no test
// framework. It never looks at what only one world can do (power loss, faults): those are tests of sim/disk.
package envtest
