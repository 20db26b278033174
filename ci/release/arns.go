package release

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// home is the account and the region that an operation is about. Its zero value is
// one that is not known.
type home struct{ account, region string }

// homeOf is that of an ARN.
func homeOf(s string) home {
	a, err := arn.Parse(s)
	if err != nil {
		return home{}
	}
	return home{a.AccountID, a.Region}
}

// inText finds ARNs. One that is the value of a flag is a part of a command to copy.
var inText = regexp.MustCompile(`(--[a-z-]*arn[ =])?\b(arn:aws[a-z-]*:[a-z0-9-]+:([a-z0-9-]*):([0-9]*):)([^\s,;()'"<>]+)`)

// short writes the ARNs of a text as people read them: without account and region
// where those are the operation's own, so that a line holds them. What is of another
// account or region keeps its whole ARN. Only text for people is written so.
func (h home) short(text string) string {
	if h.account == "" {
		return text
	}
	var b strings.Builder
	last := 0
	for _, m := range inText.FindAllStringSubmatchIndex(text, -1) {
		region, account, resource := text[m[6]:m[7]], text[m[8]:m[9]], text[m[10]:m[11]]
		if m[2] >= 0 || account != h.account || region != "" && region != h.region {
			continue
		}
		before := text[last:m[4]]
		if i := strings.IndexAny(resource, "/:"); i > 0 && strings.HasSuffix(before, resource[:i]+" ") {
			resource = resource[i+1:] // "role arn:…:role/web": once is enough
		}
		b.WriteString(before + resource)
		last = m[11]
	}
	return b.String() + text[last:]
}
