package awssim

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// AWS Secrets Manager, after https://docs.aws.amazon.com/secretsmanager/latest/apireference/. Left out: rotation,
// replication, resource policies, recovery of what was deleted.

// vault holds what a task's secrets may name: secrets, and the parameters of SSM.
type vault struct {
	w          *World
	secrets    map[string]*secret    // by name
	parameters map[string]*parameter // by name
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

func newSecrets(w *World) *service {
	v := &vault{w: w, secrets: map[string]*secret{}, parameters: map[string]*parameter{}}
	w.hooks.secrets = v
	s := &service{name: "secretsmanager", target: "secretsmanager", build: v.buildSecrets, state: func() any { return slices.Sorted(maps.Keys(v.secrets)) }}
	handle(s, "CreateSecret", v.createSecret).secret = true
	handle(s, "PutSecretValue", v.putSecretValue).secret = true
	handle(s, "GetSecretValue", v.getSecretValue)
	handle(s, "DescribeSecret", v.describeSecret)
	handle(s, "ListSecrets", v.listSecrets)
	handle(s, "DeleteSecret", v.deleteSecret)
	return s
}

func (v *vault) buildSecrets(t *Topology) error {
	for _, spec := range t.Secrets {
		_, err := v.createSecret(&call{w: v.w}, &secretsmanager.CreateSecretInput{Name: aws.String(spec.Name), SecretString: aws.String(spec.Value)})
		if err != nil {
			return fmt.Errorf("secret %s: %w", spec.Name, err)
		}
		if spec.ARN != "" {
			v.secrets[spec.Name].arn = spec.ARN
		}
	}
	return nil
}

// find looks a secret up by its name, its ARN, or its ARN without the six random characters.
func (v *vault) find(id *string) (*secret, error) {
	for _, s := range v.secrets {
		if n := aws.ToString(id); n == s.name || n == s.arn || n == s.arn[:len(s.arn)-len("-abcdef")] {
			return s, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

func (v *vault) createSecret(c *call, in *secretsmanager.CreateSecretInput) (*secretsmanager.CreateSecretOutput, error) {
	n := aws.ToString(in.Name)
	if !secretName.MatchString(n) {
		return nil, errf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if v.secrets[n] != nil {
		return nil, errf("ResourceExistsException", "The operation failed because the secret %s already exists.", n)
	}
	s := &secret{
		name: n, arn: v.w.arn("secretsmanager", "secret:"+n+"-"+v.w.newID("secret")[:6]),
		description: aws.ToString(in.Description), created: c.now(), changed: c.now(), tags: slices.Clone(in.Tags),
	}
	out := &secretsmanager.CreateSecretOutput{ARN: &s.arn, Name: &n}
	if in.SecretString != nil || in.SecretBinary != nil {
		out.VersionId = aws.String(s.put(c, in.SecretString, in.SecretBinary, in.ClientRequestToken))
	}
	v.secrets[n] = s
	return out, nil
}

// put adds a version and returns its id.
func (s *secret) put(c *call, text *string, binary []byte, token *string) string {
	id := aws.ToString(token)
	if id == "" {
		id = c.w.newID("secret-version")
	}
	s.versions = append(s.versions, secretVersion{id: id, text: text, binary: slices.Clone(binary), created: c.now()})
	s.changed = c.now()
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

func (v *vault) putSecretValue(c *call, in *secretsmanager.PutSecretValueInput) (*secretsmanager.PutSecretValueOutput, error) {
	s, err := v.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	if in.SecretString == nil && in.SecretBinary == nil {
		return nil, errf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	id := s.put(c, in.SecretString, in.SecretBinary, in.ClientRequestToken)
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
		return 0, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", id)
	}
	return 0, errf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", stage)
}

func (v *vault) getSecretValue(c *call, in *secretsmanager.GetSecretValueInput) (*secretsmanager.GetSecretValueOutput, error) {
	s, err := v.find(in.SecretId)
	if err != nil {
		return nil, err
	}
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

func (v *vault) describeSecret(c *call, in *secretsmanager.DescribeSecretInput) (*secretsmanager.DescribeSecretOutput, error) {
	s, err := v.find(in.SecretId)
	if err != nil {
		return nil, err
	}
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

func (v *vault) listSecrets(c *call, in *secretsmanager.ListSecretsInput) (*secretsmanager.ListSecretsOutput, error) {
	var found []types.SecretListEntry
	for _, n := range slices.Sorted(maps.Keys(v.secrets)) {
		s := v.secrets[n]
		if !slices.ContainsFunc(in.Filters, func(f types.Filter) bool { return !s.matches(f) }) {
			found = append(found, types.SecretListEntry{
				ARN: aws.String(s.arn), Name: aws.String(n), Description: nilIfEmpty(s.description), CreatedDate: aws.Time(s.created),
				LastChangedDate: aws.Time(s.changed), Tags: slices.Clone(s.tags), SecretVersionsToStages: s.versionStages(),
			})
		}
	}
	if in.SortOrder == types.SortOrderTypeDesc {
		slices.Reverse(found)
	}
	size := 100
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	if size < 1 || size > 100 {
		return nil, errf("ValidationException", "1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and 100, inclusive", size)
	}
	page, next, ok := cutPage(found, size, in.NextToken)
	if !ok {
		return nil, errf("InvalidNextTokenException", "The NextToken value is invalid.")
	}
	return &secretsmanager.ListSecretsOutput{SecretList: page, NextToken: next}, nil
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

func (v *vault) deleteSecret(c *call, in *secretsmanager.DeleteSecretInput) (*secretsmanager.DeleteSecretOutput, error) {
	s, err := v.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	delete(v.secrets, s.name)
	return &secretsmanager.DeleteSecretOutput{ARN: &s.arn, Name: &s.name, DeletionDate: aws.Time(c.now())}, nil
}

// resolveSecret implements secretSource. The reasons are those of the agent:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
func (v *vault) resolveSecret(valueFrom, executionRoleARN string) error {
	const head = "unable to pull secrets or registry auth: execution resource retrieval failed: "
	if v.w.hooks.roles != nil && executionRoleARN != "" && !v.w.hooks.roles.roleExists(executionRoleARN) {
		return fmt.Errorf(head+"unable to retrieve secret: the execution role %s cannot be assumed", executionRoleARN)
	}
	if !strings.HasPrefix(valueFrom, v.w.arn("secretsmanager", "secret:")) {
		if _, err := v.parameter(valueFrom); err != nil {
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
	s, err := v.find(&arn)
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
