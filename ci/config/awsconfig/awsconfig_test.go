package awsconfig_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/config/awsconfig"
)

// noAmbientSettings keeps the machine's own AWS settings out of a test: the SDK reads them from the process.
func noAmbientSettings(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhichCredentials(t *testing.T) {
	noAmbientSettings(t)
	files := write(t, "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=s\nregion=eu-north-1\n"+
		"[staging]\naws_access_key_id=STAGING\naws_secret_access_key=s\nregion=eu-west-1\n")
	tests := []struct {
		name                string
		settings            config.AWS
		wantKey, wantRegion string
	}{
		{"files", config.AWS{}, "DEFAULT", "eu-north-1"},
		{"region set", config.AWS{Region: "us-east-1"}, "DEFAULT", "us-east-1"},
		{"default profile", config.AWS{DefaultProfile: "staging"}, "STAGING", "eu-west-1"},
		{"static keys before the default profile", config.AWS{DefaultProfile: "staging", AccessKeyID: "STATIC", SecretAccessKey: "s", Region: "r"}, "STATIC", "r"},
		{"profile asked for before static keys", config.AWS{Profile: "staging", AccessKeyID: "STATIC", SecretAccessKey: "s"}, "STAGING", "eu-west-1"},
		{"static keys before web identity", config.AWS{AccessKeyID: "STATIC", SecretAccessKey: "s", Region: "r", RoleARN: "arn", TokenFile: "none"}, "STATIC", "r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Credentials = files
			cfg, err := awsconfig.Load(t.Context(), tt.settings, awsconfig.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.AccessKeyID != tt.wantKey || cfg.Region != tt.wantRegion {
				t.Errorf("key %s in %s, want %s in %s", got.AccessKeyID, cfg.Region, tt.wantKey, tt.wantRegion)
			}
		})
	}
}

func TestContradictions(t *testing.T) {
	noAmbientSettings(t)
	for want, s := range map[string]config.AWS{
		"set both or neither":         {Region: "r", AccessKeyID: "AKIA"},
		"set AWS_ROLE_ARN":            {Region: "r", TokenFile: "token"},
		"set AWS_REGION":              {AccessKeyID: "AKIA", SecretAccessKey: "s"},
		"AWS_CA_BUNDLE":               {Region: "r", CABundle: "/does/not/exist"},
		"failed to get shared config": {Region: "r", Profile: "nobody"},
	} {
		if _, err := awsconfig.Load(t.Context(), s, awsconfig.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%+v) = %v, want an error with %q", s, err, want)
		}
	}
}

const role = "arn:aws:iam::111111111111:role/magento-task"

// jwt makes a web identity token without a signature.
func jwt(expires time.Time) string {
	claims := fmt.Sprintf(`{"sub":"org/1/project/2","iss":"https://oidc.circleci.com/org/1","aud":"1","exp":%d}`, expires.Unix())
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
}

// serve starts a simulated AWS whose time is about that of the machine, by which the SDK judges credentials.
func serve(t *testing.T) (*awssim.World, string) {
	t.Helper()
	world, err := awssim.New(awssim.Config{Clock: awssim.NewVirtualClock(time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(world.Handler())
	t.Cleanup(server.Close)
	return world, server.URL
}

func caller(t *testing.T, cfg aws.Config) string {
	t.Helper()
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Arn
}

func TestWebIdentity(t *testing.T) {
	noAmbientSettings(t)
	for name, settings := range map[string]config.AWS{
		"token in a file":      {TokenFile: write(t, jwt(time.Now().Add(time.Hour)))},
		"token of CircleCI":    {CircleToken: config.Secret(jwt(time.Now().Add(time.Hour)))},
		"whatever the profile": {CircleToken: config.Secret(jwt(time.Now().Add(time.Hour))), DefaultProfile: "default"},
	} {
		t.Run(name, func(t *testing.T) {
			world, url := serve(t)
			settings.Region, settings.Endpoint, settings.RoleARN, settings.RoleSession = "us-east-1", url, role, "build 7 of main"
			cfg, err := awsconfig.Load(t.Context(), settings, awsconfig.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got, want := caller(t, cfg), "arn:aws:sts::111111111111:assumed-role/magento-task/build-7-of-main"; got != want {
					t.Errorf("the caller is %s, want %s", got, want)
				}
			}
			if n := count(world, "sts:AssumeRoleWithWebIdentity"); n != 1 {
				t.Errorf("the role was assumed %d times", n)
			}
		})
	}
}

// A token file that has been replaced is read again when the credentials have ended.
func TestWebIdentityIsRenewed(t *testing.T) {
	noAmbientSettings(t)
	world, err := awssim.New(awssim.Config{Clock: awssim.NewVirtualClock(time.Now().Add(-2 * time.Hour))}) // its sessions have ended on the SDK's clock
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(world.Handler())
	defer server.Close()
	file := write(t, jwt(time.Now().Add(time.Hour)))
	cfg, err := awsconfig.Load(t.Context(), config.AWS{
		Region: "us-east-1", Endpoint: server.URL, RoleARN: role, RoleSession: "job", TokenFile: file, MaxAttempts: 1,
	}, awsconfig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	caller(t, cfg)
	caller(t, cfg)
	if n := count(world, "sts:AssumeRoleWithWebIdentity"); n != 2 {
		t.Errorf("the role was assumed %d times, want once for each set of credentials", n)
	}
	if err := os.WriteFile(file, []byte("not a token"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err == nil || !strings.Contains(err.Error(), "InvalidIdentityToken") {
		t.Errorf("with a bad token in the file: %v", err)
	}
}

func count(w *awssim.World, op string) (n int) {
	for _, c := range w.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// With throttling at every third call nothing fails, however many calls there are.
func TestThrottling(t *testing.T) {
	noAmbientSettings(t)
	world, url := serve(t)
	if err := world.AddFault(awssim.Fault{Op: "*", Kind: awssim.Throttle, Every: 3}); err != nil {
		t.Fatal(err)
	}
	cfg, err := awsconfig.Load(t.Context(), config.AWS{Region: "us-east-1", Endpoint: url, AccessKeyID: "AKIA", SecretAccessKey: "s", MaxAttempts: 10},
		awsconfig.Options{Backoff: func(int) time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		caller(t, cfg)
	}
}

func TestNoSecretInErrors(t *testing.T) {
	noAmbientSettings(t)
	world, url := serve(t)
	token := jwt(time.Now().Add(-time.Hour)) // it has ended
	settings := []config.AWS{
		{RoleARN: role, RoleSession: "job", CircleToken: config.Secret(token)},
		{AccessKeyID: "AKIA", SecretAccessKey: "hunter2", SessionToken: "hunter3"},
	}
	if err := world.AddFault(awssim.Fault{Op: "sts:GetCallerIdentity", Kind: awssim.Expired}); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		s.Region, s.Endpoint, s.MaxAttempts = "us-east-1", url, 1
		cfg, err := awsconfig.Load(t.Context(), s, awsconfig.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		text := fmt.Sprintf("%v %+v %+v", err, s, []any{s})
		for _, secret := range []string{token, "hunter2", "hunter3"} {
			if err == nil || strings.Contains(text, secret) {
				t.Errorf("the error shows a secret: %s", text)
			}
		}
	}
}
