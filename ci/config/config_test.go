package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/pflag"

	"github.com/magecloudkit/pipeline/ci/config"
)

type settings struct {
	Common
	queue
	Cache    `env:",prefix=CACHE_"`
	Cluster  string            `env:"CLUSTER,required" flag:"cluster" doc:"cluster to release to"`
	BuildNum int               `env:"BUILD_NUM,required" or:"CIRCLE_BUILD_NUM,GITHUB_RUN_NUMBER" flag:"build-num" doc:"number of the build"`
	Timeout  time.Duration     `env:"TIMEOUT,default=6m" flag:"timeout" doc:"longest wait"`
	Migrate  string            `env:"MIGRATE,default=auto" flag:"migrate" oneof:"auto|always|never" doc:"when to migrate"`
	Services []string          `env:"SERVICES" flag:"service" doc:"services"`
	Labels   map[string]string `env:"LABELS" doc:"labels"`
	Force    bool              `env:"FORCE" flag:"force" doc:"roll even if nothing changed"`
	Password config.Secret     `env:"PASSWORD,required" doc:"the key to it all"`
}

// queue is embedded without being exported, as a verb's own groups of settings may be.
type queue struct {
	Consumers int `env:"CONSUMERS" flag:"consumers" doc:"processes"`
}

type Cache struct {
	Host string `env:"HOST,default=localhost" doc:"where the cache is"`
}

type Common struct {
	Region string `env:"REGION,default=$FALLBACK_REGION" doc:"region"`
}

// env is a Lookuper of pairs.
func env(pairs ...string) config.Lookuper {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return envconfig.MapLookuper(m)
}

// local is the default.
var local = Cache{"localhost"}

// compare looks into settings, secrets included.
var compare = cmp.Options{cmp.Transformer("reveal", config.Secret.Reveal), cmp.AllowUnexported(settings{})}

func TestLoad(t *testing.T) {
	tests := []struct {
		name   string
		before settings
		env    config.Lookuper
		want   settings
	}{{
		name: "all set",
		env: env("CLUSTER", "production-app", "BUILD_NUM", "300", "TIMEOUT", "90s", "MIGRATE", "never",
			"SERVICES", "web, consumers", "LABELS", "a:1,b:2", "FORCE", "true", "PASSWORD", "s3cret", "REGION", "eu-west-1", "CONSUMERS", "3", "CACHE_HOST", "redis"),
		want: settings{
			Common: Common{"eu-west-1"}, queue: queue{3}, Cache: Cache{"redis"}, Cluster: "production-app", BuildNum: 300, Timeout: 90 * time.Second,
			Migrate: "never", Services: []string{"web", "consumers"}, Labels: map[string]string{"a": "1", "b": "2"},
			Force: true, Password: "s3cret",
		},
	}, {
		name: "defaults, one of them another variable",
		env:  env("CLUSTER", "c", "BUILD_NUM", "1", "PASSWORD", "p", "FALLBACK_REGION", "us-east-1"),
		want: settings{
			Common: Common{"us-east-1"}, Cache: local, Cluster: "c", BuildNum: 1, Timeout: 6 * time.Minute, Migrate: "auto", Password: "p",
		},
	}, {
		name: "another variable serves, and the first of them wins",
		env:  env("CLUSTER", "c", "BUILD_NUM", " ", "CIRCLE_BUILD_NUM", "7", "GITHUB_RUN_NUMBER", "8", "PASSWORD", "p"),
		want: settings{Cache: local, Cluster: "c", BuildNum: 7, Timeout: 6 * time.Minute, Migrate: "auto", Password: "p"},
	}, {
		name: "empty means default",
		env:  env("CLUSTER", "c", "BUILD_NUM", "1", "PASSWORD", "p", "TIMEOUT", ""),
		want: settings{Cache: local, Cluster: "c", BuildNum: 1, Timeout: 6 * time.Minute, Migrate: "auto", Password: "p"},
	}, {
		name:   "what the caller has set stays, unless it is set",
		before: settings{Cluster: "mine", BuildNum: 2, Timeout: time.Second},
		env:    env("BUILD_NUM", "1", "PASSWORD", "p"),
		want:   settings{Cache: local, Cluster: "mine", BuildNum: 1, Timeout: time.Second, Migrate: "auto", Password: "p"},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.before
			if err := config.Load(t.Context(), &got, tt.env); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadReportsEverythingAtOnce(t *testing.T) {
	const secret = "hunter2"
	var s settings
	err := config.Load(t.Context(), &s, env(
		"CLUSTER", "  ", "TIMEOUT", secret, "LABELS", secret, "FORCE", secret, "MIGRATE", secret))
	var got *config.Error
	if !errors.As(err, &got) {
		t.Fatalf("Load = %v, want a *config.Error", err)
	}
	var missing, invalid []string
	for _, m := range got.Missing {
		missing = append(missing, m.Name)
	}
	for _, i := range got.Invalid {
		invalid = append(invalid, i.Name)
	}
	if diff := cmp.Diff([]string{"CLUSTER", "BUILD_NUM", "PASSWORD"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"TIMEOUT", "MIGRATE", "LABELS", "FORCE"}, invalid); diff != "" {
		t.Errorf("invalid (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"cluster to release to", "set CLUSTER, or pass --cluster",
		"set BUILD_NUM or CIRCLE_BUILD_NUM or GITHUB_RUN_NUMBER, or pass --build-num",
		"must be a duration", "must be one of auto, always, never", "must be true or false", "must be name:value pairs",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error quotes a value:\n%v", err)
	}
}

func TestLoadRefusesAStructThatIsWrong(t *testing.T) {
	for _, target := range []any{
		settings{},
		new(string),
		&struct {
			A string `env:"A,nonsense"`
		}{},
		&struct {
			a string `env:"A"`
		}{},
		&struct {
			A string `env:"A,required,default=x"`
		}{},
	} {
		err := config.Load(t.Context(), target, env("A", "1"))
		var users *config.Error
		if err == nil || errors.As(err, &users) {
			t.Errorf("Load(%T) = %v, want an error that is not the user's", target, err)
		}
	}
}

func TestFlagsGoBeforeEnvironmentBeforeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("# comment\nexport CLUSTER=file\nSERVICES=file\nPASSWORD='a b'\nBUILD_NUM=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.EnvFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s settings
	flags := pflag.NewFlagSet("deploy", pflag.ContinueOnError)
	config.Bind(flags, &s)
	if err := flags.Parse([]string{"--build-num=3", "--service=web", "--service=consumers", "--force=false"}); err != nil {
		t.Fatal(err)
	}
	err = config.Load(t.Context(), &s, config.Flags(flags, &s), env("BUILD_NUM", "2", "SERVICES", "env", "CLUSTER", "env", "FORCE", "true"), file)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Cache: local, Cluster: "env", BuildNum: 3, Timeout: 6 * time.Minute, Migrate: "auto", Services: []string{"web", "consumers"}, Password: "a b",
	}
	if diff := cmp.Diff(want, s, compare); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestBind(t *testing.T) {
	flags := pflag.NewFlagSet("deploy", pflag.ContinueOnError)
	config.Bind(flags, &settings{})
	usage := flags.FlagUsages()
	for _, want := range []string{
		"number of the build (env BUILD_NUM, CIRCLE_BUILD_NUM, GITHUB_RUN_NUMBER)",
		"longest wait (env TIMEOUT) (default 6m)",
		"when to migrate (env MIGRATE): auto, always or never (default auto)",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("usage lacks %q:\n%s", want, usage)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Bind took a flag for a secret")
		}
	}()
	config.Bind(flags, &struct {
		Token config.Secret `env:"TOKEN" flag:"token"`
	}{})
}

// A setting of the command line alone takes nothing from the environment, and a list of it keeps commas.
func TestSettingsWithoutVariable(t *testing.T) {
	var s struct {
		Yes  bool     `flag:"yes" doc:"do it"`
		Last int      `flag:"last,n" default:"20" doc:"how many"`
		Env  []string `flag:"env" doc:"variables"`
	}
	flags := pflag.NewFlagSet("verb", pflag.ContinueOnError)
	config.Bind(flags, &s)
	if err := flags.Parse([]string{"--env=A=1,2", "--env=B=3"}); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(t.Context(), &s, config.Flags(flags, &s), env("yes", "true", "--yes", "true", "", "true")); err != nil {
		t.Fatal(err)
	}
	if s.Yes || s.Last != 20 || !slices.Equal(s.Env, []string{"A=1,2", "B=3"}) {
		t.Errorf("%+v", s)
	}
	if err := flags.Parse([]string{"-n", "3", "--yes"}); err != nil || s.Last != 3 || !s.Yes {
		t.Errorf("%v: %+v", err, s)
	}
}

func TestEnvFileErrors(t *testing.T) {
	if _, err := config.EnvFile(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("A=1\nhunter2 hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.EnvFile(path)
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("malformed file: %v; want an error that names the file and quotes nothing of it", err)
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	const value = "hunter2"
	s := config.Secret(value)
	holder := struct {
		Name   string
		Secret config.Secret
		Nested map[string]*config.Secret
	}{"n", s, map[string]*config.Secret{"a": &s}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08b", "%U", "%c", "%e"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", s, holder)
	}
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		logger.Info("m", "secret", s, "holder", holder)
	}
	for _, v := range []any{s, holder} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	fmt.Fprint(&out, s, errors.New(s.String()))
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed:\n%s", out.String())
		}
	}
	if s.Reveal() != value {
		t.Errorf("Reveal = %q", s.Reveal())
	}
}
