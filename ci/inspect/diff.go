package inspect

import (
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Diff is what an image has that another one lacks, and the other way round.
type Diff struct {
	Digest   string `json:"digest"` // of the other image
	Build    string `json:"build,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Same is how many layers both have. Download is the size in bytes, compressed, of those that only this one has: what
	// a host with the other image has to fetch.
	Same     int      `json:"sameLayers"`
	Download int64    `json:"download"`
	Layers   []string `json:"layers"` // the names of those that only this one has
	Added    []Change `json:"added"`
	Changed  []Change `json:"changed"`
	Removed  []Change `json:"removed"`
	// Config lists what differs in how the image is run and labelled.
	Config []Setting `json:"config"`
}

// Change is a file that differs; a size is -1 where there is none.
type Change struct {
	Path   string `json:"path"`
	Layer  string `json:"layer"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// Setting is a part of a config that differs; empty where there is none.
type Setting struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Names that say, in a layer, that something of those below is deleted (OCI image specification, layer.md).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// seen are the files of an image as a container sees them, by path.
func (im Image) seen() map[string]File {
	out := map[string]File{}
	for _, l := range im.Layers {
		for _, f := range l.entries {
			dir, base := path.Split(f.Path)
			switch {
			case base == opaque:
				drop(out, dir)
			case strings.HasPrefix(base, whiteout):
				gone := dir + strings.TrimPrefix(base, whiteout)
				delete(out, gone)
				drop(out, gone+"/")
			}
		}
		for _, f := range l.entries { // a layer's own files are not what it deletes
			if !strings.HasPrefix(path.Base(f.Path), whiteout) {
				f.Layer = l.Name
				out[f.Path] = f
			}
		}
	}
	return out
}

func drop(files map[string]File, below string) {
	maps.DeleteFunc(files, func(p string, _ File) bool { return strings.HasPrefix(p, below) })
}

// compare says what after has that before lacks, and the other way round.
func compare(before, after Image) *Diff {
	d := &Diff{
		Digest: before.Digest, Build: before.Build, Revision: before.Revision,
		Layers: []string{}, Added: []Change{}, Changed: []Change{}, Removed: []Change{}, Config: settings(before.config, after.config),
	}
	had := map[string]bool{}
	for _, l := range before.Layers {
		had[l.Digest] = true
	}
	for _, l := range after.Layers {
		if had[l.Digest] {
			d.Same++
			continue
		}
		d.Download += l.Size
		d.Layers = append(d.Layers, l.Name)
	}
	old, now := before.seen(), after.seen()
	for _, p := range slices.Sorted(maps.Keys(now)) {
		is := now[p]
		was, ok := old[p]
		switch {
		case !ok:
			d.Added = append(d.Added, Change{p, is.Layer, -1, is.Size})
		case was.sum != is.sum:
			d.Changed = append(d.Changed, Change{p, is.Layer, was.Size, is.Size})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(old)) {
		if _, ok := now[p]; !ok {
			d.Removed = append(d.Removed, Change{p, old[p].Layer, old[p].Size, -1})
		}
	}
	return d
}

// settings are the parts of two configs that differ.
func settings(before, after *v1.ConfigFile) []Setting {
	was, is := parts(before), parts(after)
	names := maps.Clone(was)
	maps.Copy(names, is)
	out := []Setting{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was[name] != is[name] {
			out = append(out, Setting{name, was[name], is[name]})
		}
	}
	return out
}

func parts(c *v1.ConfigFile) map[string]string {
	out := map[string]string{
		"user": c.Config.User, "working directory": c.Config.WorkingDir, "stop signal": c.Config.StopSignal,
		"entrypoint": strings.Join(c.Config.Entrypoint, " "), "command": strings.Join(c.Config.Cmd, " "),
		"ports":   strings.Join(slices.Sorted(maps.Keys(c.Config.ExposedPorts)), " "),
		"volumes": strings.Join(slices.Sorted(maps.Keys(c.Config.Volumes)), " "),
	}
	for _, kv := range c.Config.Env {
		name, value, _ := strings.Cut(kv, "=")
		out["variable "+name] = value
	}
	for name, value := range c.Config.Labels {
		out["label "+name] = value
	}
	return out
}
