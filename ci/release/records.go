package release

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// TagDeployment begins the tags that tell what was done with a revision: the key ends
// with the moment in seconds since 1970, the value is "WHAT by WHO: WHY". ECS keeps
// nothing of the kind with a deployment, and a revision may be deployed often, by
// somebody else each time. They are on the revision because services' tags are
// usually kept by Terraform, which would take ours away.
const TagDeployment = "magecloudkit:deployment/"

// What was done with a revision.
const (
	didDeploy   = "deploy"
	didRollback = "rollback"
	didSettings = "env"
	didReturn   = "return" // a release that failed went back to it
	didStop     = "stop"   // its deployment was stopped
)

// record is one thing that was done with a revision.
type record struct {
	at            time.Time
	what, by, why string
}

func (r record) tag() types.Tag {
	value := r.what + " by " + cmp.Or(r.by, "nobody known")
	if r.why != "" {
		value += ": " + r.why
	}
	return types.Tag{Key: aws.String(TagDeployment + strconv.FormatInt(r.at.Unix(), 10)), Value: aws.String(sentence(value))}
}

// sentence makes a text one that ECS takes as the value of a tag, and that still reads
// as one.
func sentence(s string) string {
	words := strings.FieldsFunc(strings.ReplaceAll(s, ";", "."), func(r rune) bool { return r == ' ' || r != '_' && tagValue(string(r)) == "_" })
	return tagValue(strings.Join(words, " "))
}

// recordsOf reads a revision's records, the oldest first.
func recordsOf(tags []types.Tag) []record {
	var list []record
	for _, t := range tags {
		at, ok := strings.CutPrefix(aws.ToString(t.Key), TagDeployment)
		seconds, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			continue
		}
		r := record{at: time.Unix(seconds, 0)}
		what, rest, _ := strings.Cut(aws.ToString(t.Value), " by ")
		r.what = what
		r.by, r.why, _ = strings.Cut(rest, ": ")
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b record) int { return a.at.Compare(b.at) })
	return list
}

// registration is what would register a revision again: without the records, which
// are of this one alone.
func registration(td *awsecs.DescribeTaskDefinitionOutput) (*awsecs.RegisterTaskDefinitionInput, error) {
	in, err := ecs.Registration(td)
	if err != nil {
		return nil, err
	}
	in.Tags = slices.DeleteFunc(in.Tags, func(t types.Tag) bool { return strings.HasPrefix(aws.ToString(t.Key), TagDeployment) })
	if len(in.Tags) == 0 {
		in.Tags = nil // RegisterTaskDefinition refuses an empty list
	}
	return in, nil
}

// record writes on a revision what was done with it. A release does not depend on
// it.
func (a *act) record(ctx context.Context, revision string, r record) {
	r.by = a.req.By
	_, err := ask(context.WithoutCancel(ctx), a.session, "tags of ECS", "TagResource", func(ctx context.Context) (*awsecs.TagResourceOutput, error) {
		return a.ECS.TagResource(ctx, &awsecs.TagResourceInput{ResourceArn: aws.String(revision), Tags: []types.Tag{r.tag()}})
	})
	if err != nil {
		a.note(LevelWarning, sayNotRecorded, ecs.RevisionName(revision), err)
	}
}

// began records who began a deployment, and why.
func (a *act) began(ctx context.Context, d types.Deployment, what, why string) {
	at := aws.ToTime(d.CreatedAt)
	if at.IsZero() {
		at = a.clock.Now()
	}
	a.record(ctx, aws.ToString(d.TaskDefinition), record{at: at, what: what, why: why})
}

// recorded picks what a revision's records say of its deployment that was created at
// one moment and followed by the next at another (zero: by none): who began it, and
// who stopped it.
func recorded(list []record, created, next time.Time) (began, stopped record) {
	const apart = 10 * time.Second // clocks and answers are
	for _, r := range list {
		if r.at.Before(created.Add(-apart)) || !next.IsZero() && !r.at.Before(next.Add(-apart)) {
			continue
		}
		if r.what == didStop {
			stopped = r
		} else if began.what == "" {
			began = r
		}
	}
	return began, stopped
}
