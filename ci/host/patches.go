package host

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/patch"
	"github.com/magecloudkit/pipeline/ci/store"
)

// declaredPatch is a patch of a store, as it was read.
type declaredPatch struct {
	store.Patch
	files  []patch.File
	places []patch.Place
}

// patched applies a store's hotfixes to the tree that composer has left, and fails
// when a patch of the store is not in its code: whatever plugin or script was to
// apply it, some leave one out without a word.
func (r *Runner) patched(step, tree string) error {
	fail := func(err error) error { return &StepError{Step: step, Cause: "the store's patches: " + err.Error()} }
	s, err := store.Open(os.DirFS(tree))
	if err != nil {
		return fail(err)
	}
	declared, err := s.Patches()
	if err != nil || len(declared) == 0 {
		return wrapIf(err, fail)
	}
	var local, missing []declaredPatch
	for _, p := range declared {
		if p.File == "" {
			if !downloadedPatchApplied(tree, s.VendorDir(), p.URL) {
				missing = append(missing, declaredPatch{Patch: p})
			}
			continue
		}
		d, err := readPatch(tree, s, p)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", p.File, err))
		}
		if !slices.ContainsFunc(d.files, func(f patch.File) bool { return !f.Binary }) {
			r.log(Event{Step: step, Line: p.File + " changes binary files alone: whether they are so is not looked at"})
			continue
		}
		local = append(local, d)
	}
	if err := r.applyHotfixes(step, tree, local); err != nil {
		return &StepError{Step: step, Cause: err.Error(), Hint: "renew it for the installed version, or delete it. It is applied as `git apply` does, to what composer installs; " +
			"what is in app/code and app/design is changed there"}
	}
	missing = append(missing, notApplied(tree, local)...)
	if len(missing) == 0 {
		r.log(Event{Step: step, Line: fmt.Sprintf("all patches are in the code (%d)", len(declared))})
		return nil
	}
	var names []string
	for _, p := range missing {
		name := p.String()
		if p.By != "" {
			name += " (of " + p.By
			if p.Package != "" {
				name += ", for " + p.Package
			}
			name += ")"
		}
		names = append(names, name)
	}
	return &StepError{Step: step, Cause: "not in the installed code: " + strings.Join(names, ", "), Hint: patchHint(missing[0])}
}

func wrapIf(err error, wrap func(error) error) error {
	if err == nil {
		return nil
	}
	return wrap(err)
}

func patchHint(p declaredPatch) string {
	if p.By == "" {
		return "declare it in composer.json, delete it, or name it in extra.magecloudkit.unapplied-patches of composer.json"
	}
	return "what composer printed above may say why. It may not fit the locked version (renew it or take it out), its plugin may be missing or not allowed " +
		"(`check` says so), or patches.lock.json may be older than the list (`composer patches-relock`)"
}

// readPatch reads a patch of the store, and says where its names may begin.
func readPatch(tree string, s *store.Store, p store.Patch) (declaredPatch, error) {
	raw, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(p.File)))
	if err != nil {
		return declaredPatch{}, err
	}
	d := declaredPatch{Patch: p}
	if d.files, err = patch.Parse(raw); err != nil {
		return d, err
	}
	if p.Hotfix {
		d.places = []patch.Place{{Dir: ".", Strip: 1}}
		return d, nil
	}
	dirs := []string{p.Dir, ".", s.VendorDir()}
	if p.Dir == "" {
		dirs = append([]string{".", s.VendorDir()}, s.PackageDirs()...)
	}
	for _, dir := range dirs {
		for _, strip := range []int{1, 0, 2, 3, 4, 5} { // as the plugins try them
			d.places = append(d.places, patch.Place{Dir: dir, Strip: strip})
		}
	}
	return d, nil
}

// applyHotfixes applies those that the code does not have already.
func (r *Runner) applyHotfixes(step, tree string, all []declaredPatch) error {
	hotfixes := slices.DeleteFunc(slices.Clone(all), func(p declaredPatch) bool { return !p.Hotfix })
	t := patch.NewTree(os.DirFS(tree))
	open := notApplied(tree, hotfixes)
	for _, p := range hotfixes {
		if !slices.ContainsFunc(open, func(o declaredPatch) bool { return o.File == p.File }) {
			continue
		}
		if err := t.Apply(p.files, p.places[0], 0); err != nil {
			return fmt.Errorf("%s does not apply: %w", p.File, err)
		}
		r.log(Event{Step: step, Line: p.File + ": applied"})
	}
	for name, content := range t.Changed() {
		file := filepath.Join(tree, filepath.FromSlash(name))
		if content == nil {
			if err := os.Remove(file); err != nil {
				return err
			}
			continue
		}
		if err := rewrite(file, *content); err != nil {
			return err
		}
	}
	return nil
}

// rewrite replaces a file, with the mode that it had.
func rewrite(file, content string) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	return replaceFile(file, []byte(content), mode)
}

// notApplied are the patches that a tree does not have. The last that was applied
// is undone first, in memory; since nothing tells the order for certain, it goes on
// as long as one can be undone.
func notApplied(tree string, patches []declaredPatch) []declaredPatch {
	t := patch.NewTree(os.DirFS(tree))
	left := slices.Clone(patches)
	for again := true; again; {
		again = false
		for i := len(left) - 1; i >= 0; i-- {
			if t.Undo(left[i].files, left[i].places) {
				left, again = slices.Delete(left, i, i+1), true
			}
		}
	}
	return left
}

// downloadedPatchApplied reports whether a plugin says that it has applied a patch
// that was downloaded: cweagans/composer-patches 1 and vaimo/composer-patches note
// it with the installed package, cweagans/composer-patches 2 fails when a patch
// that is locked does not apply.
func downloadedPatchApplied(tree, vendor, url string) bool {
	if raw, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(vendor), "composer/installed.json")); err == nil {
		var installed struct {
			Packages []struct {
				Extra struct {
					Applied json.RawMessage `json:"patches_applied"`
				} `json:"extra"`
			} `json:"packages"`
		}
		if json.Unmarshal(raw, &installed) == nil {
			for _, p := range installed.Packages {
				if holds(p.Extra.Applied, url) {
					return true
				}
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(tree, "patches.lock.json"))
	return err == nil && holds(raw, url)
}

// holds reports whether a JSON value has a string, as a key or a value.
func holds(raw json.RawMessage, want string) bool {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return false
	}
	var walk func(any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case string:
			return v == want
		case []any:
			return slices.ContainsFunc(v, walk)
		case map[string]any:
			for key, inner := range v {
				if key == want || walk(inner) {
					return true
				}
			}
		}
		return false
	}
	return walk(v)
}
