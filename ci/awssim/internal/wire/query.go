package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The query protocol of STS and IAM: a form goes in, XML comes out. Members are named as in the SDK's types, a list
// stands as Name.member.1, Name.member.2 …

// DecodeQuery fills the SDK value that v points to from a form.
func DecodeQuery(form url.Values, v any) error {
	known := map[string]bool{"Action": true, "Version": true}
	if err := queryValue(form, "", reflect.ValueOf(v).Elem(), known); err != nil {
		return err
	}
	for name := range form {
		if !known[name] {
			return Errf("ValidationError", "Unknown parameter %q: %s has no such member", name,
				strings.TrimSuffix(reflect.TypeOf(v).Elem().Name(), "Input"))
		}
	}
	return nil
}

func queryValue(form url.Values, path string, v reflect.Value, known map[string]bool) error { //nolint:cyclop // a kind a case
	if v.Kind() == reflect.Struct && v.Type() != timeType {
		for _, m := range shapeOf(v.Type()).members {
			sub := m.name
			if path != "" {
				sub = path + "." + m.name
			}
			if hasPrefix(form, sub) {
				if err := queryValue(form, sub, v.Field(m.index), known); err != nil {
					return err
				}
			}
		}
		return nil
	}
	known[path] = true
	text := form.Get(path)
	bad := func(want string) error {
		return Errf("MalformedInput", "%s: %q can not be converted to %s", path, text, want)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return queryValue(form, path, v.Elem(), known)
	case reflect.Slice:
		for i := 1; hasPrefix(form, fmt.Sprintf("%s.member.%d", path, i)); i++ {
			e := reflect.New(v.Type().Elem()).Elem()
			if err := queryValue(form, fmt.Sprintf("%s.member.%d", path, i), e, known); err != nil {
				return err
			}
			v.Set(reflect.Append(v, e))
		}
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return bad("a Boolean")
		}
		v.SetBool(b)
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return bad("an Integer")
		}
		v.SetInt(n)
	default:
		return bad(v.Type().String())
	}
	return nil
}

func hasPrefix(form url.Values, path string) bool {
	for name := range form {
		if name == path || strings.HasPrefix(name, path+".") {
			return true
		}
	}
	return false
}

// EncodeQuery writes the answer of an operation.
func EncodeQuery(op, namespace, requestID string, v any) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns=%q>`, op, namespace)
	rv := reflect.ValueOf(v).Elem()
	if len(shapeOf(rv.Type()).members) > 0 {
		xmlValue(&b, op+"Result", rv)
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, requestID, op)
	return b.Bytes()
}

// EncodeQueryError writes an error.
func EncodeQueryError(e *Error, namespace, requestID string) []byte {
	var b bytes.Buffer
	sender := "Sender"
	if e.Status >= 500 {
		sender = "Receiver"
	}
	fmt.Fprintf(&b, `<ErrorResponse xmlns=%q><Error><Type>%s</Type><Code>%s</Code><Message>`, namespace, sender, e.Code)
	_ = xml.EscapeText(&b, []byte(e.Message)) // writing to a buffer never fails
	fmt.Fprintf(&b, `</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, requestID)
	return b.Bytes()
}

func xmlValue(b *bytes.Buffer, name string, v reflect.Value) {
	if absent(v) {
		return
	}
	if v.Kind() == reflect.Pointer {
		xmlValue(b, name, v.Elem())
		return
	}
	fmt.Fprintf(b, "<%s>", name)
	switch {
	case v.Type() == timeType:
		b.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05Z"))
	case v.Kind() == reflect.Struct:
		for _, m := range shapeOf(v.Type()).members {
			xmlValue(b, m.name, v.Field(m.index))
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			xmlValue(b, "member", v.Index(i))
		}
	default:
		_ = xml.EscapeText(b, []byte(fmt.Sprint(v.Interface())))
	}
	fmt.Fprintf(b, "</%s>", name)
}
