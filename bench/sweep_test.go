package bench

import "testing"

// Goal: a matrix crosses its values, and its cells have short names that tell them apart. Method: two keys that end alike, and one that does not.
func TestMatrix(t *testing.T) {
	m, err := Matrix([]string{"producers.batch=16KiB, 1MiB", "producers.acks=1,all"})
	if err != nil || len(m) != 4 || m[3].Name != "batch=1MiB acks=all" || m[3].Sets[0] != "producers.batch=1MiB" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = Matrix([]string{"a.x=1", "b.x=2"})
	if err != nil || len(m) != 1 || m[0].Name != "a.x=1 b.x=2" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"x", "x=", "=1"} {
		if _, err := Matrix([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
