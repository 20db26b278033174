package store

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A PHP file such as app/etc/config.php is a program, but in practice it is one literal:
//
//	<?php return ['modules' => ['Magento_Store' => 1, …], …];
//
// readPHP evaluates that literal without running anything. What is not a literal (a call, a variable, a constant of
// another class) becomes unknown and is skipped with its brackets balanced. It is a reader of literals and not a PHP
// parser on purpose: the parsers there are for Go more than double the compile time of whatever links this package.

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

// syntaxError is a fault in a file, at a line (1 is the first).
type syntaxError struct {
	line int
	msg  string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.msg) }

type phpKind uint8

const (
	phpEOF   phpKind = iota
	phpName          // an identifier, keyword or qualified name
	phpVar           // $name
	phpInt           // integer literal
	phpFloat         // floating-point literal
	phpStr           // string literal whose value is known
	phpTmpl          // string with something interpolated
	phpPunct         // one of the operators
)

type phpToken struct {
	kind phpKind
	text string // the operator, the name, or the value of a string or number
	line int
}

// phpLexer turns the source into tokens, leaving comments out.
type phpLexer struct {
	src  string
	pos  int
	line int
}

func (l *phpLexer) errorf(line int, format string, args ...any) error {
	return &syntaxError{line: line, msg: fmt.Sprintf(format, args...)}
}

// open moves behind the next "<?php" or "<?="; it reports whether there is one.
func (l *phpLexer) open() bool {
	rest := l.src[l.pos:]
	i := strings.Index(rest, "<?")
	for i >= 0 {
		tag := rest[i:]
		if len(tag) >= 5 && strings.EqualFold(tag[:5], "<?php") {
			l.advance(i + 5)
			return true
		}
		if strings.HasPrefix(tag, "<?=") {
			l.advance(i + 3)
			return true
		}
		j := strings.Index(rest[i+2:], "<?")
		if j < 0 {
			break
		}
		i += 2 + j
	}
	l.advance(len(rest))
	return false
}

func (l *phpLexer) advance(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

func isNameStart(c byte) bool {
	return c == '_' || c == '\\' || c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isNamePart(c byte) bool { return isNameStart(c) || isDigit(c) }

// skipSpace passes over white space, comments and a closing tag; a closing tag counts as a semicolon.
func (l *phpLexer) skipSpace() (closed bool, err error) {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			l.advance(1)
		case strings.HasPrefix(rest, "//"), c == '#' && !strings.HasPrefix(rest, "#["):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			if t := strings.Index(rest[:n], "?>"); t >= 0 {
				n = t
			}
			l.advance(n)
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return false, l.errorf(l.line, "this comment is never closed with */")
			}
			l.advance(n + 4)
		case strings.HasPrefix(rest, "?>"):
			l.advance(2)
			return true, nil
		default:
			return false, nil
		}
	}
	return false, nil
}

func (l *phpLexer) next() (phpToken, error) {
	closed, err := l.skipSpace()
	if err != nil {
		return phpToken{}, err
	}
	if closed {
		t := phpToken{kind: phpPunct, text: ";", line: l.line}
		l.open()
		return t, nil
	}
	t := phpToken{line: l.line}
	if l.pos >= len(l.src) {
		return t, nil
	}
	rest := l.src[l.pos:]
	switch c := rest[0]; {
	case c == '\'':
		return l.single()
	case c == '"', c == '`':
		return l.double(c)
	case strings.HasPrefix(rest, "<<<"):
		if t, ok, err := l.heredoc(); ok || err != nil {
			return t, err
		}
	case c == '$' && len(rest) > 1 && isNameStart(rest[1]):
		n := 1
		for n < len(rest) && isNamePart(rest[n]) {
			n++
		}
		t.kind, t.text = phpVar, rest[:n]
		l.advance(n)
		return t, nil
	case isNameStart(c):
		n := 0
		for n < len(rest) && isNamePart(rest[n]) {
			n++
		}
		t.kind, t.text = phpName, rest[:n]
		l.advance(n)
		return t, nil
	case isDigit(c), c == '.' && len(rest) > 1 && isDigit(rest[1]):
		return l.number()
	}
	n := 1
	for _, op := range []string{"...", "=>", "::", "?->", "->", "??", "#["} {
		if strings.HasPrefix(rest, op) {
			n = len(op)
			break
		}
	}
	t.kind, t.text = phpPunct, rest[:n]
	l.advance(n)
	return t, nil
}

var phpNumberPattern = regexp.MustCompile(`^(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9_]+)?|\.[0-9_]+(?:[eE][+-]?[0-9_]+)?)`)

func (l *phpLexer) number() (phpToken, error) {
	t := phpToken{kind: phpInt, line: l.line}
	text := phpNumberPattern.FindString(l.src[l.pos:])
	n := len(text)
	digits := strings.ReplaceAll(text, "_", "")
	l.advance(n)
	if len(digits) > 1 && digits[0] == '0' && isDigit(digits[1]) && !strings.ContainsAny(digits, ".eE") {
		digits = "0o" + digits // PHP's octal
	}
	if v, err := strconv.ParseInt(digits, 0, 64); err == nil {
		t.text = strconv.FormatInt(v, 10)
		return t, nil
	}
	if v, err := strconv.ParseFloat(digits, 64); err == nil && !strings.ContainsAny(digits, "xXpP") {
		t.kind, t.text = phpFloat, strconv.FormatFloat(v, 'g', -1, 64)
		return t, nil
	}
	if v, err := strconv.ParseUint(digits, 0, 64); err == nil {
		t.kind, t.text = phpFloat, strconv.FormatFloat(float64(v), 'g', -1, 64)
		return t, nil
	}
	return t, l.errorf(t.line, "a number is malformed")
}

func (l *phpLexer) single() (phpToken, error) {
	t := phpToken{kind: phpStr, line: l.line}
	rest := l.src[l.pos:]
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\'':
			t.text = b.String()
			l.advance(i + 1)
			return t, nil
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '\'' || rest[i+1] == '\\'):
			i++
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return t, l.errorf(t.line, "the string that begins here is never closed with '")
}

func (l *phpLexer) double(quote byte) (phpToken, error) {
	t := phpToken{kind: phpStr, line: l.line}
	rest := l.src[l.pos:]
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case quote:
			if text, ok := unescape(rest[1:i]); ok && quote == '"' {
				t.text = text
			} else {
				t.kind = phpTmpl
			}
			l.advance(i + 1)
			return t, nil
		}
	}
	return t, l.errorf(t.line, "the string that begins here is never closed with %c", quote)
}

// heredoc reads <<<ID and <<<'ID'; ok is false when it is neither (a shift operator).
func (l *phpLexer) heredoc() (t phpToken, ok bool, err error) {
	t = phpToken{kind: phpStr, line: l.line}
	rest := l.src[l.pos:]
	head, body, found := strings.Cut(rest[3:], "\n")
	if !found {
		return t, false, nil
	}
	id := strings.TrimSpace(head)
	raw := len(id) > 1 && id[0] == '\'' && id[len(id)-1] == '\''
	if raw || len(id) > 1 && id[0] == '"' && id[len(id)-1] == '"' {
		id = id[1 : len(id)-1]
	}
	if id == "" || !isNameStart(id[0]) {
		return t, false, nil
	}
	for i := 0; i < len(id); i++ {
		if !isNamePart(id[i]) {
			return t, false, nil
		}
	}
	var lines []string
	for at := 0; at <= len(body); {
		end := strings.IndexByte(body[at:], '\n')
		line := body[at:]
		if end >= 0 {
			line = body[at : at+end]
		}
		trimmed := strings.TrimLeft(line, " \t")
		if strings.HasPrefix(trimmed, id) && (len(trimmed) == len(id) || !isNamePart(trimmed[len(id)])) {
			indent := line[:len(line)-len(trimmed)]
			for i := range lines {
				lines[i] = strings.TrimPrefix(lines[i], indent)
			}
			text := strings.Join(lines, "\n")
			if raw {
				t.text = text
			} else if t.text, ok = unescape(text); !ok {
				t.kind = phpTmpl
			}
			l.advance(3 + len(head) + 1 + at + len(indent) + len(id))
			return t, true, nil
		}
		lines = append(lines, line)
		if end < 0 {
			break
		}
		at += end + 1
	}
	return t, false, l.errorf(t.line, "the text that begins with <<<%s is never closed", id)
}

// unescape resolves the escapes of a double-quoted string; ok is false when a variable is interpolated.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, `\$`) {
		return s, true
	}
	simple := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'e': 0x1b, 'f': '\f', '\\': '\\', '$': '$', '"': '"'}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '$' && i+1 < len(s) && (isNameStart(s[i+1]) && s[i+1] != '\\' || s[i+1] == '{') || c == '{' && i+1 < len(s) && s[i+1] == '$' {
			return "", false
		}
		if c != '\\' || i+1 == len(s) {
			b.WriteByte(c)
			continue
		}
		i++
		if r, ok := simple[s[i]]; ok {
			b.WriteByte(r)
			continue
		}
		switch {
		case s[i] == 'u' && i+1 < len(s) && s[i+1] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end > 0 {
				if n, err := strconv.ParseUint(s[i+2:i+end], 16, 32); err == nil && n <= utf8.MaxRune {
					b.WriteRune(rune(n))
					i += end
					continue
				}
			}
			return "", false
		case s[i] == 'x' || s[i] >= '0' && s[i] <= '7':
			base, digits, from := 8, 3, i
			if s[i] == 'x' {
				base, digits, from = 16, 2, i+1
			}
			n := from
			for n < len(s) && n < from+digits {
				if _, err := strconv.ParseUint(s[n:n+1], base, 8); err != nil {
					break
				}
				n++
			}
			if n == from {
				b.WriteString(`\x`)
				continue
			}
			v, _ := strconv.ParseUint(s[from:n], base, 16)
			b.WriteByte(byte(v))
			i = n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String(), true
}

// maxNesting bounds how deep arrays may nest, so that a hostile file cannot exhaust the stack.
const maxNesting = 256

type phpReader struct {
	lex   phpLexer
	tok   phpToken
	err   error
	depth int
}

// readPHP returns what the file returns when it is included. The error is a *syntaxError.
func readPHP(src []byte) (any, error) {
	r := &phpReader{lex: phpLexer{src: string(src), line: 1}}
	if !r.lex.open() {
		return nil, r.lex.errorf(1, "there is no <?php in it")
	}
	r.advance()
	start := true // at the start of a statement
	for r.err == nil && r.tok.kind != phpEOF {
		if start && r.tok.kind == phpName && strings.EqualFold(r.tok.text, "return") {
			r.advance()
			v := r.expr()
			if r.err == nil && !r.is(";") && r.tok.kind != phpEOF {
				r.fail("expected ; after what is returned, found %s", r.found())
			}
			return v, r.err
		}
		start = r.is(";") || r.is("}")
		if r.is("(") || r.is("[") || r.is("{") || r.is("#[") {
			closedBlock := r.is("{")
			r.skipBrackets()
			start = closedBlock
			continue
		}
		r.advance()
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, r.lex.errorf(r.lex.line, "it returns nothing")
}

func (r *phpReader) advance() {
	if r.err != nil {
		return
	}
	t, err := r.lex.next()
	if err != nil {
		r.err = err
		t = phpToken{line: r.lex.line}
	}
	r.tok = t
}

func (r *phpReader) is(op string) bool { return r.tok.kind == phpPunct && r.tok.text == op }

func (r *phpReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = r.lex.errorf(r.tok.line, format, args...)
	}
}

// found names the current token for an error. Values are left out: they may be secrets.
func (r *phpReader) found() string {
	switch r.tok.kind {
	case phpEOF:
		return "the end of the file"
	case phpStr, phpTmpl:
		return "a string"
	case phpInt, phpFloat:
		return "a number"
	case phpName, phpVar:
		return "a name"
	}
	return strconv.Quote(r.tok.text)
}

// ends reports whether the current token ends an expression.
func (r *phpReader) ends() bool {
	if r.tok.kind == phpEOF {
		return true
	}
	if r.tok.kind != phpPunct {
		return false
	}
	switch r.tok.text {
	case ",", "]", ")", "}", ";", "=>":
		return true
	}
	return false
}

// skipBrackets passes over a bracket and everything up to the one that closes it.
func (r *phpReader) skipBrackets() {
	pairs := map[string]string{"(": ")", "[": "]", "{": "}", "#[": "]"}
	var open []phpToken
	for r.err == nil {
		if r.tok.kind == phpEOF {
			r.err = r.lex.errorf(open[len(open)-1].line, "the %q here is never closed", open[len(open)-1].text)
			return
		}
		if r.tok.kind == phpPunct {
			if _, ok := pairs[r.tok.text]; ok {
				open = append(open, r.tok)
			} else if r.is(")") || r.is("]") || r.is("}") {
				last := open[len(open)-1]
				if pairs[last.text] != r.tok.text {
					r.fail("%q does not close the %q of line %d", r.tok.text, last.text, last.line)
					return
				}
				open = open[:len(open)-1]
			}
		}
		r.advance()
		if len(open) == 0 {
			return
		}
	}
}

// skip passes over the rest of an expression that cannot be evaluated.
func (r *phpReader) skip() any {
	arrow := false
	for r.err == nil {
		switch {
		case r.tok.kind == phpName && strings.EqualFold(r.tok.text, "fn"):
			arrow = true
		case r.is("=>") && arrow:
			arrow = false
			r.advance()
			continue
		}
		if r.ends() {
			return unknown{}
		}
		if r.is("(") || r.is("[") || r.is("{") {
			r.skipBrackets()
			continue
		}
		r.advance()
	}
	return unknown{}
}

var wordOperators = map[string]bool{"and": true, "or": true, "xor": true, "instanceof": true}

// expr evaluates an expression; what is not made of literals is unknown.
func (r *phpReader) expr() any {
	if r.depth++; r.depth > maxNesting {
		r.fail("more than %d levels deep", maxNesting)
	}
	defer func() { r.depth-- }()
	if r.err != nil {
		return unknown{}
	}
	v := r.operand()
	for r.err == nil && r.is(".") {
		r.advance()
		w := r.operand()
		a, ok1 := phpText(v)
		b, ok2 := phpText(w)
		if v == nil {
			ok1 = true
		}
		if w == nil {
			ok2 = true
		}
		if v = any(unknown{}); ok1 && ok2 {
			v = a + b
		}
	}
	if r.err != nil || r.ends() {
		return v
	}
	if r.tok.kind != phpPunct && !(r.tok.kind == phpName && wordOperators[strings.ToLower(r.tok.text)]) {
		// Two values in a row: between elements this is a forgotten comma.
		if _, dark := v.(unknown); !dark {
			r.fail("expected , or a closing bracket, found %s", r.found())
			return v
		}
	}
	return r.skip()
}

func (r *phpReader) operand() any {
	t := r.tok
	switch t.kind {
	case phpStr:
		r.advance()
		return t.text
	case phpInt:
		r.advance()
		n, _ := strconv.ParseInt(t.text, 10, 64)
		return n
	case phpFloat:
		r.advance()
		f, _ := strconv.ParseFloat(t.text, 64)
		return f
	case phpTmpl, phpVar:
		r.advance()
		return unknown{}
	case phpEOF:
		r.fail("expected a value, found the end of the file")
		return unknown{}
	case phpName:
		if strings.EqualFold(t.text, "fn") {
			return r.skip() // its => is no key's
		}
		r.advance()
		switch strings.ToLower(strings.TrimPrefix(t.text, `\`)) {
		case "true":
			return true
		case "false":
			return false
		case "null":
			return nil
		case "array":
			if r.is("(") {
				return r.arrayLiteral(")")
			}
		}
		return unknown{}
	}
	switch t.text {
	case "[":
		return r.arrayLiteral("]")
	case "(":
		r.advance()
		v := r.expr()
		if r.err == nil && !r.is(")") {
			r.fail("expected ), found %s", r.found())
		}
		r.advance()
		return v
	case "-", "+":
		r.advance()
		if r.tok.kind == phpInt || r.tok.kind == phpFloat {
			switch v := r.operand().(type) {
			case int64:
				if t.text == "-" {
					return -v
				}
				return v
			case float64:
				if t.text == "-" {
					return -v
				}
				return v
			}
		}
		return unknown{}
	}
	if r.ends() {
		r.fail("expected a value, found %s", r.found())
	}
	return unknown{}
}

// arrayLiteral reads the elements between the current bracket and the closing one.
func (r *phpReader) arrayLiteral(closing string) any {
	opened := r.tok
	a := newPHPArray()
	r.advance()
	for r.err == nil {
		if r.is(closing) {
			r.advance()
			return a
		}
		if r.tok.kind == phpEOF {
			r.err = r.lex.errorf(opened.line, "the %q here is never closed", opened.text)
			break
		}
		line := r.tok.line
		if r.is("...") {
			r.advance()
			r.skip()
			a.open = true
		} else {
			v := r.expr()
			if r.is("=>") {
				r.advance()
				key, ok := phpKey(v)
				v = r.expr()
				if ok {
					a.set(key, v, line)
				} else {
					a.open = true
				}
			} else {
				a.set(strconv.FormatInt(a.next, 10), v, line)
			}
		}
		if r.err == nil && !r.is(closing) {
			if !r.is(",") {
				r.fail("expected , or %s, found %s", closing, r.found())
				break
			}
			r.advance()
		}
	}
	return a
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
