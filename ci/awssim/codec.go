package awssim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// The codec turns JSON into the SDK's own types and back, so that what a service can be told and can answer is what
// its model says. Members carry the names of the SDK's schemas. Unlike the SDK's own serializers it writes a count that
// is 0 and a flag that is false: AWS does, and clients look at them (the waiter services-stable compares counts).

// member is a field of an SDK type that travels.
type member struct {
	index int
	name  string // on the wire
	key   string // as JSON has it: "name":
}

type shape struct {
	members []member
	byName  map[string]int // index into members
}

var shapes sync.Map // reflect.Type → *shape

var (
	timeType     = reflect.TypeFor[time.Time]()
	metadataType = reflect.TypeFor[middleware.Metadata]()
)

// unions holds, for an interface type that stands for a union, its variants by their name on the wire.
var unions = map[reflect.Type]map[string]reflect.Type{
	reflect.TypeFor[types.SharingStrategy](): {
		"nvidiaMps": reflect.TypeFor[types.SharingStrategyMemberNvidiaMps](),
	},
	reflect.TypeFor[types.ServiceConnectContainerConfiguration](): {
		"logLevel": reflect.TypeFor[types.ServiceConnectContainerConfigurationMemberLogLevel](),
	},
}

// shapeOf returns the members of an SDK type.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	names := map[string]string{} // lower case → on the wire
	if v, ok := reflect.New(t).Interface().(smithy.Serializable); ok {
		if schema := schemaOf(v); schema != nil { // nil: a type without members
			for name := range schema.Members() {
				names[strings.ToLower(name)] = name
			}
		}
	}
	s := &shape{byName: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == metadataType {
			continue
		}
		name := f.Name // the query protocol's services have the names of their model
		if n, ok := names[strings.ToLower(name)]; ok {
			name = n
		}
		s.byName[name] = len(s.members)
		s.members = append(s.members, member{index: i, name: name, key: strconv.Quote(name) + ":"})
	}
	shapes.Store(t, s)
	return s
}

// schemaProbe is a serializer that only learns of which schema the value is that is written to it.
type schemaProbe struct{ smithy.ShapeSerializer }

func (schemaProbe) WriteStruct(s *smithy.Schema) { panic(s) }

// schemaOf returns the schema of an SDK value: the first thing that every one writes.
func schemaOf(v smithy.Serializable) (s *smithy.Schema) {
	defer func() {
		if p := recover(); p != nil {
			s = p.(*smithy.Schema) // anything else is a fault of ours, and goes on
		}
	}()
	v.Serialize(schemaProbe{})
	return nil
}

// decodeJSON fills the SDK value that v points to. An error names the member that is unknown or of another type.
func decodeJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil && err != io.EOF {
		return errf("SerializationException", "the request is not JSON: %v", err)
	}
	if tree == nil {
		return nil
	}
	return decodeValue(tree, reflect.ValueOf(v).Elem(), "")
}

func mismatch(path, got, want string) error {
	return errf("SerializationException", "%s: %s can not be converted to %s", strings.TrimPrefix(path, "."), got, want)
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
		m, ok := tree.(map[string]any)
		if !ok {
			return mismatch(path, kindOf(tree), "a structure")
		}
		sh := shapeOf(v.Type())
		for name, sub := range m {
			i, ok := sh.byName[name]
			if !ok {
				return errf("ValidationException", "Unknown parameter %q: %s has no such member",
					strings.TrimPrefix(path+"."+name, "."), strings.TrimSuffix(v.Type().Name(), "Input"))
			}
			if err := decodeValue(sub, v.Field(sh.members[i].index), path+"."+name); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
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
	case reflect.Map:
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
	case reflect.Interface:
		m, ok := tree.(map[string]any)
		if !ok || len(m) != 1 {
			return mismatch(path, kindOf(tree), "a union with one member")
		}
		for name, sub := range m {
			t, ok := unions[v.Type()][name]
			if !ok {
				return errf("ValidationException", "Unknown parameter %q: %s has no such member",
					strings.TrimPrefix(path+"."+name, "."), v.Type().Name())
			}
			p := reflect.New(t)
			if err := decodeValue(sub, p.Elem().FieldByName("Value"), path+"."+name); err != nil {
				return err
			}
			v.Set(p)
		}
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
		n, ok := tree.(json.Number)
		if !ok {
			return mismatch(path, kindOf(tree), "an Integer")
		}
		i, err := n.Int64()
		if err != nil || v.OverflowInt(i) {
			return mismatch(path, n.String(), "an Integer")
		}
		v.SetInt(i)
	case reflect.Float64, reflect.Float32:
		n, ok := tree.(json.Number)
		if !ok {
			return mismatch(path, kindOf(tree), "a Double")
		}
		f, err := n.Float64()
		if err != nil {
			return mismatch(path, n.String(), "a Double")
		}
		v.SetFloat(f)
	default:
		return mismatch(path, kindOf(tree), v.Type().String())
	}
	return nil
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

// encodeJSON writes an SDK value. Nil pointers, nil lists and empty enumerations are left out.
func encodeJSON(v any) []byte {
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
	case reflect.Struct:
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
	case reflect.Slice:
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
	case reflect.Map:
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
