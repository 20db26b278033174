// Package values holds the services that only keep what they are given: IAM's roles, STS's sessions, Secrets Manager's
// secrets and SSM's parameters. Each is a wire.Table and the operations on its rows.
package values
