package release

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// cronSchedule is a schedule of EventBridge Scheduler. It has no tags, so what a paused
// one is to be told by stands at the end of its description; and an update writes all
// of it, so that it is paused and marked by one call.
type cronSchedule struct {
	session *session
	given   string // as in the request
	group   *string
	name    string
	known   scheduler.GetScheduleOutput // as last read, with our own updates
}

func newSchedule(s *session, given string) *cronSchedule {
	c := &cronSchedule{session: s, given: given, name: given}
	if group, name, ok := strings.Cut(given, "/"); ok {
		c.group, c.name = aws.String(group), name
	}
	return c
}

func (c *cronSchedule) subject() string { return "schedule " + c.given }

func (c *cronSchedule) hint() string { return doCheckSchedule }

// starts tells the tasks that schedules start.
func (c *cronSchedule) starts(startedBy string) bool {
	return strings.HasPrefix(startedBy, "chronos-schedule/")
}

func (c *cronSchedule) get(ctx context.Context) (*scheduler.GetScheduleOutput, error) {
	return call(ctx, c.session, "GetSchedule", func(ctx context.Context) (*scheduler.GetScheduleOutput, error) {
		return c.session.Scheduler.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: aws.String(c.name), GroupName: c.group})
	})
}

func (c *cronSchedule) read(ctx context.Context) (found foundCron, err error) {
	out, err := c.get(ctx)
	if err != nil {
		return found, err
	}
	c.known = *out
	found.enabled = out.State != types.ScheduleStateDisabled
	definition := ""
	if out.Target != nil && out.Target.EcsParameters != nil {
		definition = aws.ToString(out.Target.EcsParameters.TaskDefinitionArn)
		found.target(out.Target.Arn, out.Target.RoleArn)
	}
	found.definitions = []string{definition}
	return found, nil
}

// pausedMark is what a description ends with while a release keeps the schedule
// disabled.
var pausedMark = regexp.MustCompile(` ?\[` + TagPaused + `=([^\]]*)\]$`)

// mostDescription is how long a description may be.
const mostDescription = 512

func (c *cronSchedule) mark(context.Context) (of string, marked bool, err error) {
	m := pausedMark.FindStringSubmatch(aws.ToString(c.known.Description))
	if m == nil {
		return "", false, nil
	}
	return m[1], true, nil
}

func (c *cronSchedule) pause(ctx context.Context, build string) (begun bool, err error) {
	err = c.update(ctx, func(in *scheduler.UpdateScheduleInput) error {
		text := withoutMark(in.Description)
		if text != "" {
			text += " "
		}
		text += "[" + TagPaused + "=" + tagValue(build) + "]"
		if len(text) > mostDescription {
			return errors.New(sayNoRoomForMark)
		}
		in.State, in.Description = types.ScheduleStateDisabled, aws.String(text)
		return nil
	})
	if err != nil {
		return ecs.Unknown(err), fmt.Errorf(sayCronNotDisabled, c.subject(), err)
	}
	return true, nil
}

func withoutMark(description *string) string {
	return pausedMark.ReplaceAllString(aws.ToString(description), "")
}

func (c *cronSchedule) resume(ctx context.Context) error {
	return c.update(ctx, func(in *scheduler.UpdateScheduleInput) error {
		in.State = types.ScheduleStateEnabled
		unmarked(in)
		return nil
	})
}

func (c *cronSchedule) unmark(ctx context.Context) error {
	if _, marked, _ := c.mark(ctx); !marked {
		return nil // resume has done it
	}
	return c.update(ctx, func(in *scheduler.UpdateScheduleInput) error {
		unmarked(in)
		return nil
	})
}

func unmarked(in *scheduler.UpdateScheduleInput) {
	text := withoutMark(in.Description)
	in.Description = nil
	if text != "" {
		in.Description = aws.String(text)
	}
}

func (c *cronSchedule) move(ctx context.Context, definitions []string) error {
	return c.update(ctx, func(in *scheduler.UpdateScheduleInput) error {
		if in.Target == nil || in.Target.EcsParameters == nil {
			return errors.New(sayNoTaskTarget) // somebody has changed it meanwhile
		}
		target, p := *in.Target, *in.Target.EcsParameters
		p.TaskDefinitionArn = aws.String(definitions[0])
		target.EcsParameters = &p
		in.Target = &target
		return nil
	})
}

// update changes a schedule as it is now: what somebody else has changed since it was
// read stays. An answer that is older than what is known is no news.
func (c *cronSchedule) update(ctx context.Context, change func(*scheduler.UpdateScheduleInput) error) error {
	now, err := c.get(ctx)
	if err != nil {
		return err
	}
	if aws.ToTime(now.LastModificationDate).After(aws.ToTime(c.known.LastModificationDate)) {
		c.known = *now
	}
	in := c.asIs()
	if err := change(in); err != nil {
		return err
	}
	_, err = call(ctx, c.session, "UpdateSchedule", func(ctx context.Context) (*scheduler.UpdateScheduleOutput, error) {
		return c.session.Scheduler.UpdateSchedule(ctx, in)
	})
	if err != nil {
		return err
	}
	c.known.State, c.known.Description, c.known.Target = in.State, in.Description, in.Target
	return nil
}

// asIs is what would leave a schedule as it is: what an update leaves out goes back to
// its default. A start in the past, which AWS does not take again, has done what it is
// for.
func (c *cronSchedule) asIs() *scheduler.UpdateScheduleInput {
	k := c.known
	in := &scheduler.UpdateScheduleInput{
		Name: aws.String(c.name), GroupName: c.group, ActionAfterCompletion: k.ActionAfterCompletion, Description: k.Description, EndDate: k.EndDate,
		FlexibleTimeWindow: k.FlexibleTimeWindow, KmsKeyArn: k.KmsKeyArn, ScheduleExpression: k.ScheduleExpression,
		ScheduleExpressionTimezone: k.ScheduleExpressionTimezone, StartDate: k.StartDate, State: k.State, Target: k.Target,
	}
	if in.StartDate != nil && in.StartDate.Before(c.session.clock.Now()) {
		in.StartDate = nil
	}
	return in
}

var _ starter = (*cronSchedule)(nil)
