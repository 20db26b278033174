package events

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Event buses. Only the default one has schedules; what comes in on the others is left to whoever tests it, and their rules
// never fire here.

const defaultBus = "default"

func (b *Bus) busARN(name string) string { return b.k.ARN("events", "event-bus/"+name) }

func (b *Bus) ruleARN(bus, name string) string {
	if bus != defaultBus {
		name = bus + "/" + name
	}
	return b.k.ARN("events", "rule/"+name)
}

// bus finds a bus by its name or ARN; none is the default one.
func (b *Bus) bus(ref *string) (name string, rules map[string]*rule, err error) {
	name = strings.TrimPrefix(aws.ToString(ref), b.busARN(""))
	if name == "" {
		name = defaultBus
	}
	if b.buses[name] == nil {
		return "", nil, wire.Errf("ResourceNotFoundException", "Event bus %s does not exist.", name)
	}
	return name, b.buses[name], nil
}

func (b *Bus) createEventBus(_ *wire.Call, in *eventbridge.CreateEventBusInput) (*eventbridge.CreateEventBusOutput, error) {
	n := aws.ToString(in.Name)
	if !ruleName.MatchString(n) {
		return nil, wire.ModelError(n, "name", `Member must satisfy regular expression pattern: [/\.\-_A-Za-z0-9]+`)
	}
	if b.buses[n] != nil {
		return nil, wire.Errf("ResourceAlreadyExistsException", "Event bus %s already exists.", n)
	}
	b.buses[n] = map[string]*rule{}
	return &eventbridge.CreateEventBusOutput{EventBusArn: aws.String(b.busARN(n))}, nil
}

func (b *Bus) describeEventBus(_ *wire.Call, in *eventbridge.DescribeEventBusInput) (*eventbridge.DescribeEventBusOutput, error) {
	n, _, err := b.bus(in.Name)
	if err != nil {
		return nil, err
	}
	return &eventbridge.DescribeEventBusOutput{Name: &n, Arn: aws.String(b.busARN(n))}, nil
}

func (b *Bus) listEventBuses(_ *wire.Call, in *eventbridge.ListEventBusesInput) (*eventbridge.ListEventBusesOutput, error) {
	found := []types.EventBus{}
	for _, n := range slices.Sorted(maps.Keys(b.buses)) {
		if strings.HasPrefix(n, aws.ToString(in.NamePrefix)) {
			found = append(found, types.EventBus{Name: aws.String(n), Arn: aws.String(b.busARN(n))})
		}
	}
	page, next, err := wire.Cut(pages, found, in.Limit, in.NextToken)
	return &eventbridge.ListEventBusesOutput{EventBuses: page, NextToken: next}, err
}

func (b *Bus) deleteEventBus(_ *wire.Call, in *eventbridge.DeleteEventBusInput) (*eventbridge.DeleteEventBusOutput, error) {
	n := aws.ToString(in.Name)
	switch {
	case n == defaultBus:
		return nil, wire.Errf("ValidationException", "Cannot delete event bus default.")
	case len(b.buses[n]) > 0:
		return nil, wire.Errf("ValidationException", "Event bus %s cannot be deleted because it has rules.", n)
	}
	delete(b.buses, n)
	return &eventbridge.DeleteEventBusOutput{}, nil
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
