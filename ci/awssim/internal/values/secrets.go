package values

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// AWS Secrets Manager, after https://docs.aws.amazon.com/secretsmanager/latest/apireference/. Left out: rotation,
// replication, resource policies, recovery of what was deleted.

// Vault holds what a task's secrets may name: secrets, and the parameters of SSM.
type Vault struct {
	SecretsManager, SSM *wire.Service

	k          *kernel.Kernel
	roles      *Roles
	secrets    *wire.Table[secret]
	parameters *wire.Table[parameter]
}

type secret struct {
	name, arn, description string
	created, changed       time.Time
	tags                   []types.Tag
	versions               []secretVersion // the last one is AWSCURRENT, the one before it AWSPREVIOUS
}

type secretVersion struct {
	id      string
	text    *string
	binary  []byte
	created time.Time
}

// SecretSpec is a secret that exists when the world starts.
type SecretSpec struct {
	Name  string `json:"name"`
	ARN   string `json:"arn,omitempty"` // made up unless set
	Value string `json:"value"`
}

// NewVault returns a vault without a secret or a parameter.
func NewVault(k *kernel.Kernel, roles *Roles) *Vault {
	v := &Vault{k: k, roles: roles, parameters: newParameters(k)}
	v.secrets = &wire.Table[secret]{
		Rows: map[string]*secret{},
		// An ARN counts without its six random characters as well.
		Aliases: func(s *secret) []string { return []string{s.arn, s.arn[:len(s.arn)-len("-abcdef")]} },
		Missing: func(string) *wire.Error {
			return wire.Errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		},
	}
	s := &wire.Service{Name: "secretsmanager", Target: "secretsmanager", State: func() any { return v.secrets.Names() }}
	v.SecretsManager = s
	wire.Handle(s, "CreateSecret", v.createSecret).Secret = true
	wire.Get(s, "PutSecretValue", v.secrets, func(in *secretsmanager.PutSecretValueInput) *string { return in.SecretId }, v.putSecretValue).Secret = true
	wire.Get(s, "GetSecretValue", v.secrets, func(in *secretsmanager.GetSecretValueInput) *string { return in.SecretId }, getSecretValue)
	wire.Get(s, "DescribeSecret", v.secrets, func(in *secretsmanager.DescribeSecretInput) *string { return in.SecretId }, describeSecret)
	wire.Handle(s, "ListSecrets", v.listSecrets)
	wire.Get(s, "DeleteSecret", v.secrets, func(in *secretsmanager.DeleteSecretInput) *string { return in.SecretId }, v.deleteSecret)
	v.SSM = v.newSSM()
	return v
}

// BuildSecrets makes secrets.
func (v *Vault) BuildSecrets(c *wire.Call, specs []SecretSpec) error {
	for _, spec := range specs {
		_, err := v.createSecret(c, &secretsmanager.CreateSecretInput{Name: aws.String(spec.Name), SecretString: aws.String(spec.Value)})
		if err != nil {
			return fmt.Errorf("secret %s: %w", spec.Name, err)
		}
		if spec.ARN != "" {
			v.secrets.Rows[spec.Name].arn = spec.ARN
		}
	}
	return nil
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

func (v *Vault) createSecret(c *wire.Call, in *secretsmanager.CreateSecretInput) (*secretsmanager.CreateSecretOutput, error) {
	n := aws.ToString(in.Name)
	if !secretName.MatchString(n) {
		return nil, wire.Errf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if v.secrets.Rows[n] != nil {
		return nil, wire.Errf("ResourceExistsException", "The operation failed because the secret %s already exists.", n)
	}
	s := &secret{
		name: n, arn: v.k.ARN("secretsmanager", "secret:"+n+"-"+v.k.NewID("secret")[:6]),
		description: aws.ToString(in.Description), created: c.Now, changed: c.Now, tags: slices.Clone(in.Tags),
	}
	out := &secretsmanager.CreateSecretOutput{ARN: &s.arn, Name: &n}
	if in.SecretString != nil || in.SecretBinary != nil {
		out.VersionId = aws.String(v.put(c, s, in.SecretString, in.SecretBinary, in.ClientRequestToken))
	}
	v.secrets.Rows[n] = s
	return out, nil
}

// put adds a version and returns its id.
func (v *Vault) put(c *wire.Call, s *secret, text *string, binary []byte, token *string) string {
	id := aws.ToString(token)
	if id == "" {
		id = v.k.NewID("secret-version")
	}
	s.versions = append(s.versions, secretVersion{id: id, text: text, binary: slices.Clone(binary), created: c.Now})
	s.changed = c.Now
	return id
}

// stages returns the labels of the i-th version.
func (s *secret) stages(i int) []string {
	switch len(s.versions) - i {
	case 1:
		return []string{"AWSCURRENT"}
	case 2:
		return []string{"AWSPREVIOUS"}
	}
	return nil
}

func (v *Vault) putSecretValue(c *wire.Call, s *secret, in *secretsmanager.PutSecretValueInput) (*secretsmanager.PutSecretValueOutput, error) {
	if in.SecretString == nil && in.SecretBinary == nil {
		return nil, wire.Errf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	id := v.put(c, s, in.SecretString, in.SecretBinary, in.ClientRequestToken)
	return &secretsmanager.PutSecretValueOutput{ARN: &s.arn, Name: &s.name, VersionId: &id, VersionStages: []string{"AWSCURRENT"}}, nil
}

// version returns the index of the version that an id or a stage names, AWSCURRENT if neither is set.
func (s *secret) version(id, stage string) (int, error) {
	if id == "" && stage == "" {
		stage = "AWSCURRENT"
	}
	for i := range s.versions {
		if (id == "" || s.versions[i].id == id) && (stage == "" || slices.Contains(s.stages(i), stage)) {
			return i, nil
		}
	}
	if id != "" {
		return 0, wire.Errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", id)
	}
	return 0, wire.Errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", stage)
}

func getSecretValue(_ *wire.Call, s *secret, in *secretsmanager.GetSecretValueInput) (*secretsmanager.GetSecretValueOutput, error) {
	i, err := s.version(aws.ToString(in.VersionId), aws.ToString(in.VersionStage))
	if err != nil {
		return nil, err
	}
	version := s.versions[i]
	return &secretsmanager.GetSecretValueOutput{
		ARN: &s.arn, Name: &s.name, VersionId: &version.id, VersionStages: s.stages(i), CreatedDate: &version.created,
		SecretString: version.text, SecretBinary: version.binary,
	}, nil
}

func (s *secret) versionStages() map[string][]string {
	all := map[string][]string{}
	for i, version := range s.versions {
		if stages := s.stages(i); stages != nil {
			all[version.id] = stages
		}
	}
	return all
}

func describeSecret(_ *wire.Call, s *secret, in *secretsmanager.DescribeSecretInput) (*secretsmanager.DescribeSecretOutput, error) {
	return &secretsmanager.DescribeSecretOutput{
		ARN: aws.String(s.arn), Name: aws.String(s.name), Description: nilIfEmpty(s.description), CreatedDate: aws.Time(s.created),
		LastChangedDate: aws.Time(s.changed), Tags: slices.Clone(s.tags), VersionIdsToStages: s.versionStages(),
	}, nil
}

func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (v *Vault) listSecrets(c *wire.Call, in *secretsmanager.ListSecretsInput) (*secretsmanager.ListSecretsOutput, error) {
	var found []types.SecretListEntry
	for _, s := range v.secrets.Sorted() {
		if !slices.ContainsFunc(in.Filters, func(f types.Filter) bool { return !s.matches(f) }) {
			found = append(found, types.SecretListEntry{
				ARN: aws.String(s.arn), Name: aws.String(s.name), Description: nilIfEmpty(s.description), CreatedDate: aws.Time(s.created),
				LastChangedDate: aws.Time(s.changed), Tags: slices.Clone(s.tags), SecretVersionsToStages: s.versionStages(),
			})
		}
	}
	if in.SortOrder == types.SortOrderTypeDesc {
		slices.Reverse(found)
	}
	page, next, err := wire.Cut(secretPages, found, in.MaxResults, in.NextToken)
	return &secretsmanager.ListSecretsOutput{SecretList: page, NextToken: next}, err
}

var secretPages = wire.Pages{
	Size: 100, Most: 100,
	BadSize: func(size int) *wire.Error {
		return wire.ModelError(size, "maxResults", "Member must have value between 1 and 100, inclusive")
	},
	BadToken: wire.Errf("InvalidNextTokenException", "The NextToken value is invalid."),
}

// matches says whether a secret passes a filter: a prefix, or with ! anything but.
func (s *secret) matches(f types.Filter) bool {
	var have []string
	switch f.Key {
	case types.FilterNameStringTypeName:
		have = []string{s.name}
	case types.FilterNameStringTypeDescription:
		have = []string{s.description}
	case types.FilterNameStringTypeTagKey:
		for _, t := range s.tags {
			have = append(have, *t.Key)
		}
	case types.FilterNameStringTypeTagValue:
		for _, t := range s.tags {
			have = append(have, aws.ToString(t.Value))
		}
	default:
		have = []string{s.name, s.description}
	}
	return slices.ContainsFunc(f.Values, func(want string) bool {
		want, not := strings.CutPrefix(want, "!")
		return not != slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, want) })
	})
}

func (v *Vault) deleteSecret(c *wire.Call, s *secret, in *secretsmanager.DeleteSecretInput) (*secretsmanager.DeleteSecretOutput, error) {
	delete(v.secrets.Rows, s.name)
	return &secretsmanager.DeleteSecretOutput{ARN: &s.arn, Name: &s.name, DeletionDate: aws.Time(c.Now)}, nil
}

// ResolveSecret implements ecs.SecretSource. The reasons are those of the agent:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
func (v *Vault) ResolveSecret(valueFrom, executionRoleARN string) error {
	const head = "unable to pull secrets or registry auth: execution resource retrieval failed: "
	if executionRoleARN != "" && !v.roles.RoleExists(executionRoleARN) {
		return fmt.Errorf(head+"unable to retrieve secret: the execution role %s cannot be assumed", executionRoleARN)
	}
	if !strings.HasPrefix(valueFrom, v.k.ARN("secretsmanager", "secret:")) {
		if _, err := v.parameters.Find(&valueFrom); err != nil {
			return fmt.Errorf(head+"unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: %s", valueFrom)
		}
		return nil
	}
	// arn:aws:secretsmanager:region:account:secret:name-abcdef:json-key:version-stage:version-id
	const inARN = 7
	parts := append(strings.Split(valueFrom, ":"), "", "", "")
	arn, key, stage, id := strings.Join(parts[:inARN], ":"), parts[inARN], parts[inARN+1], parts[inARN+2]
	fail := func(err error) error {
		return fmt.Errorf(head+"unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret %s from secrets manager: %w", valueFrom, err)
	}
	s, err := v.secrets.Find(&arn)
	if err != nil {
		return fail(err)
	}
	i, err := s.version(id, stage)
	if err != nil {
		return fail(err)
	}
	if key == "" {
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(aws.ToString(s.versions[i].text)), &object); err != nil {
		return fail(fmt.Errorf("the secret is not JSON, and a json key is asked for"))
	}
	if _, ok := object[key]; !ok {
		return fmt.Errorf(head+"unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key %s", key)
	}
	return nil
}
