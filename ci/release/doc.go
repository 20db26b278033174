// Package release takes a build to Amazon ECS: it looks before it changes
// anything, registers the new revisions, upgrades the database, rolls every
// service, flushes the cache, moves cron, and goes back when that fails.
//
// An operation has three parts, and release.go tells each verb by them:
//
//   - what there is: a survey reads the cluster, the services, cron, the images and
//     whatever the new revisions name (survey.go, preflight*.go, promotion.go,
//     images.go, dependencies.go, cron_find.go), over calls that know nothing of
//     releases (session.go, read.go, ecr.go);
//   - what is to become of it: functions of values, without AWS or a clock
//     (plan.go, decide.go, taskdef.go);
//   - doing it: an act carries the plan out, step by step (act.go, revisions.go,
//     migrate.go, rollout.go, goback.go, rollback.go, cron.go).
//
// What they found, did and waited for is kept in a Result, whose Verdict is one of a
// closed set with an exit code each. What is said of it stands in texts.go. Nothing
// is printed here: events go to a callback as they happen. AWS is reached through
// small interfaces, time through a Clock, so the same code runs against AWS and
// against a simulation.
//
// Order, and why: images, roles, secrets and log groups are checked before
// anything changes, because ECS finds out about them one failed task at a time.
// The database is upgraded by one task, not by every container that starts.
// The cache is flushed after the roll, because old containers would fill it
// again. Cron moves last. The database is never taken back.
package release
