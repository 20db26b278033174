package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// A cache is shared, long-lived and nobody's property: clean-ups take parts of it
// away, disks cut files short and flip bytes. Nothing of it is taken before it is
// known to be what was put there; what is not is as good as absent, is made anew and
// replaced.

func (r *Runner) cacheFile(key string) string {
	return filepath.Join(r.Cache, "steps", key+".json")
}

// keep writes a step's result, and offers it to later builds.
func (r *Runner) keep(res Result) error {
	if err := writeJSON(resultFile(r.Results, res.Step), res); err != nil {
		return err
	}
	if r.Cache != "" && res.Key != "" && !res.Reused {
		for _, l := range res.Layers {
			if err := replace(layer.BlobPath(r.Results, l.Digest), layer.BlobPath(r.Cache, l.Digest)); err != nil {
				return fmt.Errorf("keeping layer %s for later builds: %w", l.Name, err)
			}
		}
		if err := writeSealed(r.cacheFile(res.Key), res); err != nil {
			return fmt.Errorf("keeping step %s for later builds: %w", res.Step, err)
		}
	}
	r.log(Event{Step: res.Step, Done: &res})
	return nil
}

// reuse takes the layers of an equal key from the cache. A cache that lacks a
// part of them, or has it damaged, is no error: the step runs.
func (r *Runner) reuse(step build.Step, key string, start time.Time) (Result, bool, error) {
	if r.Cache == "" || key == "" {
		return Result{}, false, nil
	}
	var res Result
	if err := readSealed(r.cacheFile(key), &res); err != nil || res.Key != key || len(res.Layers) != len(step.Layers) {
		return Result{}, false, nil
	}
	var group errgroup.Group
	group.SetLimit(workers)
	for _, l := range res.Layers {
		group.Go(func() error { return r.take(l) })
	}
	if err := group.Wait(); err != nil {
		return Result{}, false, nil
	}
	// What was used lately is what a clean-up keeps.
	now := r.Now()
	for _, l := range res.Layers {
		_ = os.Chtimes(layer.BlobPath(r.Cache, l.Digest), now, now)
	}
	_ = os.Chtimes(r.cacheFile(key), now, now)
	res.Step, res.Reused, res.Seconds = step.Name, true, r.Now().Sub(start).Seconds()
	return res, true, r.keep(res)
}

// take puts a blob of the cache among the results, if it is what its digest says.
func (r *Runner) take(l layer.Descriptor) error {
	kept, own := layer.BlobPath(r.Cache, l.Digest), layer.BlobPath(r.Results, l.Digest)
	f, err := os.Open(kept)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if digest := "sha256:" + hex.EncodeToString(h.Sum(nil)); digest != l.Digest || n != l.Size {
		return fmt.Errorf("%s holds %d bytes with the digest %s", kept, n, digest)
	}
	return linkOrCopy(kept, own)
}

// sealed is how a value is kept: with the digest of how it is written.
type sealed struct {
	SHA256 string          `json:"sha256"`
	Value  json.RawMessage `json:"value"`
}

func writeSealed(file string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	out, err := json.Marshal(sealed{hexSum(raw), raw})
	if err != nil {
		return err
	}
	return replaceFile(file, append(out, '\n'), 0o644)
}

// readSealed reads what writeSealed wrote, and nothing else.
func readSealed(file string, v any) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s sealed
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if hexSum(s.Value) != s.SHA256 {
		return fmt.Errorf("%s is damaged", file)
	}
	return json.Unmarshal(s.Value, v)
}

func hexSum(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// WorkPattern names the directories inside of a cache that builds work in, as
// [os.MkdirTemp] takes it.
const WorkPattern = "work-*"

// Prune removes from the cache what no build has used since before, and what
// builds that were killed have left there.
func Prune(cache string, before time.Time) error {
	var failed error
	for _, place := range []struct{ dir, names string }{{"steps", "*"}, {"blobs/sha256", "*"}, {installed, "*"}, {leaksDir, "*"}, {".", WorkPattern}} {
		entries, err := os.ReadDir(filepath.Join(cache, place.dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if ok, err := path.Match(place.names, e.Name()); err != nil || !ok {
				continue
			}
			if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
				failed = errors.Join(failed, discard(filepath.Join(cache, place.dir, e.Name())))
			}
		}
	}
	return failed
}

func writeJSON(file string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(file, append(raw, '\n'), 0o644)
}

// replaceFile writes a file under another name and then gives it its own, so that nobody ever reads half of it. Its
// directory is made if it is not there.
func replaceFile(file string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), mode)
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
