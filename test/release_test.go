package test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// simulated is an AWS that `mck simulate` serves on this machine, and dagger's
// flags that reach it from a container.
type simulated struct {
	flags []string
	env   []string // what the flags' references lead to
}

func simulate(t *testing.T, args ...string) simulated {
	t.Helper()
	cmd := exec.Command(mck, append([]string{"simulate", "--listen=127.0.0.1:0", "--speed=60"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	vars := map[string]string{}
	lines := bufio.NewScanner(out)
	last := "AWS_EC2_METADATA_DISABLED"
	if len(args) > 0 { // --tls
		last = "SSL_CERT_FILE"
	}
	for vars[last] == "" && lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		vars[name] = value
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	endpoint, err := url.Parse(vars["AWS_ENDPOINT_URL"])
	if err != nil || endpoint.Port() == "" {
		t.Fatalf("mck simulate printed no address: %v", vars)
	}
	flags := []string{
		"--aws-region=" + vars["AWS_REGION"], "--aws-access-key-id=env://TEST_KEY_ID", "--aws-secret-access-key=env://TEST_KEY",
		"--aws-endpoint=tcp://" + endpoint.Host, "--aws-ecr-url=" + vars["AWS_ECR_URL"],
	}
	if bundle := vars["AWS_CA_BUNDLE"]; bundle != "" {
		flags = append(flags, "--aws-ca-bundle="+bundle)
	}
	return simulated{
		flags: flags,
		env:   []string{"TEST_KEY_ID=" + vars["AWS_ACCESS_KEY_ID"], "TEST_KEY=key5d1f0a9e7b3c48f2a6d0"},
	}
}

// call runs a verb against the simulated AWS, and makes sure that it prints no key.
func (s simulated) call(t *testing.T, args ...string) output {
	t.Helper()
	out := callWith(t, s.env, append(append([]string{"--progress=plain", "call"}, s.flags...), args...)...)
	for _, kv := range s.env[1:] {
		if _, key, _ := strings.Cut(kv, "="); strings.Contains(out.all(), key) {
			t.Errorf("%v prints the secret key", args)
		}
	}
	return out
}

// TestBuildIsPushedAndReleased takes a build through the module's own verbs: built,
// pushed twice, released, rolled back, against the simulated AWS.
func TestBuildIsPushedAndReleased(t *testing.T) {
	t.Run("over TLS", func(t *testing.T) { pushAndRelease(t, simulate(t, "--tls")) })
	t.Run("in the clear", func(t *testing.T) { pushAndRelease(t, simulate(t)) })
}

// blobsSent are the blobs that a push, as its JSON tells of it, has sent.
func blobsSent(t *testing.T, printed string) []string {
	t.Helper()
	var result struct {
		Images []struct {
			Name  string
			Blobs []struct {
				Name string
				Sent int64
			}
		}
	}
	if err := json.Unmarshal([]byte(printed), &result); err != nil {
		t.Fatalf("%v:\n%s", err, printed)
	}
	var sent []string
	for _, im := range result.Images {
		for _, b := range im.Blobs {
			if b.Sent > 0 {
				sent = append(sent, im.Name+" "+b.Name)
			}
		}
	}
	slices.Sort(sent)
	return sent
}

func pushAndRelease(t *testing.T, aws simulated) {
	target := []string{"--cluster=production-app", "--service=production-app", "--service=production-consumers", "--cron-rule=production-cron"}

	registry := strings.TrimSpace(aws.call(t, "get-ecr").must(t).stdout)
	if !strings.HasPrefix(registry, "127.0.0.1:") || strings.ContainsAny(registry, " \n") {
		t.Errorf("get-ecr prints %q, want the registry's address alone", registry)
	}

	push := func(num string, args ...string) output {
		return aws.call(t, append(append(storeFlags(sample), "push", "--build-num="+num, "--revision-time=1700000000"), args...)...).must(t)
	}
	if out := push("301"); !strings.Contains(out.stdout, "/magecloudkit/magento2:301") {
		t.Errorf("push prints no reference of magento2:\n%s", out.stdout)
	}
	// Only the layer and the config with the build's number are new.
	want := []string{"magento2 config", "magento2 release", "nginx config", "nginx release"}
	if diff := cmp.Diff(want, blobsSent(t, push("302", "--as-json").stdout)); diff != "" {
		t.Errorf("the second push sent other blobs than what has the build's number (-want +got):\n%s", diff)
	}

	deploy := func(num string) output {
		return aws.call(t, append([]string{"deploy", "--build-num=" + num}, target...)...)
	}
	if out := deploy("301").must(t); !strings.Contains(out.stdout, "released: build 301") {
		t.Errorf("deploy prints\n%s", out.stdout)
	}
	// A refusal's exit code reaches the command line, and says what to do.
	if out := deploy("999"); out.code != 3 || !strings.Contains(out.all(), "push the build first") {
		t.Errorf("deploy of a build that was not pushed ended with %d, want 3:\n%s", out.code, out.all())
	}
	// It has a page all the same.
	page := filepath.Join(t.TempDir(), "release.html")
	aws.call(t, "report", "--cluster=production-app", "export", "--path="+page).must(t)
	if raw, err := os.ReadFile(page); err != nil || !strings.Contains(string(raw), "push the build first") {
		t.Errorf("the report of a refused release does not say why: %v\n%s", err, raw)
	}
	// Asked twice, the same question is put to AWS twice.
	status := append([]string{"status"}, target...)
	if out := aws.call(t, status...).must(t); !strings.Contains(out.stdout, "301") {
		t.Errorf("status after the release:\n%s", out.stdout)
	}
	if out := aws.call(t, append([]string{"rollback"}, target...)...).must(t); !strings.Contains(out.stdout, "300") {
		t.Errorf("rollback prints\n%s", out.stdout)
	}
	if out := aws.call(t, status...).must(t); strings.Contains(out.stdout, "301") || !strings.Contains(out.stdout, "300") {
		t.Errorf("status after the roll back:\n%s", out.stdout)
	}
	if out := aws.call(t, "rehearse", "--scenario=image missing").must(t); !strings.Contains(out.stdout, "0 wrong") {
		t.Errorf("rehearse prints\n%s", out.stdout)
	}
}
