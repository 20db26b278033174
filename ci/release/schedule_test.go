package release_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"github.com/magecloudkit/pipeline/ci/release"
)

// An update of a schedule resets what it leaves out: whoever renews the SDK and finds a new field here writes it in
// cronSchedule.asIs, and in this list.
func TestScheduleHasNoOtherField(t *testing.T) {
	fields := func(of reflect.Type) (names []string) {
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() && f.Name != "ResultMetadata" {
				names = append(names, f.Name)
			}
		}
		slices.Sort(names)
		return names
	}
	written := []string{
		"ActionAfterCompletion", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "Name", "ScheduleExpression",
		"ScheduleExpressionTimezone", "StartDate", "State", "Target",
	}
	if got := fields(reflect.TypeFor[scheduler.UpdateScheduleInput]()); !slices.Equal(slices.DeleteFunc(got, func(n string) bool { return n == "ClientToken" }), written) {
		t.Errorf("UpdateSchedule takes %v", got)
	}
	own := []string{"Arn", "CreationDate", "LastModificationDate"}
	got := fields(reflect.TypeFor[scheduler.GetScheduleOutput]())
	if !slices.Equal(slices.DeleteFunc(got, func(n string) bool { return slices.Contains(own, n) }), written) {
		t.Errorf("GetSchedule answers %v", got)
	}
}

func TestScheduleNames(t *testing.T) {
	for name, ok := range map[string]bool{"cron": true, "magento/cron": true, "": false, "/cron": false, "magento/": false, "a/b/c": false} {
		err := release.Request{Cluster: "a", Services: []string{"web"}, Schedules: []string{name}}.Check()
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "is not NAME or GROUP/NAME") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := (release.Request{Cluster: "a", Services: []string{"web"}, Schedules: []string{"cron", "cron"}}).Check(); err == nil || !strings.Contains(err.Error(), "schedule cron is given twice") {
		t.Error(err)
	}
}
