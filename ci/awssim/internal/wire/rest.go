package wire

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// The protocol restJson1: a label of the path, a parameter of the query or a member of the JSON body is a member of the
// operation's input.

// Match returns the operation that a request is for, and the members that stand in its address; "" if there is none.
func (s *Service) Match(method string, u *url.URL) (op string, members map[string]string) {
	path := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for name, route := range s.Routes {
		verb, pattern, _ := strings.Cut(route, " /")
		labels, ok := match(strings.Split(pattern, "/"), path)
		if verb != method || !ok {
			continue
		}
		for k, v := range u.Query() {
			if to, ok := s.Renamed[k]; ok {
				k = to
			}
			labels[k] = v[0]
		}
		return name, labels
	}
	return "", nil
}

func match(pattern, path []string) (map[string]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	labels := map[string]string{}
	for i, part := range pattern {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			text, err := url.PathUnescape(path[i])
			if err != nil {
				return nil, false
			}
			labels[strings.TrimSuffix(name, "}")] = text
		} else if part != path[i] {
			return nil, false
		}
	}
	return labels, true
}

// DecodeREST fills the SDK value that v points to from a body and the members of an address.
func DecodeREST(body []byte, members map[string]string, v any) error {
	if err := DecodeJSON(body, v); err != nil {
		return err
	}
	rv := reflect.ValueOf(v).Elem()
	sh := shapeOf(rv.Type())
	for name, text := range members {
		i, ok := sh.byName[name]
		if !ok {
			return unknown("", name, rv.Type())
		}
		f := rv.Field(sh.members[i].index)
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString(text)
		case reflect.Int32:
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return mismatch(name, text, "an Integer")
			}
			f.SetInt(n)
		default:
			return mismatch(name, text, f.Type().String())
		}
	}
	return nil
}

// RESTStatus is the status of an error of restJson1.
func RESTStatus(e *Error) int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.Code == "ResourceNotFoundException":
		return http.StatusNotFound
	case e.Code == "ConflictException":
		return http.StatusConflict
	case e.Code == "ThrottlingException":
		return http.StatusTooManyRequests
	case e.Code == "AccessDeniedException":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}
