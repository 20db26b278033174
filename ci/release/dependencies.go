package release

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// logGroup is a log group in a region; region "" is that of the release.
type logGroup struct{ name, region string }

// dependencies is what the new revisions name and ECS needs when it starts
// their tasks.
type dependencies struct {
	roles      []string // ARNs
	secrets    []string // Secrets Manager ARNs, without key, stage and version
	keys       []secretKey
	parameters []string // SSM names or ARNs
	groups     []logGroup
}

// secretKey is a key of the JSON object that a version of a secret holds. Stage
// and version are empty for the current one.
type secretKey struct{ secret, key, stage, version string }

// dependenciesOf collects what the revisions name.
func dependenciesOf(revs []*revision) dependencies {
	var d dependencies
	role := func(r *string) {
		if s := aws.ToString(r); s != "" {
			add(&d.roles, s)
		}
	}
	for _, p := range revs {
		td := p.desired
		if td == nil {
			td = p.base
		}
		role(td.TaskRoleArn)
		role(td.ExecutionRoleArn)
		for _, c := range td.ContainerDefinitions {
			for _, s := range c.Secrets {
				d.value(aws.ToString(s.ValueFrom))
			}
			if c.RepositoryCredentials != nil {
				d.value(aws.ToString(c.RepositoryCredentials.CredentialsParameter))
			}
			l := c.LogConfiguration
			if l == nil {
				continue
			}
			for _, s := range l.SecretOptions {
				d.value(aws.ToString(s.ValueFrom))
			}
			if l.LogDriver == types.LogDriverAwslogs && l.Options["awslogs-group"] != "" && l.Options["awslogs-create-group"] != "true" {
				add(&d.groups, logGroup{l.Options["awslogs-group"], l.Options["awslogs-region"]})
			}
		}
	}
	return d
}

// value notes where a secret's value comes from: the ARN of a secret
// (arn:…:secret:NAME[:key:stage:version]), the ARN of a parameter, or a
// parameter's name.
func (d *dependencies) value(from string) {
	a, err := arn.Parse(from)
	if err == nil && a.Service == "secretsmanager" {
		parts := strings.SplitN(from, ":", 8)
		id := strings.Join(parts[:min(7, len(parts))], ":")
		add(&d.secrets, id)
		if len(parts) == 8 {
			of := append(strings.Split(parts[7], ":"), "", "")
			if of[0] != "" {
				add(&d.keys, secretKey{id, of[0], of[1], of[2]})
			}
		}
		return
	}
	if from != "" {
		add(&d.parameters, from)
	}
}

// checkDependencies reports what is missing of what the new revisions name.
// What may not be read is a warning that names it.
func (v *survey) checkDependencies(ctx context.Context) {
	d := dependenciesOf(v.revs)
	for _, role := range d.roles {
		v.checkRole(ctx, role)
	}
	for _, s := range d.secrets {
		if v.checkSecret(ctx, s) {
			v.checkKeys(ctx, s, d.keys)
		}
	}
	v.checkParameters(ctx, d.parameters)
	for _, g := range d.groups {
		v.checkLogGroup(ctx, g)
	}
}

// unread reports something that could not be looked at.
func (v *survey) unread(subject, permission string, err error) {
	do := ""
	if ecs.Denied(err) {
		do = "allow " + permission + " to have it checked"
	}
	v.warn(subject, do, sayUnchecked, err)
}

func (v *survey) checkRole(ctx context.Context, role string) {
	subject := "role " + role
	name := role
	if a, err := arn.Parse(role); err == nil {
		name = ecs.LastPart(a.Resource)
		for _, p := range v.revs {
			// A role of another account cannot be asked about by name.
			if own, err := arn.Parse(p.arn()); err == nil && own.AccountID != a.AccountID {
				v.warn(subject, "", sayRoleElsewhere)
				return
			}
		}
	}
	_, err := ask(ctx, v.session, "IAM", "GetRole", func(ctx context.Context) (*iam.GetRoleOutput, error) {
		return v.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(name)})
	})
	switch {
	case err == nil:
	case ecs.Code(err) == "NoSuchEntity", ecs.Code(err) == "NoSuchEntityException":
		v.refuse(subject, doCreateRole, sayMissingForTasks)
	default:
		v.unread(subject, "iam:GetRole", err)
	}
}

// inRegionOf asks where the secret or parameter is.
func inRegionOf(id string) func(*secretsmanager.Options) {
	return func(o *secretsmanager.Options) {
		if r := regionOf(id); r != "" {
			o.Region = r
		}
	}
}

// checkSecret reports whether there is anything to read in a secret.
func (v *survey) checkSecret(ctx context.Context, id string) bool {
	subject := "secret " + id
	out, err := ask(ctx, v.session, "Secrets Manager", "DescribeSecret", func(ctx context.Context) (*secretsmanager.DescribeSecretOutput, error) {
		return v.Secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(id)}, inRegionOf(id))
	})
	switch {
	case err == nil && out.DeletedDate != nil:
		v.refuse(subject, doRestore, sayScheduledForDeletion)
	case err == nil:
		return true
	case ecs.Code(err) == "ResourceNotFoundException":
		v.refuse(subject, doCreateSecret, sayMissingForTasks)
	default:
		v.unread(subject, "secretsmanager:DescribeSecret", err)
	}
	return false
}

// checkKeys reports which of the keys that are wanted of a secret its value does
// not have: ECS starts no task then. The value itself goes nowhere.
func (v *survey) checkKeys(ctx context.Context, id string, keys []secretKey) {
	read := map[secretKey]map[string]json.RawMessage{} // by version
	for _, k := range keys {
		if k.secret != id {
			continue
		}
		subject := "secret " + id
		version := secretKey{secret: id, stage: k.stage, version: k.version}
		members, ok := read[version]
		if !ok {
			out, err := ask(ctx, v.session, "Secrets Manager", "GetSecretValue", func(ctx context.Context) (*secretsmanager.GetSecretValueOutput, error) {
				in := secretsmanager.GetSecretValueInput{SecretId: aws.String(id)}
				if k.stage != "" {
					in.VersionStage = aws.String(k.stage)
				}
				if k.version != "" {
					in.VersionId = aws.String(k.version)
				}
				return v.Secrets.GetSecretValue(ctx, &in, inRegionOf(id))
			})
			switch {
			case ecs.Code(err) == "ResourceNotFoundException":
				v.refuse(subject, doGiveValue, sayNoValue)
				return
			case ecs.Denied(err):
				v.note(LevelInfo, sayKeysUnchecked, subject)
				return
			case err != nil:
				v.unread(subject, "secretsmanager:GetSecretValue", err)
				return
			}
			if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &members) != nil {
				members = nil // no JSON object: it has no key at all
			}
			read[version] = members
		}
		if _, ok := members[k.key]; !ok {
			v.refuse(subject, doAddKey, sayNoKey, k.key)
		}
	}
}

func (v *survey) checkParameters(ctx context.Context, names []string) {
	byRegion := map[string][]string{}
	var regions []string
	for _, n := range names {
		r := regionOf(n)
		add(&regions, r)
		byRegion[r] = append(byRegion[r], n)
	}
	const perCall = 10
	for _, region := range regions {
		for chunk := range slices.Chunk(byRegion[region], perCall) {
			out, err := ask(ctx, v.session, "SSM", "GetParameters", func(ctx context.Context) (*ssm.GetParametersOutput, error) {
				return v.SSM.GetParameters(ctx, &ssm.GetParametersInput{Names: chunk}, func(o *ssm.Options) {
					if region != "" {
						o.Region = region
					}
				})
			})
			if err != nil {
				v.unread("parameters "+strings.Join(chunk, ", "), "ssm:GetParameters", err)
				continue
			}
			for _, n := range out.InvalidParameters {
				v.refuse("parameter "+n, doCreateSecret, sayMissingForTasks)
			}
		}
	}
}

func (v *survey) checkLogGroup(ctx context.Context, g logGroup) {
	subject := "log group " + g.name
	out, err := ask(ctx, v.session, "CloudWatch Logs", "DescribeLogGroups", func(ctx context.Context) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
		return v.Logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(g.name)}, func(o *cloudwatchlogs.Options) {
			if g.region != "" {
				o.Region = g.region
			}
		})
	})
	if err != nil {
		v.unread(subject, "logs:DescribeLogGroups", err)
		return
	}
	for _, found := range out.LogGroups {
		if aws.ToString(found.LogGroupName) == g.name {
			return
		}
	}
	// The answer is sorted by name: a group of exactly this name comes first.
	v.refuse(subject, doCreateLogGroup, sayMissingForContainers)
}
