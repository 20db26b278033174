package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"
)

// DecodeJSON fills the SDK value that v points to. An error names the member that is unknown or of another type.
func DecodeJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil && err != io.EOF {
		return Errf("SerializationException", "the request is not JSON: %v", err)
	}
	if tree == nil {
		return nil
	}
	return decodeValue(tree, reflect.ValueOf(v).Elem(), "")
}

func mismatch(path, got, want string) error {
	return Errf("SerializationException", "%s: %s can not be converted to %s", strings.TrimPrefix(path, "."), got, want)
}

func decodeValue(tree any, v reflect.Value, path string) error {
	if tree == nil {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decodeValue(tree, v.Elem(), path)
	}
	if v.Type() == timeType {
		return decodeTime(tree, v, path)
	}
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(tree, v, path)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return decodeBlob(tree, v, path)
		}
		return decodeList(tree, v, path)
	case reflect.Map:
		return decodeMap(tree, v, path)
	case reflect.Interface:
		return decodeUnion(tree, v, path)
	}
	return decodeScalar(tree, v, path)
}

// unknown is the error for a member that a type lacks.
func unknown(path, name string, t reflect.Type) error {
	return Errf("ValidationException", "Unknown parameter %q: %s has no such member",
		strings.TrimPrefix(path+"."+name, "."), strings.TrimSuffix(t.Name(), "Input"))
}

func decodeStruct(tree any, v reflect.Value, path string) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return mismatch(path, kindOf(tree), "a structure")
	}
	sh := shapeOf(v.Type())
	for name, sub := range m {
		i, ok := sh.byName[name]
		if !ok {
			return unknown(path, name, v.Type())
		}
		if err := decodeValue(sub, v.Field(sh.members[i].index), path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func decodeBlob(tree any, v reflect.Value, path string) error {
	s, ok := tree.(string)
	if !ok {
		return mismatch(path, kindOf(tree), "a Blob")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return mismatch(path, "text that is not base64", "a Blob")
	}
	v.SetBytes(b)
	return nil
}

func decodeList(tree any, v reflect.Value, path string) error {
	l, ok := tree.([]any)
	if !ok {
		return mismatch(path, kindOf(tree), "a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(l), len(l)))
	for i, sub := range l {
		if err := decodeValue(sub, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func decodeMap(tree any, v reflect.Value, path string) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return mismatch(path, kindOf(tree), "a map")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(m)))
	for k, sub := range m {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := decodeValue(sub, e, path+"."+k); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), e)
	}
	return nil
}

func decodeUnion(tree any, v reflect.Value, path string) error {
	m, ok := tree.(map[string]any)
	if !ok || len(m) != 1 {
		return mismatch(path, kindOf(tree), "a union with one member")
	}
	for name, sub := range m {
		t, ok := unions[v.Type()][name]
		if !ok {
			return unknown(path, name, v.Type())
		}
		p := reflect.New(t)
		if err := decodeValue(sub, p.Elem().FieldByName("Value"), path+"."+name); err != nil {
			return err
		}
		v.Set(p)
	}
	return nil
}

func decodeScalar(tree any, v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.String:
		s, ok := tree.(string)
		if !ok {
			return mismatch(path, kindOf(tree), "a String")
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := tree.(bool)
		if !ok {
			return mismatch(path, kindOf(tree), "a Boolean")
		}
		v.SetBool(b)
	case reflect.Int32, reflect.Int64:
		n, _ := tree.(json.Number) // anything else is no number either
		i, err := n.Int64()
		if err != nil || v.OverflowInt(i) {
			return mismatch(path, numberOr(n, tree), "an Integer")
		}
		v.SetInt(i)
	case reflect.Float64, reflect.Float32:
		n, _ := tree.(json.Number)
		f, err := n.Float64()
		if err != nil {
			return mismatch(path, numberOr(n, tree), "a Double")
		}
		v.SetFloat(f)
	default:
		return mismatch(path, kindOf(tree), v.Type().String())
	}
	return nil
}

// numberOr returns a number as it was written, or the kind of what is none.
func numberOr(n json.Number, tree any) string {
	if n != "" {
		return n.String()
	}
	return kindOf(tree)
}

func kindOf(tree any) string {
	switch tree.(type) {
	case string:
		return "STRING_VALUE"
	case bool:
		return "BOOLEAN_VALUE"
	case json.Number:
		return "NUMBER_VALUE"
	case []any:
		return "START_ARRAY"
	default:
		return "START_OBJECT"
	}
}

// decodeTime reads seconds since 1970, as awsJson1.1 writes a time, or RFC 3339 as people do.
func decodeTime(tree any, v reflect.Value, path string) error {
	switch t := tree.(type) {
	case json.Number:
		f, err := t.Float64()
		if err != nil {
			return mismatch(path, t.String(), "a Timestamp")
		}
		v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
		return nil
	case string:
		if p, err := time.Parse(time.RFC3339, t); err == nil {
			v.Set(reflect.ValueOf(p.UTC()))
			return nil
		}
	}
	return mismatch(path, kindOf(tree), "a Timestamp")
}
