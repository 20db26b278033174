// Package release takes a build to Amazon ECS: it looks before it changes
// anything, registers the new revisions, upgrades the database, rolls every
// service, flushes the cache, moves cron, and goes back when that fails.
//
// A release is a list of steps, each a value with a name and a function. What
// they found, did and waited for is kept in a Result, whose Verdict is one of a
// closed set with an exit code each. Nothing is printed here: events go to a
// callback as they happen. AWS is reached through small interfaces, time
// through a Clock, so the same code runs against AWS and against a simulation.
//
// Order, and why: images, roles, secrets and log groups are checked before
// anything changes, because ECS finds out about them one failed task at a time.
// The database is upgraded by one task, not by every container that starts.
// The cache is flushed after the roll, because old containers would fill it
// again. Cron moves last. The database is never taken back.
package release
