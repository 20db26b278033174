package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EncodeJSON writes an SDK value. Nil pointers, nil lists and empty enumerations are left out.
func EncodeJSON(v any) []byte {
	var b bytes.Buffer
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	encodeValue(&b, rv)
	return b.Bytes()
}

func encodeValue(b *bytes.Buffer, v reflect.Value) {
	if v.Type() == timeType {
		ms := v.Interface().(time.Time).UnixMilli()
		b.Write(strconv.AppendFloat(b.AvailableBuffer(), float64(ms)/1000, 'f', -1, 64))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		encodeValue(b, v.Elem())
	case reflect.Interface:
		encodeUnion(b, v)
	case reflect.Struct:
		encodeStruct(b, v)
	case reflect.Slice:
		encodeList(b, v)
	case reflect.Map:
		encodeMap(b, v)
	case reflect.String:
		writeString(b, v.String())
	case reflect.Bool:
		b.Write(strconv.AppendBool(b.AvailableBuffer(), v.Bool()))
	case reflect.Int32, reflect.Int64:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), v.Int(), 10))
	default: // a float
		fmt.Fprint(b, v.Interface())
	}
}

func encodeUnion(b *bytes.Buffer, v reflect.Value) {
	e := v.Elem().Elem()
	for name, t := range unions[v.Type()] {
		if t == e.Type() {
			fmt.Fprintf(b, "{%q:", name)
			encodeValue(b, e.FieldByName("Value"))
			b.WriteByte('}')
			return
		}
	}
	b.WriteString("{}")
}

func encodeStruct(b *bytes.Buffer, v reflect.Value) {
	b.WriteByte('{')
	first := true
	for _, m := range shapeOf(v.Type()).members {
		f := v.Field(m.index)
		if absent(f) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(m.key)
		encodeValue(b, f)
	}
	b.WriteByte('}')
}

func encodeList(b *bytes.Buffer, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		fmt.Fprintf(b, "%q", base64.StdEncoding.EncodeToString(v.Bytes()))
		return
	}
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		encodeValue(b, v.Index(i))
	}
	b.WriteByte(']')
}

func encodeMap(b *bytes.Buffer, v reflect.Value) {
	b.WriteByte('{')
	for i, k := range sortedKeys(v) {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, k.String())
		b.WriteByte(':')
		encodeValue(b, v.MapIndex(k))
	}
	b.WriteByte('}')
}

// absent says that a member is not written.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // a string that may be empty is a pointer: this is an enumeration
		return v.Len() == 0
	}
	return false
}

func writeString(b *bytes.Buffer, s string) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	b.Truncate(b.Len() - 1)
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
