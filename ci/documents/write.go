package documents

import (
	"io"
	"reflect"

	"github.com/magecloudkit/pipeline/ci/host"
)

// Write prints a document. An empty list is [] in it and an empty object {}, never null, as their schemas say.
func Write(w io.Writer, document any) error {
	v := reflect.New(reflect.TypeOf(document)).Elem()
	v.Set(reflect.ValueOf(document))
	fill(v)
	return host.WriteJSON(w, v.Interface())
}

// fill makes lists and maps that are nil empty ones.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	}
}
