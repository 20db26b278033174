package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

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

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNamePart(c byte) bool { return isNameStart(c) || isDigit(c) }

// skipSpace passes over white space, comments and a closing tag; a closing tag counts as a semicolon.
func (l *phpLexer) skipSpace() (closed bool, err error) { //nolint:cyclop // a lexer: a character a case
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

func (l *phpLexer) next() (phpToken, error) { //nolint:cyclop // a lexer: a character a case
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
func (l *phpLexer) heredoc() (t phpToken, ok bool, err error) { //nolint:cyclop // a lexer: a character a case
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
func unescape(s string) (string, bool) { //nolint:cyclop // a lexer: a character a case
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
