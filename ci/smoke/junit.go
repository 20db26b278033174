package smoke

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Time    string      `xml:"time,attr"`
	Failure *junitSaid  `xml:"failure,omitempty"`
	Skipped *junitSaid  `xml:"skipped,omitempty"`
	Output  *junitPlain `xml:"system-out,omitempty"`
}

type junitSaid struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitPlain struct {
	Text string `xml:",chardata"`
}

// JUnit is the report as JUnit's XML, which CI systems show as test results: a test case for each check. name is that of the
// suite, such as "build 300".
func (r Report) JUnit(name string) ([]byte, error) {
	suite := junitSuite{Name: name, Tests: len(r.Checks), Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, c := range r.Checks {
		tc := junitCase{Class: "smoke", Name: printable(c.Name), Time: fmt.Sprintf("%.3f", c.Seconds)}
		switch detail := printable(c.Detail); c.Status {
		case Failed:
			suite.Failures++
			tc.Failure = &junitSaid{detail, printable(c.more())}
		case Skipped:
			suite.Skipped++
			tc.Skipped = &junitSaid{Message: detail}
		default:
			if detail != "" {
				tc.Output = &junitPlain{detail}
			}
		}
		suite.Cases = append(suite.Cases, tc)
	}
	raw, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []junitSuite
	}{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(raw, '\n')...), nil
}

// printable is a text without what XML cannot have, such as the colours of a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, s)
}
