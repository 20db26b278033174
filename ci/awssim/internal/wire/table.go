package wire

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
)

// Table holds the things of one kind that a service only keeps, by name. Most operations on them are one line of Get.
type Table[T any] struct {
	Rows    map[string]*T
	Aliases func(*T) []string // what a row is called besides its name, such as its ARN; may be nil
	Missing func(id string) *Error
}

// Find returns the row that a name or an alias stands for, or the service's error for one that is not there.
func (t *Table[T]) Find(id *string) (*T, error) {
	var name string
	if id != nil {
		name = *id
	}
	if row := t.Rows[name]; row != nil {
		return row, nil
	}
	if t.Aliases != nil {
		for _, row := range t.Rows {
			if slices.Contains(t.Aliases(row), name) {
				return row, nil
			}
		}
	}
	return nil, t.Missing(name)
}

// Names returns the names of all rows, sorted.
func (t *Table[T]) Names() []string { return slices.Sorted(maps.Keys(t.Rows)) }

// Sorted returns the rows in the order of their names.
func (t *Table[T]) Sorted() []*T {
	var rows []*T
	for _, n := range t.Names() {
		rows = append(rows, t.Rows[n])
	}
	return rows
}

// Get adds an operation on the one row that id names.
func Get[T, I, O any](s *Service, op string, t *Table[T], id func(*I) *string, answer func(*Call, *T, *I) (*O, error)) *Operation {
	return Handle(s, op, func(c *Call, in *I) (*O, error) {
		row, err := t.Find(id(in))
		if err != nil {
			return nil, err
		}
		return answer(c, row, in)
	})
}

// Pages is how a service cuts its lists.
type Pages struct {
	Size, Most int // of a page: unless told, and at most
	BadSize    func(size int) *Error
	BadToken   *Error
}

// Cut returns the page of a list that a token names, and the token of the next one: where it starts, in base64. A page is
// never nil.
func Cut[T any](p Pages, all []T, size *int32, token *string) (page []T, next *string, err error) {
	n, start := p.Size, 0
	if size != nil {
		n = int(*size)
	}
	if n < 1 || n > p.Most {
		return nil, nil, p.BadSize(n)
	}
	if token != nil {
		text, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, p.BadToken
		}
		if start, err = strconv.Atoi(string(text)); err != nil || start < 0 || start > len(all) {
			return nil, nil, p.BadToken
		}
	}
	end := min(start+n, len(all))
	if end < len(all) {
		next = new(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(end))))
	}
	return append([]T{}, all[start:end]...), next, nil
}
