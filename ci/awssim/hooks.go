package awssim

// What ECS asks of the other services when it starts a task. A service that can answer puts itself into World.hooks
// in its constructor; where nobody does, the answer is yes.

// imageSource knows the images of this account's registry.
type imageSource interface {
	// resolveImage returns the digest that a reference to the account's own registry stands for, on a platform
	// such as "linux/amd64". known is false for a reference to any other registry: such an image always exists.
	// The error is the reason that a container gets, in the words of the agent, without the leading
	// "CannotPullContainerError: ".
	resolveImage(ref, platform string) (digest string, known bool, err error)
}

// secretSource knows Secrets Manager and SSM.
type secretSource interface {
	// resolveSecret looks up what a container's secrets[].valueFrom names (the ARN of a secret, with or without
	// :json-key:version-stage:version-id, or the ARN or name of a parameter), as the execution role would. The error
	// is worded as in a task's stoppedReason after "ResourceInitializationError: ".
	resolveSecret(valueFrom, executionRoleARN string) error
}

// roleSource knows IAM.
type roleSource interface {
	// roleExists says whether ECS could assume a role.
	roleExists(arn string) bool
}

// logSink knows CloudWatch Logs.
type logSink interface {
	// openStream makes the stream that the awslogs driver writes a container's output to. With create the group
	// is made as well (awslogs-create-group). The error is worded as the driver words it after
	// "failed to create Cloudwatch log stream: ".
	openStream(group, stream string, create bool) error
	// putLine appends a line at the world's time; a group or stream that is gone swallows it.
	putLine(group, stream, line string)
}

type hooks struct {
	images  imageSource
	secrets secretSource
	roles   roleSource
	logs    logSink
	rules   ruleSource
}
