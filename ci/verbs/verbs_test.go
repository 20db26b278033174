package verbs_test

import (
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/pflag"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// Every verb's struct is one that envconfig takes and whose flags can be bound, and every setting is explained.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range verbs.All() {
		if seen[v.Name] {
			t.Errorf("%s is there twice", v.Name)
		}
		seen[v.Name] = true
		config.Bind(pflag.NewFlagSet(v.Name, pflag.ContinueOnError), v.Settings) // panics if it cannot
		if err := config.Load(t.Context(), v.Settings, envconfig.MapLookuper(map[string]string{"BUILD_NUM": "1", "MCK_CLUSTER": "a", "MCK_SERVICES": "b", "MCK_BASE_URL": "c",
			"MCK_ADMIN_USER": "d", "MCK_ADMIN_EMAIL": "e", "MCK_ADMIN_PASSWORD_SECRET": "f", "MCK_SEARCH_HOST": "g", "MCK_DESIRED_COUNT": "1",
		})); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for _, s := range config.Settings(v.Settings) {
			if s.Doc == "" {
				t.Errorf("%s: %s %s is not explained", v.Name, s.Name, s.Flag)
			}
			if s.Secret && (s.Flag != "" || s.Name == "") {
				t.Errorf("%s: %s is a secret, and %q a flag", v.Name, s.Name, s.Flag)
			}
		}
	}
}

// What the table says of the build is what the build does.
func TestBuildDefaults(t *testing.T) {
	defaults := map[string]string{}
	for _, v := range []string{"build", "pin"} {
		for _, s := range config.Settings(verbs.Find(v).Settings) {
			defaults[s.Flag] = s.Default
		}
	}
	for flag, want := range map[string]string{"nginx-base": build.NginxImage, "platform": image.DefaultPlatform, "file": build.BasesFile} {
		if defaults[flag] != want {
			t.Errorf("the default of --%s is %s, and that of the build %s", flag, defaults[flag], want)
		}
	}
}
