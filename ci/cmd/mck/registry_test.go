package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/documents/valid"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/registry/cleanup"
)

// simulated starts 'mck simulate' and returns the variables that it printed.
func simulated(t *testing.T, args ...string) map[string]string {
	t.Helper()
	for _, v := range os.Environ() { // the AWS SDK reads the process's own
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int)
	var stderr bytes.Buffer
	go func() {
		code := run(ctx, &env{stdout: w, stderr: &stderr, lookup: func(string) (string, bool) { return "", false }, now: time.Now},
			append([]string{"simulate", "--listen", "127.0.0.1:0"}, args...))
		w.Close()
		done <- code
	}()
	t.Cleanup(func() {
		stop()
		go io.Copy(io.Discard, r)
		if code := <-done; code != 0 {
			t.Errorf("simulate ended with %d: %s", code, &stderr)
		}
	})
	variables := map[string]string{}
	want := 7
	if strings.Contains(strings.Join(args, " "), "--tls") {
		want = 9
	}
	buf := make([]byte, 4096)
	for len(variables) < want {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("simulate printed %v and ended", variables)
		}
		for line := range strings.Lines(string(buf[:n])) {
			name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
			if !ok {
				t.Fatalf("simulate printed %q", line)
			}
			variables[name] = value
		}
	}
	return variables
}

// mck runs a command line.
func mck(t *testing.T, variables map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	defer func() {
		if strings.Contains(stdout+stderr, "hunter") || strings.Contains(stdout+stderr, "Basic ") {
			t.Errorf("%v printed a credential:\n%s%s", args, stdout, stderr)
		}
	}()
	// The tests of smoke run what is built.
	if len(args) > 0 && slices.Contains([]string{"build", "push"}, args[0]) && !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--smoke") }) {
		args = append(args, "--smoke=false")
	}
	code = run(t.Context(), &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: time.Now,
		lookup: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
	}, args)
	if wantsJSON(args) {
		if err := published.Printed(args, code, out.Bytes()); err != nil {
			t.Errorf("%v: %v:\n%s", args, err, out.String())
		}
	}
	return code, out.String(), errs.String()
}

// published are the schemas of what --json prints, wherever a test goes.
var published = func() *valid.Schemas {
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "docs", "schema"))
	if err != nil {
		panic(err)
	}
	return valid.New(os.DirFS(dir))
}()

// tarred is a layer of one file.
func tarred(t *testing.T, name string, content []byte) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	noError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}))
	_, err := w.Write(content)
	noError(t, err)
	noError(t, w.Close())
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

// layouts writes the two images of a build and returns their directory.
func layouts(t *testing.T, number, code string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range imageNames {
		layers := []v1.Layer{
			tarred(t, "vendor", bytes.Repeat([]byte(n+" vendor "), 50_000)),
			tarred(t, "code", []byte(n+code)),
		}
		im, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
		if err != nil {
			t.Fatal(err)
		}
		im, err = mutate.Config(im, v1.Config{Labels: map[string]string{image.LabelVersion: number}})
		if err != nil {
			t.Fatal(err)
		}
		if err := image.WriteLayout(im, filepath.Join(dir, n), nil); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPushToSimulatedECR(t *testing.T) {
	for _, scheme := range [][]string{nil, {"--tls"}} {
		t.Run(strings.Join(append([]string{"simulate"}, scheme...), " "), func(t *testing.T) {
			variables := simulated(t, scheme...)
			variables["AWS_SECRET_ACCESS_KEY"], variables["AWS_SESSION_TOKEN"] = "hunter2", "hunter3"
			code, out, errs := mck(t, variables, "get-ecr")
			if code != 0 || strings.TrimSpace(out) != variables["AWS_ECR_URL"] {
				t.Fatalf("get-ecr = %d, %q, %s", code, out, errs)
			}
			code, out, errs = mck(t, variables, "get-ecr", "--repositories")
			if want := fmt.Sprintf("%s/magecloudkit/magento2\n%[1]s/magecloudkit/nginx\n", variables["AWS_ECR_URL"]); code != 0 || out != want {
				t.Errorf("get-ecr --repositories = %d, %q, %s", code, out, errs)
			}

			push := func(number, content string, args ...string) (int, registry.Result, string) {
				t.Helper()
				code, out, errs := mck(t, variables, append([]string{"push", "--build-num", number, "--images", layouts(t, number, content), "--json"}, args...)...)
				var result registry.Result
				if code == 0 {
					if err := json.Unmarshal([]byte(out), &result); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
				}
				return code, result, errs
			}
			code, first, errs := push("301", "code", "--tag", "latest")
			if code != 0 || len(first.Images) != 2 || first.BytesSent < 800_000 {
				t.Fatalf("push = %d, %+v, %s", code, first, errs)
			}
			// A change of one file sends little, and nothing of the rest.
			code, second, errs := push("302", "changed", "--tag", "latest")
			if code != 0 || second.BytesSent > 20_000 || second.BytesSkipped < 800_000 {
				t.Errorf("second push = %d, %d bytes sent, %d skipped, %s", code, second.BytesSent, second.BytesSkipped, errs)
			}
			// The repositories of the simulation are immutable.
			code, _, errs = push("302", "something else")
			if code != exitConflict || !strings.Contains(errs, "another build number") {
				t.Errorf("third push = %d, %s; want %d and what to do", code, errs, exitConflict)
			}
			// As a table, for people.
			code, out, _ = mck(t, variables, "push", "--build-num", "301", "--images", layouts(t, "301", "code"))
			if code != 0 || !strings.Contains(out, variables["AWS_ECR_URL"]+"/magecloudkit/nginx:301") || !strings.Contains(out, "0.0 MB sent") {
				t.Errorf("push again = %d\n%s", code, out)
			}
		})
	}
}

func TestPushSettings(t *testing.T) {
	if code, _, errs := mck(t, nil, "push"); code != exitUsage || !strings.Contains(errs, "BUILD_NUM or CIRCLE_BUILD_NUM") {
		t.Errorf("push without a number = %d, %s", code, errs)
	}
	if code, _, errs := mck(t, map[string]string{"CIRCLE_BUILD_NUM": "7", "AWS_REGION": "us-east-1"}, "push", "--images", t.TempDir()); code != 1 || !strings.Contains(errs, "mck build") {
		t.Errorf("push without images = %d, %s", code, errs)
	}
	if code, _, errs := mck(t, nil, "push", "--env-file", filepath.Join(t.TempDir(), "none")); code != exitUsage || !strings.Contains(errs, "env file") {
		t.Errorf("push with no env file = %d, %s", code, errs)
	}
}

func TestCleanupOfSimulatedECR(t *testing.T) {
	variables := simulated(t)
	plan := func(args ...string) map[string]bool {
		t.Helper()
		code, out, errs := mck(t, variables, append([]string{"cleanup", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("cleanup = %d, %s", code, errs)
		}
		var plan cleanup.Plan
		if err := json.Unmarshal([]byte(out), &plan); err != nil {
			t.Fatal(err)
		}
		deleted := map[string]bool{}
		for _, r := range plan.Repositories {
			for _, d := range r.Images {
				deleted[r.Name+":"+d.Tags[0]] = d.Delete
			}
		}
		return deleted
	}
	// Build 300 runs in the simulation; the last three builds are kept anyhow.
	want := map[string]bool{}
	for _, n := range repositories("magecloudkit") {
		for build := 295; build <= 300; build++ {
			want[fmt.Sprint(n, ":", build)] = build < 298
		}
	}
	if diff := cmp.Diff(want, plan("--keep-last", "3", "--older-than", "1h")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	// With none of the last kept, the running one still is.
	for build := range maps.Keys(want) {
		want[build] = !strings.HasSuffix(build, ":300")
	}
	if diff := cmp.Diff(want, plan("--keep-last", "0", "--keep-tag", "none", "--older-than", "1m")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}

	if code, out, _ := mck(t, variables, "cleanup", "--keep-last", "3"); code != 0 || !strings.Contains(out, "KEPT BECAUSE") || !strings.Contains(out, "Nothing was deleted") {
		t.Errorf("dry run = %d\n%s", code, out)
	}
	code, out, errs := mck(t, variables, "cleanup", "--yes", "--keep-last", "3", "--older-than", "1h")
	if code != 0 || !strings.Contains(out, "6 images deleted") {
		t.Errorf("cleanup --yes = %d\n%s%s", code, out, errs)
	}
	if left := plan("--keep-last", "3", "--older-than", "1h"); len(left) != 6 {
		t.Errorf("left: %v", left)
	}
}

func TestCleanupSettings(t *testing.T) {
	code, out, _ := mck(t, nil, "cleanup", "--policy", "--older-than", "720h")
	var policy struct {
		Rules []struct{ Selection struct{ CountNumber int } }
	}
	if err := json.Unmarshal([]byte(out), &policy); code != 0 || err != nil || policy.Rules[0].Selection.CountNumber != 30 {
		t.Errorf("cleanup --policy = %d, %s", code, out)
	}
	for _, args := range [][]string{{"--dry-run", "--yes"}, {"--dry-run=false"}, {"--keep-last", "-1"}, {"--keep-tag", "["}, {"--older-than", "a while"}} {
		if code, _, _ := mck(t, nil, append([]string{"cleanup"}, args...)...); code != exitUsage {
			t.Errorf("cleanup %v = %d, want %d", args, code, exitUsage)
		}
	}
}

func TestSimulateSettings(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "topology.json")
	if err := os.WriteFile(bad, []byte(`{"account":"111111111111","clustres":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"clustres": {"--topology", bad}, "cannot read the topology": {"--topology", bad + "x"}, "backwards": {"--speed", "-1"},
	} {
		if code, _, errs := mck(t, nil, append([]string{"simulate"}, args...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("simulate %v = %d, %s", args, code, errs)
		}
	}
}
