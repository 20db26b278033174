package main

import (
	"regexp"
	"strings"
)

// columns is what a terminal has at least.
const columns = 80

var wholeARN = regexp.MustCompile(`\barn:aws[a-z-]*:[^\s,;()'"<>]+`)

// fold begins a new line before an ARN that would otherwise run over the edge of a terminal, so that it can be read and
// copied in one piece. One that no line could hold stays where it is.
func fold(text string) string {
	const indent = "    "
	var b strings.Builder
	for line := range strings.Lines(text) {
		for {
			cut := -1
			for _, m := range wholeARN.FindAllStringIndex(line, -1) {
				if m[0] > len(indent) && m[1] > columns && m[1]-m[0] <= columns-len(indent) {
					cut = m[0]
					break
				}
			}
			if cut < 0 {
				break
			}
			b.WriteString(strings.TrimRight(line[:cut], " ") + "\n")
			line = indent + line[cut:]
		}
		b.WriteString(line)
	}
	return b.String()
}
