package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/store"
)

// PHP asks this machine's php what it is and has.
func PHP(ctx context.Context, environ []string) (*store.PHP, error) {
	cmd := program(ctx, environ, "php", "-r", `echo json_encode(["version" => PHP_VERSION, "extensions" => array_map("strtolower", array_merge(get_loaded_extensions(), get_loaded_extensions(true)))]);`)
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("there is no php on the PATH: install php and composer (the README lists the packages), or build with `dagger call build`, which brings its own")
	}
	var php store.PHP
	if err == nil {
		err = json.Unmarshal(out, &php)
	}
	if err != nil {
		return nil, fmt.Errorf("asking php for its version and extensions: %w", err)
	}
	return &php, nil
}

// Commit is what git tells of a store's source. Its zero value: nothing.
type Commit struct {
	Revision string
	Time     time.Time
	Source   string // the URL of the remote "origin", without credentials
}

// Git reads a commit of the repository that dir stands in; an empty revision is
// HEAD's. Where there is no git, no repository or no such commit it knows nothing.
func Git(ctx context.Context, dir, revision string) Commit {
	if revision == "" {
		revision = "HEAD"
	}
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "log", "-1", "--format=%H %ct", "--end-of-options", revision, "--").Output()
	if err != nil {
		return Commit{}
	}
	sha, at, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return Commit{}
	}
	c := Commit{Revision: sha, Time: time.Unix(seconds, 0).UTC()}
	if out, err := exec.CommandContext(ctx, "git", "-C", dir, "remote", "get-url", "origin").Output(); err == nil {
		c.Source = publicURL(strings.TrimSpace(string(out)))
	}
	return c
}

// publicURL takes a user and password out of a remote's URL.
func publicURL(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return remote // git@host:path has no password
	}
	u.User = nil
	return u.String()
}

// WriteJSON prints a value for machines.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
