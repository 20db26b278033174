// Package awssim is enough of AWS to rehearse a release to ECS against: Amazon ECS, and as far as a release reads
// them ECR (with a real OCI registry behind it), EventBridge, CloudWatch Logs, STS, Secrets Manager, SSM and IAM, over
// the protocols their clients speak. Any client works that can be pointed at another endpoint: the Go SDK, the aws
// command line, a shell script.
//
// # In a Go test
//
// A test makes a [World], hands its [World.ClientConfig] to the SDK's clients and its clock to the code under test, and says
// what goes wrong. No socket is opened and no time is waited for:
//
//	w, err := awssim.New(awssim.Config{})
//	client := ecs.NewFromConfig(w.ClientConfig())
//	err = w.AddFault(awssim.Fault{Op: "ecs:UpdateService", Kind: awssim.Throttle, Times: 2})
//
// Clients of other languages get [World.Handler] behind a listener.
//
// # A world and its time
//
// A [World] is one account in one region. Everything that happens in it by itself (a task that starts, a health check
// that fails, a rollout that ends) is an event on an agenda. Nothing runs in the background: whenever somebody looks,
// the events that have come due by then are carried out first, in order. What time it is, a [Clock] says. With a
// [VirtualClock] time moves only when somebody sleeps on it, so that a client that polls for ten minutes on that clock
// is done in milliseconds; with a [ScaledClock] time passes by itself, as fast as one likes. Whatever is random comes
// from a seed: the same calls on the same seed make the same history.
//
// # Services
//
// Each concern is a package below internal: kernel (time, agenda, chance), wire (protocols, tables of operations), ecs,
// ecr with the registry's data plane, events, logs, and values for the services that only keep what they are given.
// A service is a table of operations: an operation is a function from the SDK's own input type to the SDK's own output
// type, run with the world locked. Credentials, faults and the record of calls lie around it (serve.go). A parameter that
// the input type lacks and an operation that the table lacks are errors that name it. What ECS asks of the others when a
// task starts (is the image there, may the secret be read, where do the log lines go) goes through ecs.Around. A new
// service is a constructor in [New]:
//
//	s := &wire.Service{Name: "sts", Protocol: wire.Query, Version: "2011-06-15"}
//	wire.Handle(s, "GetCallerIdentity", func(c *wire.Call, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
//		return &sts.GetCallerIdentityOutput{Arn: &c.Caller.ARN}, nil
//	})
//
// # What happens, and what goes wrong
//
// What containers do is data: a [Behavior] says how those that match it start, pass their health check, log and end. What
// goes wrong with calls is data: a [Fault]. What others do meanwhile is data: an [Intervention]. All three can be given
// before and at any time after, in Go or by POST below /_sim/. [World.Calls] tells what was called, by whom; [Do] and
// [World.State] look at the world from inside, past faults and stale reads.
//
// Services with the strategies BLUE_GREEN, LINEAR and CANARY go through their lifecycle stages. What decides there are facts
// ([World.SetFact], or SetFacts of an [Intervention]): lambda:NAME is what the function of a lifecycle hook answers
// (SUCCEEDED unless set, FAILED, IN_PROGRESS), and alarm:NAME set to ALARM is a CloudWatch alarm that goes off. A hook of
// type PAUSE waits for ContinueServiceDeployment or its timeout.
//
// [World.Listener] answers as a service's load balancer does, with a small shop of the build that runs; what is wrong with it,
// facts say too.
//
// # What is left out
//
// Signatures are read for who calls, not checked: any access key is good. There is one region to a world. IAM policies are
// evaluated in simulations alone; for a call that is refused a Denied fault stands. Of ECS: task sets, daemons,
// capacity providers other than Fargate's, placement constraints and strategies (kept and answered, not followed),
// service connect and volumes (likewise), container restart policies, task scale-in protection, ECS Exec. No
// load balancer asks the shop; that a service's targets are healthy or not follows from its containers' behaviors. Service
// deployments are read as they are, even where other reads lag. Rules fire at whole minutes and only on simple schedules.
// Durations that AWS does not promise are some seconds: draining takes ten and not the target group's 300.
//
// Texts of errors, events and reasons are AWS's own where its documentation or the issue threads of its clients show them;
// where nothing shows them they are worded alike. No client should rely on a wording that it has seen only here.
package awssim
