package wire

import (
	"math/rand/v2"
	"reflect"
)

// fill puts random values into every exported field of a kmsg message, arrays of 0 to 3 elements included, in the ranges
// that survive a round trip.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			if r.IntN(3) == 0 {
				return
			}
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Field(i).CanSet() && name != "Version" && name != "UnknownTags" {
				fill(r, v.Field(i))
			}
		}
	case reflect.Slice:
		n := r.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString([]string{"", "a", "topic", "a-rather-long-name-of-a-topic-that-needs-more-than-a-byte-for-its-length-------------------------------------------------------------"}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64N(128) - 1)
	case reflect.Float64:
		v.SetFloat(float64(r.IntN(1000)) / 8)
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	default:
		panic("wire test: field of kind " + v.Kind().String())
	}
}
