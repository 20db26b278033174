package awssim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

func TestSecrets(t *testing.T) {
	r := start(t, awssim.Config{})
	api := secretsmanager.NewFromConfig(r.w.ClientConfig())
	ctx := t.Context()
	made, err := api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("staging/db"), SecretString: aws.String("one")})
	r.must(err)
	_, err = api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("two")})
	r.must(err)
	partial := (*made.ARN)[:strings.LastIndex(*made.ARN, "-")]
	for id, want := range map[*string]string{made.Name: "two", made.ARN: "two", &partial: "two"} {
		got, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
		r.must(err)
		if *got.SecretString != want {
			t.Errorf("%s is %s", *id, *got.SecretString)
		}
	}
	got, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionStage: aws.String("AWSPREVIOUS")})
	r.must(err)
	if *got.SecretString != "one" || *got.VersionId != *made.VersionId {
		t.Errorf("the version before is %s", *got.SecretString)
	}
	list, err := api.ListSecrets(ctx, &secretsmanager.ListSecretsInput{Filters: []smtypes.Filter{{Key: smtypes.FilterNameStringTypeName, Values: []string{"staging/"}}}})
	r.must(err)
	if len(list.SecretList) != 1 || *list.SecretList[0].ARN != *made.ARN {
		t.Errorf("%+v", list.SecretList)
	}

	_, err = api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: made.Name})
	wantCode(t, err, "ResourceExistsException")
	_, err = api.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("gone")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionStage: aws.String("AWSPENDING")})
	wantCode(t, err, "ResourceNotFoundException")

	for _, c := range r.w.Calls() {
		if strings.Contains(string(c.Input), "two") {
			t.Errorf("a value was recorded: %s", c.Input)
		}
	}
}

func TestParameters(t *testing.T) {
	r := start(t, awssim.Config{})
	api := ssm.NewFromConfig(r.w.ClientConfig())
	ctx := t.Context()
	put := func(value string, overwrite bool) error {
		_, err := api.PutParameter(ctx, &ssm.PutParameterInput{
			Name: aws.String("/staging/key"), Value: &value, Type: types.ParameterTypeSecureString, Overwrite: &overwrite,
		})
		return err
	}
	r.must(put("one", false))
	wantCode(t, put("two", false), "ParameterAlreadyExists")
	r.must(put("two", true))
	for decrypt, shown := range map[bool]bool{true: true, false: false} {
		out, err := api.GetParameters(ctx, &ssm.GetParametersInput{
			Names: []string{"/staging/key", "arn:aws:ssm:us-east-1:111111111111:parameter/staging/key", "/gone"}, WithDecryption: &decrypt,
		})
		r.must(err)
		if len(out.Parameters) != 2 || len(out.InvalidParameters) != 1 || (*out.Parameters[0].Value == "two") != shown || out.Parameters[0].Version != 2 {
			t.Errorf("%+v, %v", out.Parameters, out.InvalidParameters)
		}
	}
	_, err := api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/gone")})
	wantCode(t, err, "ParameterNotFound")
	_, err = api.GetParameters(ctx, &ssm.GetParametersInput{Names: strings.Split(strings.Repeat("a ", 11)+"a", " ")})
	wantCode(t, err, "ValidationException")

	describe := func(key, option, value string) int {
		t.Helper()
		out, err := api.DescribeParameters(ctx, &ssm.DescribeParametersInput{
			ParameterFilters: []types.ParameterStringFilter{{Key: &key, Option: &option, Values: []string{value}}},
		})
		r.must(err)
		return len(out.Parameters)
	}
	if a, b, c := describe("Name", "Equals", "/staging/key"), describe("Name", "BeginsWith", "/"), describe("Type", "Equals", "SecureString"); a != 1 || b != 2 || c != 1 {
		t.Errorf("%d, %d and %d parameters", a, b, c)
	}
}
