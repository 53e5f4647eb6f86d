package osenv

import (
	"testing"

	"barnabas/broker/env/envtest"
)

// Goal: the real world does what package env says. Method: its conformance suite.
func TestConformsToEnv(t *testing.T) {
	for _, c := range envtest.FS() {
		t.Run("FS/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{}), t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range envtest.Env() {
		t.Run("Env/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{}), "127.0.0.1:0", t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}
