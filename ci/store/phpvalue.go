package store

import (
	"math"
	"strconv"
)

// unknown stands for a value that only running PHP could tell.
type unknown struct{}

// phpArray is a PHP array in its order. Integer keys are kept in their decimal form, as "1" and 1 are one key in PHP.
type phpArray struct {
	keys   []string
	values map[string]any // nil, bool, int64, float64, string, *phpArray or unknown
	lines  map[string]int
	next   int64 // the key that the next element without one gets
	open   bool  // there are elements that could not be read: a spread, or a key that is not a literal
}

func newPHPArray() *phpArray {
	return &phpArray{values: map[string]any{}, lines: map[string]int{}}
}

func (a *phpArray) set(key string, v any, line int) {
	if _, ok := a.values[key]; !ok {
		a.keys = append(a.keys, key)
	}
	a.values[key] = v
	a.lines[key] = line
	if n, err := strconv.ParseInt(key, 10, 64); err == nil && n >= a.next && n < math.MaxInt64 && strconv.FormatInt(n, 10) == key {
		a.next = n + 1
	}
}

// array returns the array at the path, or nil.
func (a *phpArray) array(path ...string) *phpArray {
	for _, p := range path {
		if a == nil {
			return nil
		}
		a, _ = a.values[p].(*phpArray)
	}
	return a
}

// text returns the scalar at the path as PHP would print it; ok is false when it is absent, unknown or not a scalar.
func (a *phpArray) text(path ...string) (s string, ok bool) {
	if len(path) == 0 {
		return "", false
	}
	a = a.array(path[:len(path)-1]...)
	if a == nil {
		return "", false
	}
	v, ok := a.values[path[len(path)-1]]
	if !ok {
		return "", false
	}
	return phpText(v)
}

func phpText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'G', -1, 64), true
	case bool:
		if v {
			return "1", true
		}
		return "", true
	}
	return "", false
}

// phpKey casts a value to an array key as PHP does.
func phpKey(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	case float64:
		return strconv.FormatInt(int64(v), 10), true
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}
