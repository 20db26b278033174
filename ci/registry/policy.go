package registry

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// untaggedFor is how long a new repository keeps an image that no tag names.
const untaggedFor = 14 * 24 * time.Hour

// LifecyclePolicy is a lifecycle policy for a repository of images that ECS runs: it lets images expire that no tag has
// named for that long. It does no more, since ECR knows nothing of ECS: a rule that counts tagged images would delete
// one that a service still runs. Tagged images are for mck cleanup, which looks first. In a repository whose build tags
// are immutable nothing that runs is untagged; children of an index never expire before it.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
func LifecyclePolicy(untaggedFor time.Duration) string {
	type selection struct {
		TagStatus   string `json:"tagStatus"`
		CountType   string `json:"countType"`
		CountUnit   string `json:"countUnit"`
		CountNumber int    `json:"countNumber"`
	}
	type rule struct {
		RulePriority int               `json:"rulePriority"`
		Description  string            `json:"description"`
		Selection    selection         `json:"selection"`
		Action       map[string]string `json:"action"`
	}
	days := max(int(untaggedFor/(24*time.Hour)), 1)
	text, err := json.MarshalIndent(map[string][]rule{"rules": {{
		RulePriority: 1,
		Description:  fmt.Sprintf("Untagged images expire after %d days. Tagged ones are for mck cleanup, which knows what ECS runs.", days),
		Selection:    selection{"untagged", "sinceImagePushed", "days", days},
		Action:       map[string]string{"type": "expire"},
	}}}, "", "  ")
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return string(text)
}

// wildcard matches a tag against a pattern in which * stands for any characters.
func wildcard(pattern, tag string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(tag)
}

func quoted(names []string) string {
	return strings.Join(names, " and ")
}
