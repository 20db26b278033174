package rehearse

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// installations are new environments.
func installations() []Scenario {
	in := installation("arn:aws:secretsmanager:us-east-1:111111111111:secret:production/magento:MYSQL_PASSWORD::")
	ends := func(code int32, says string) behave {
		return task("magento-install", awssim.Behavior{Exit: aws.Int32(code), Logs: []string{says}})
	}
	const unwatched = 10 * time.Minute
	well := ends(0, "magento-install: the store is installed")
	install := func(s Scenario) Scenario {
		s.Name, s.Verb = "install: "+s.Name, (*release.Releaser).Install
		if s.Request == nil {
			s.Request = in
		}
		if s.Behave == nil {
			s.Behave = well
		}
		return s
	}
	once := checks(oneTask("magento-install"), noTask("setup:"), noTask("cache:flush"))
	// A task ran, and nothing is left of it.
	leaves := func(says string) []Check {
		return append(checks(ServicesUntouched, CronUntouched, CronAsBefore, NoTaskLeft, revisionsAsBefore, said(says)), once...)
	}
	return []Scenario{
		install(Scenario{Name: "into an empty database", Want: installed, Also: append(once, said("the store is installed"), toldBySecret)}),
		install(Scenario{Name: "with the images of the task definition", Want: installed, Request: both(build(""), in), Also: once}),
		install(Scenario{Name: "of cron it knows nothing, a schedule that is not there among it", Want: installed, Request: both(in, bySchedule), Also: once}),
		install(Scenario{Name: "the database has tables", Want: refused, Behave: ends(65, "it has 380 tables"), Own: true, Also: leaves("has tables already")}),
		install(Scenario{Name: "a setting is missing in the image", Want: refused, Behave: ends(64, "SEARCH_HOST is not set"), Own: true, Also: leaves("exit code 64")}),
		install(Scenario{Name: "no database", Want: refused, Behave: ends(69, "does not answer"), Own: true, Also: leaves("exit code 69")}),
		install(Scenario{Name: "fails half way", Want: installFailed, Behave: ends(1, "SQLSTATE[HY000]"), Also: append(once, said("exit code 1"), said("drop it"))}),
		install(Scenario{Name: "killed for its memory", Want: installFailed, Behave: task("magento-install", awssim.Behavior{OOM: true}), Also: once}),
		install(Scenario{Name: "no capacity", Want: refused, Behave: task("magento-install", awssim.Behavior{NoCapacity: true}), Own: true, Also: checks(ServicesUntouched, CronAsBefore, NoTaskLeft, revisionsAsBefore, said("has not begun"))}),
		install(Scenario{Name: "an image that is not there", Want: refused, Request: both(in, build("999"))}),
		install(Scenario{Name: "a secret that is not there", Want: refused, Request: installation("arn:aws:secretsmanager:us-east-1:111111111111:secret:gone")}),
		install(Scenario{Name: "--dry-run", Want: planned, Request: both(in, func(r *release.Request) { r.DryRun = true }), Also: checks(NothingChanged)}),
		install(Scenario{Name: "interrupted", Want: interrupted, SignalOn: "ecs:DescribeTasks", SignalAt: 2, Own: true, Also: append(checks(ServicesUntouched, CronAsBefore, said("the same command waits for its end")), once...)}),
		install(Scenario{Name: "interrupted, and run again", Want: installed, SignalOn: "ecs:DescribeTasks", SignalAt: 2, Again: true, Before: interrupted, Also: once}),
		install(Scenario{Name: "interrupted, and run again when it has ended", Want: installed, SignalOn: "ecs:DescribeTasks", SignalAt: 2, Again: true, Before: interrupted, Later: unwatched, Also: append(once, said("the store is installed"))}),
		install(Scenario{Name: "interrupted, and run again when it has failed", Want: installFailed, Behave: ends(1, "SQLSTATE[HY000]"), SignalOn: "ecs:DescribeTasks", SignalAt: 2, Again: true, Before: interrupted, Later: unwatched, Also: append(once, said("drop it"))}),
		install(Scenario{Name: "interrupted, and run again when it has changed nothing", Want: refused, Behave: ends(69, "does not answer"), SignalOn: "ecs:DescribeTasks", SignalAt: 2, Again: true, Before: interrupted, Later: unwatched, Own: true, Also: checks(ServicesUntouched, CronAsBefore, NoTaskLeft, revisionsAsBefore, startedTimes("magento-install", 2))}),
		install(Scenario{Name: "another build is being installed", Want: refused, SignalOn: "ecs:DescribeTasks", SignalAt: 2, Again: true, Before: interrupted, NextRequest: build("302"), Own: true, Also: append(checks(ServicesUntouched, CronAsBefore, said("is installing")), once...)}),
		install(Scenario{Name: "an image without magento-install", Want: refused, Behave: ends(127, "exec: magento-install: not found"), Own: true, Also: leaves("Build it anew")}),
		install(Scenario{Name: "killed, and run again", Want: installed, SignalOn: "ecs:RunTask", Crash: true, Again: true, Also: once}),
	}
}

// installation asks for one with the administrator's password in a secret.
func installation(password string) ask {
	return func(r *release.Request) {
		r.Edits = release.Installation{
			BaseURL: "https://shop.example/", SearchHost: "search.internal", AdminUser: "jane", AdminEmail: "jane@example.com", AdminPassword: password,
		}.Edits()
	}
}

// revisionsAsBefore wants as many active revisions of each family as there were.
func revisionsAsBefore(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err == nil && !maps.Equal(now.Revisions, s.Start.Revisions) {
		err = fmt.Errorf("the families have %v active revisions, and had %v", now.Revisions, s.Start.Revisions)
	}
	return err
}

// toldBySecret wants the password to be a reference in the revision that installed.
func toldBySecret(s *Stage, r *release.Result) error {
	td, err := s.revision(r.Revisions[0].After)
	if err != nil {
		return err
	}
	for _, c := range td.TaskDefinition.ContainerDefinitions {
		for _, v := range c.Secrets {
			if aws.ToString(v.Name) == "ADMIN_PASSWORD" && strings.HasPrefix(aws.ToString(v.ValueFrom), "arn:") {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no secret ADMIN_PASSWORD", ecs.RevisionName(r.Revisions[0].After))
}
