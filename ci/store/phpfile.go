package store

import (
	"strconv"
	"strings"
)

// A PHP file such as app/etc/config.php is a program, but in practice it is one literal:
//
//	<?php return ['modules' => ['Magento_Store' => 1, …], …];
//
// readPHP evaluates that literal without running anything. What is not a literal (a call, a variable, a constant of
// another class) becomes unknown and is skipped with its brackets balanced. It is a reader of literals and not a PHP
// parser on purpose: the parsers there are for Go more than double the compile time of whatever links this package.

// maxNesting bounds how deep arrays may nest, so that a hostile file cannot exhaust the stack.
const maxNesting = 256

type phpReader struct {
	lex   phpLexer
	tok   phpToken
	err   error
	depth int
}

// readPHP returns what the file returns when it is included. The error is a *syntaxError.
func readPHP(src []byte) (any, error) { //nolint:cyclop // a parser: a token a case
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

func (r *phpReader) operand() any { //nolint:cyclop,funlen // a parser: a token a case
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
