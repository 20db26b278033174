package pipelines

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// CircleCI's expressions: https://circleci.com/docs/reference/configuration-reference/#using-expressions-in-your-configuration

var token = regexp.MustCompile(`\s*(?:("(?:[^"\\]|\\.)*"|'[^']*')|(==|!=|>=|<=|>|<|\(|\))|(/(?:[^/\\]|\\.)+/)|([A-Za-z][A-Za-z0-9_.-]*)|(-?\d+(?:\.\d+)?))`)

// evaluator is one expression that is being read.
type evaluator struct {
	tokens []string
	value  func(name string) any
}

// evaluate is what an expression comes to. The value of a name is a string, a bool, a number, or nil.
func evaluate(text string, value func(name string) any) (any, error) {
	e := &evaluator{value: value}
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := token.FindStringIndex(rest)
		if m == nil || m[0] != 0 {
			return nil, fmt.Errorf("%q is no expression", text)
		}
		e.tokens = append(e.tokens, strings.TrimSpace(rest[:m[1]]))
		rest = rest[m[1]:]
	}
	v, err := e.or()
	if err == nil && len(e.tokens) > 0 {
		err = fmt.Errorf("%q is left over", e.tokens[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no expression: %w", text, err)
	}
	return v, nil
}

func (e *evaluator) next(of ...string) (string, bool) {
	if len(e.tokens) == 0 {
		return "", false
	}
	for _, t := range of {
		if e.tokens[0] == t {
			e.tokens = e.tokens[1:]
			return t, true
		}
	}
	return "", false
}

func (e *evaluator) or() (any, error) {
	v, err := e.and()
	for err == nil {
		if _, ok := e.next("or"); !ok {
			break
		}
		var w any
		if w, err = e.and(); !truth(v) {
			v = w
		}
	}
	return v, err
}

func (e *evaluator) and() (any, error) {
	v, err := e.compare()
	for err == nil {
		if _, ok := e.next("and"); !ok {
			break
		}
		var w any
		if w, err = e.compare(); truth(v) {
			v = w
		}
	}
	return v, err
}

func (e *evaluator) compare() (any, error) {
	v, err := e.unary()
	if err != nil {
		return nil, err
	}
	op, ok := e.next("==", "!=", "starts-with", "matches", ">", "<", ">=", "<=")
	if !ok {
		return v, nil
	}
	w, err := e.unary()
	if err != nil {
		return nil, err
	}
	switch op {
	case "==":
		return v == w, nil
	case "!=":
		return v != w, nil
	case "starts-with":
		return strings.HasPrefix(fmt.Sprint(v), fmt.Sprint(w)), nil
	case "matches":
		return regexp.MatchString("^(?:"+strings.Trim(fmt.Sprint(w), "/")+")$", fmt.Sprint(v))
	}
	a, aok := v.(float64)
	b, bok := w.(float64)
	if !aok || !bok {
		return nil, fmt.Errorf("%s compares numbers", op)
	}
	return map[string]bool{">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b}[op], nil
}

func (e *evaluator) unary() (any, error) {
	if _, ok := e.next("not"); ok {
		v, err := e.unary()
		return !truth(v), err
	}
	if _, ok := e.next("("); ok {
		v, err := e.or()
		if _, ok := e.next(")"); !ok && err == nil {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		return v, err
	}
	if len(e.tokens) == 0 {
		return nil, fmt.Errorf("it ends too early")
	}
	t := e.tokens[0]
	e.tokens = e.tokens[1:]
	switch {
	case t[0] == '"' || t[0] == '\'':
		return t[1 : len(t)-1], nil
	case t[0] == '/':
		return t, nil
	case t == "true" || t == "false":
		return t == "true", nil
	case strings.ContainsAny(t, "=!<>)"):
		return nil, fmt.Errorf("%q stands in a value's place", t)
	}
	if n, err := strconv.ParseFloat(t, 64); err == nil {
		return n, nil
	}
	return e.value(t), nil
}

// truth is what CircleCI takes for true: all but these.
func truth(v any) bool { return v != nil && v != false && v != "" && v != 0.0 }

func TestEvaluate(t *testing.T) {
	value := func(name string) any {
		return map[string]any{"branch": "main", "number": 7.0, "empty": "", "on": true}[name]
	}
	for text, want := range map[string]any{
		`branch == "main"`: true, `branch != "main"`: false, `tag != "v1"`: true, `branch starts-with "ma"`: true,
		`branch matches /m.*/`: true, `number > 5 and number <= 7`: true, `not on or branch == 'x'`: false,
		`not (on and branch == "x")`: true, `empty or "else"`: "else", `tag`: nil, `on and 10 or 1`: 10.0,
	} {
		got, err := evaluate(text, value)
		if err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{`branch = "main"`, `branch == `, `(branch`, `branch "main"`, `== 1`, `branch > 1`} {
		if got, err := evaluate(text, value); err == nil {
			t.Errorf("%s is %v, and no error", text, got)
		}
	}
}
