// Package ecs holds what a deployer must know of Amazon ECS and does not get
// from the SDK: changing image references and task definitions without losing
// anything, following a deployment to a verdict, running a one-off task to a
// verdict, and finding out why something failed.
//
// It talks to AWS through interfaces declared beside the code that uses them;
// the SDK's clients satisfy them. Time comes from a Clock. Nothing is printed:
// progress is handed to callbacks and everything that is found out is a value.
package ecs
