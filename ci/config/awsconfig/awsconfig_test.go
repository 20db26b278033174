package awsconfig_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
