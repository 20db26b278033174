package build_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/build"
)

func TestComposerAuth(t *testing.T) {
	const hosts = `{"http-basic": {"repo.acme.example": {"username": "u", "password": "p"}}, "github-oauth": {"github.com": "ghp"}}`
	for _, c := range []struct {
		name            string
		public, private string
		auths           []string
		want            string // as JSON; empty: nothing
	}{
		{"nothing", "", "", []string{"", " \n"}, ""},
		{"keys", "pub", "priv", nil, `{"http-basic": {"repo.magento.com": {"username": "pub", "password": "priv"}}}`},
		{"the first that is given", "", "", []string{"", hosts, `{"bearer": {"x.example": "t"}}`}, hosts},
		{"keys beside others", "pub", "priv", []string{hosts},
			`{"http-basic": {"repo.acme.example": {"username": "u", "password": "p"}, "repo.magento.com": {"username": "pub", "password": "priv"}}, "github-oauth": {"github.com": "ghp"}}`},
		{"keys replace those of an auth.json", "pub", "priv", []string{`{"http-basic": {"repo.magento.com": {"username": "old", "password": "old"}}}`},
			`{"http-basic": {"repo.magento.com": {"username": "pub", "password": "priv"}}}`},
		{"an empty object", "", "", []string{"{}"}, ""},
		{"a GitLab of one's own", "", "", []string{`{"gitlab-domains": ["gitlab.example.com"], "gitlab-token": {"gitlab.example.com": "t"}}`},
			`{"gitlab-domains": ["gitlab.example.com"], "gitlab-token": {"gitlab.example.com": "t"}}`},
		{"an empty object as PHP writes it", "pub", "priv", []string{`{"http-basic": []}`},
			`{"http-basic": {"repo.magento.com": {"username": "pub", "password": "priv"}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := build.ComposerAuth(c.public, c.private, c.auths...)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" || got == "" {
				if got != c.want {
					t.Fatalf("got %q, want %q", got, c.want)
				}
				return
			}
			var g, w any
			if err := json.Unmarshal([]byte(got), &g); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w, g); diff != "" {
				t.Errorf("credentials (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "\n") {
				t.Error("the value of an environment variable goes over several lines")
			}
		})
	}
}

func TestComposerAuthErrors(t *testing.T) {
	const secret = "S3cretS3cret"
	for name, call := range map[string]func() (string, error){
		"not JSON":        func() (string, error) { return build.ComposerAuth("", "", secret) },
		"a string":        func() (string, error) { return build.ComposerAuth("", "", `"`+secret+`"`) },
		"a list":          func() (string, error) { return build.ComposerAuth("", "", `["`+secret+`"]`) },
		"no objects":      func() (string, error) { return build.ComposerAuth("", "", `{"http-basic": "`+secret+`"}`) },
		"cut off":         func() (string, error) { return build.ComposerAuth("", "", `{"http-basic": {"x": "`+secret) },
		"one key":         func() (string, error) { return build.ComposerAuth(secret, "") },
		"the other key":   func() (string, error) { return build.ComposerAuth("", secret) },
		"one key, a file": func() (string, error) { return build.ComposerAuth("", secret, "{}") },
	} {
		got, err := call()
		if err == nil {
			t.Errorf("%s: no error, but %q", name, got)
		} else if strings.Contains(err.Error(), secret) || got != "" {
			t.Errorf("%s: the error repeats a credential: %v", name, err)
		}
	}
}

func TestReleaseValidate(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, r := range []build.Release{
		{BuildNum: "1", Created: at},
		{BuildNum: "main-2026.05_04", Created: at, Revision: "abc", ContentVersion: "v1_2.3"},
		{BuildNum: strings.Repeat("x", 128), Created: at},
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for want, r := range map[string]build.Release{
		`build number ""`:              {Created: at},
		`build number "a/b"`:           {BuildNum: "a/b", Created: at},
		`build number "-1"`:            {BuildNum: "-1", Created: at},
		`build number ".1"`:            {BuildNum: ".1", Created: at},
		`build number "ünicode"`:       {BuildNum: "ünicode", Created: at},
		`build number "1\n"`:           {BuildNum: "1\n", Created: at},
		"128 letters":                  {BuildNum: strings.Repeat("x", 129), Created: at},
		`content version "1-2"`:        {BuildNum: "1", Created: at, ContentVersion: "1-2"},
		`content version "a/../b"`:     {BuildNum: "1", Created: at, ContentVersion: "a/../b"},
		"revision and source are one":  {BuildNum: "1", Created: at, Revision: "abc\ndate forged"},
		"revision and source are one ": {BuildNum: "1", Created: at, Source: "https://x\r"},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error that says %s", r, err, want)
		}
	}
}

func TestReleaseLayer(t *testing.T) {
	at := time.Date(2026, 5, 4, 5, 2, 1, 0, time.FixedZone("", 2*60*60))
	files := func(r build.Release) map[string]string {
		out := map[string]string{}
		for _, f := range r.Layer().Files {
			out[f.Path] = string(f.Content)
		}
		return out
	}
	want := map[string]string{
		"pub/REVISION.txt":                "build 12\nrevision abcdef\ndate 2026-05-04T03:02:01Z\n",
		"pub/static/deployed_version.txt": "1777863721",
	}
	if diff := cmp.Diff(want, files(build.Release{BuildNum: "12", Revision: "abcdef", Created: at})); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	want = map[string]string{"pub/REVISION.txt": "build 12\ndate 2026-05-04T03:02:01Z\n", "pub/static/deployed_version.txt": "7"}
	if diff := cmp.Diff(want, files(build.Release{BuildNum: "12", Created: at, ContentVersion: "7"})); diff != "" {
		t.Errorf("no revision, a content version (-want +got):\n%s", diff)
	}
}

func TestInstallExtensions(t *testing.T) {
	scripts := map[string]string{}
	for _, names := range [][]string{
		{"bcmath"}, {"apcu"}, {"gd", "intl", "redis"}, {"opcache"}, {"XSL", "zip", "zip", "amqp", "imagick", "ftp", "soap", "sockets"},
	} {
		script, err := build.InstallExtensions(names)
		if err != nil {
			t.Fatal(err)
		}
		scripts[strings.Join(names, " ")] = script
		for _, shell := range []string{"sh", "bash"} {
			if out, err := syntax(shell, script); err != nil {
				t.Errorf("%v: %s does not accept the script: %v %s\n%s", names, shell, err, out, script)
			}
		}
		shuffled := slices.Clone(names)
		slices.Reverse(shuffled)
		if again, err := build.InstallExtensions(shuffled); err != nil || again != script {
			t.Errorf("%v: the order of the names changes the script (%v)", names, err)
		}
	}
	for names, lines := range map[string][]string{
		"bcmath": {`docker-php-ext-install -j"$(nproc)" bcmath`, `extension_loaded("bcmath")`},
		"apcu":   {"pecl install apcu </dev/null", "docker-php-ext-enable apcu", `extension_loaded("apcu")`},
		"gd intl redis": {
			"apt-get install -y --no-install-recommends libfreetype6-dev libicu-dev libjpeg62-turbo-dev libpng-dev libwebp-dev",
			"docker-php-ext-configure gd --with-freetype --with-jpeg --with-webp", `docker-php-ext-install -j"$(nproc)" gd intl`,
			"pecl install redis", "apt-get purge -y --auto-remove",
		},
	} {
		at := 0
		for _, line := range lines {
			i := strings.Index(scripts[names][at:], line)
			if i < 0 {
				t.Errorf("%s: the script has no %q after its first %d bytes:\n%s", names, line, at, scripts[names])
				break
			}
			at += i
		}
	}
	if s := scripts["bcmath"]; strings.Contains(s, "apt-get") || strings.Contains(s, "pecl") {
		t.Errorf("bcmath needs nothing but PHP's source:\n%s", s)
	}
	if !build.Installable("GD") || build.Installable("ionCube") {
		t.Error("gd is installable under any case, ionCube is not")
	}
	if _, err := build.InstallExtensions([]string{"gd", "ioncube"}); err == nil || !strings.Contains(err.Error(), "ioncube") || !strings.Contains(err.Error(), "--php-image") {
		t.Errorf("an unknown extension: %v", err)
	}
}

// syntax lets a shell read a script without running it.
func syntax(shell, script string) (string, error) {
	cmd := exec.Command(shell, "-n")
	cmd.Stdin = strings.NewReader(script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
