package values

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Policy is a policy's document, after https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html. Left
// out: NotAction, NotResource, principals, variables, conditions other than those that compare texts
// and ARNs, and that the case of an action does not matter.
type Policy struct {
	Version   string      `json:",omitempty"`
	Statement []statement `json:",omitempty"`
}

type statement struct {
	Sid              string `json:",omitempty"`
	Effect           string
	Action, Resource texts
	Condition        map[string]map[string]texts `json:",omitempty"`
}

// texts are one or several.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// check says what is wrong with a policy.
func (p Policy) check() error {
	for _, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return fmt.Errorf("policy: statement %s: effect %q", s.Sid, s.Effect)
		}
		for operator := range s.Condition {
			if !operators[operator] {
				return fmt.Errorf("policy: statement %s: condition %q is not known here", s.Sid, operator)
			}
		}
	}
	return nil
}

var operators = map[string]bool{"ArnEquals": true, "ArnLike": true, "StringEquals": true, "StringLike": true}

// decide says what policies say of an action on a resource.
func decide(policies []Policy, action, resource string, context []types.ContextEntry) types.PolicyEvaluationDecisionType {
	decision := types.PolicyEvaluationDecisionTypeImplicitDeny
	for _, p := range policies {
		for _, s := range p.Statement {
			if !s.Action.match(action, true) || !s.Resource.match(resource, true) || !s.holds(context) {
				continue
			}
			if s.Effect == "Deny" {
				return types.PolicyEvaluationDecisionTypeExplicitDeny
			}
			decision = types.PolicyEvaluationDecisionTypeAllowed
		}
	}
	return decision
}

// holds reports whether a statement's conditions do.
func (s statement) holds(context []types.ContextEntry) bool {
	for operator, keys := range s.Condition {
		for key, want := range keys {
			patterns := operator != "StringEquals"
			if !slices.ContainsFunc(context, func(e types.ContextEntry) bool {
				return strings.EqualFold(aws.ToString(e.ContextKeyName), key) &&
					slices.ContainsFunc(e.ContextKeyValues, func(is string) bool { return want.match(is, patterns) })
			}) {
				return false
			}
		}
	}
	return true
}

// match reports whether one of the texts, with patterns one in which * and ? stand for others, is met.
func (t texts) match(is string, patterns bool) bool {
	return slices.ContainsFunc(t, func(want string) bool {
		if !patterns {
			return want == is
		}
		pattern := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(want))
		return regexp.MustCompile(`^(?s:` + pattern + `)$`).MatchString(is)
	})
}
