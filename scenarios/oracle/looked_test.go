package oracle

import (
	"reflect"
	"testing"

	"barnabas/broker/log"
	"barnabas/broker/partition"
)

// Goal: nothing that a state can tell is overlooked because the state is taken for the one before. Method: each field is changed by
// itself, those of structs one by one; a new field that equal does not compare fails here.
func TestEqualSeesEveryField(t *testing.T) {
	if !equal(&partition.State{}, &partition.State{}) {
		t.Fatal("a state is not what it is")
	}
	var fields func(v reflect.Value, path string, root *partition.State)
	fields = func(v reflect.Value, path string, root *partition.State) {
		before := reflect.New(v.Type()).Elem()
		before.Set(v)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fields(v.Field(i), path+"."+v.Type().Field(i).Name, root)
			}
			return
		case reflect.Array:
			v.Index(0).SetUint(1)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.String:
			v.SetString("t")
		case reflect.Uint8:
			v.SetUint(2)
		case reflect.Int, reflect.Int32, reflect.Int64:
			v.SetInt(7)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Pointer:
			v.Set(reflect.ValueOf(new(log.Log)))
		default:
			t.Fatalf("%s is a %s", path, v.Kind())
		}
		if equal(&partition.State{}, root) {
			t.Errorf("%s has changed, and the state is taken for the same", path)
		}
		v.Set(before)
	}
	var s partition.State
	fields(reflect.ValueOf(&s).Elem(), "State", &s)
}
