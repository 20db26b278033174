package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/release"
)

// Lines of all containers are shown with what they are of; one that is followed ends with 0 when it is interrupted.
func TestLogs(t *testing.T) {
	aws := simulated(t, "--speed", "600")
	behave := `[{"family":"production-app","container":"magento","exitAfter":"20s","exit":1,"logs":["PHP Fatal error: no more","second line"]}]`
	res, err := http.Post(aws["AWS_ENDPOINT_URL"]+"/_sim/behaviors", "application/json", strings.NewReader(behave))
	noError(t, err)
	res.Body.Close()
	of := []string{"--cluster", "production-app", "--service", "production-app"}
	// Its new tasks end, which a wait sees.
	code, out, errs := mck(t, aws, append([]string{"scale", "--desired-count", "3", "--timeout", "2s"}, of...)...)
	if code != release.TimedOut.ExitCode() {
		t.Fatalf("scale = %d\n%s%s", code, out, errs)
	}
	code, out, errs = mck(t, aws, append([]string{"logs", "--since", "24h", "--json"}, of...)...)
	var lines []release.LogEntry
	if code != 0 || json.Unmarshal([]byte(out), &lines) != nil {
		t.Fatalf("logs --json = %d\n%s%s", code, out, errs)
	}
	seen := false
	for i, l := range lines {
		if i > 0 && l.At.Before(lines[i-1].At) {
			t.Errorf("line %d is older than the one before", i)
		}
		seen = seen || l.Text == "PHP Fatal error: no more" && l.Service == "production-app" && l.Build == "300" && l.Container == "magento" && len(l.Task) == 32
	}
	if !seen {
		t.Errorf("logs --json has no line of the container that ended:\n%s", out)
	}
	for _, args := range [][]string{{"--build", "299"}, {"--container", "nginx"}} {
		if _, out, _ := mck(t, aws, append(append([]string{"logs", "--since", "24h"}, of...), args...)...); strings.Contains(out, "PHP Fatal") {
			t.Errorf("logs %v shows other lines:\n%s", args, out)
		}
	}
	if code, _, errs := mck(t, aws, append([]string{"logs", "--follow", "--json"}, of...)...); code != exitUsage || !strings.Contains(errs, "--follow has no end") {
		t.Errorf("logs --follow --json = %d, %s", code, errs)
	}
	// Followed until a line has come, and then interrupted.
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		lookup := func(name string) (string, bool) { v, ok := aws[name]; return v, ok }
		code := run(ctx, &env{stdin: strings.NewReader(""), stdout: w, stderr: io.Discard, now: time.Now, lookup: lookup}, append([]string{"logs", "--follow", "--since", "24h"}, of...))
		w.Close()
		done <- code
	}()
	var followed bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(followed.String(), " magento | second line\n") {
		n, err := r.Read(buf)
		followed.Write(buf[:n])
		if err != nil {
			t.Fatalf("logs --follow ended: %v\n%s", err, &followed)
		}
	}
	stop()
	go io.Copy(io.Discard, r)
	if code := <-done; code != 0 {
		t.Errorf("logs --follow = %d when interrupted", code)
	}
}

// exec needs AWS's program, and a task that ECS Exec is enabled for; the session is no argument.
func TestExec(t *testing.T) {
	aws := maps.Clone(simulated(t))
	of := []string{"exec", "--cluster", "production-app", "--service", "production-app"}
	aws["PATH"] = t.TempDir()
	if code, _, errs := mck(t, aws, of...); code != exitUsage || !strings.Contains(errs, "there is no session-manager-plugin") {
		t.Errorf("exec without the plugin = %d, %s", code, errs)
	}
	noError(t, os.WriteFile(filepath.Join(aws["PATH"], plugin), []byte("#!/bin/sh\nexit 0\n"), 0o755))
	code, _, errs := mck(t, aws, of...)
	if code != release.Refused.ExitCode() || !strings.Contains(errs, "--enable-execute-command") {
		t.Errorf("exec where it is not enabled = %d, %s", code, errs)
	}
	if code, _, errs := mck(t, aws, append(of, "--task", "nobody")...); code != release.Refused.ExitCode() || !strings.Contains(errs, "no task (nobody) that runs") {
		t.Errorf("exec in a task that is not there = %d, %s", code, errs)
	}
}
