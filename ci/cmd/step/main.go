// Command step is what the Dagger module runs inside of its containers: one step
// of a build, exactly as mck runs it on a host.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// secrets are the values that the module gives its containers: composer's to install packages with, and all of them to
// make sure that no image has them.
func secrets() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"COMPOSER_AUTH", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN"} {
		out[name] = os.Getenv(name)
	}
	return out
}

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

type args struct {
	step, tree, results, cache, release, plan, out string
	compression, ref, mirror                       string
	platforms                                      []platform
	earlier                                        list
}

// platform is what differs from one of the images' platforms to another.
type platform struct {
	name       string
	bases      host.Bases
	extensions string // directory; empty: the base lacks none
}

// parse reads what follows a command, and returns what follows its flags.
func (a *args) parse(argv []string) (rest []string, err error) {
	fl := flag.NewFlagSet("step", flag.ContinueOnError)
	fl.StringVar(&a.step, "step", "", "file with the step")
	fl.StringVar(&a.plan, "plan", "", "file with the plan")
	fl.StringVar(&a.release, "release", "", "file with the release")
	fl.StringVar(&a.tree, "tree", "", "tree that the step works in")
	fl.StringVar(&a.results, "results", "", "directory for what the step leaves")
	fl.Var(&a.earlier, "earlier", "directory of what an earlier step left")
	fl.StringVar(&a.cache, "cache", "", "directory of earlier results by key")
	fl.StringVar(&a.compression, "compression", "", "zstd or gzip")
	fl.Func("platform", "a platform of the images; the bases and extensions that follow are for it", func(v string) error {
		if n := len(a.platforms); n == 0 || a.platforms[n-1].name != v {
			a.platforms = append(a.platforms, platform{name: v, bases: host.Bases{}})
		}
		return nil
	})
	fl.Func("base", "base of an image: NAME=REFERENCE,ORIGIN[,DIGEST]", func(v string) error {
		name, refs, ok := strings.Cut(v, "=")
		parts := append(strings.Split(refs, ","), "")
		if !ok || len(parts) < 3 {
			return errors.New("use NAME=REFERENCE,ORIGIN[,DIGEST]")
		}
		if len(a.platforms) == 0 {
			return errors.New("name its --platform first")
		}
		a.platforms[len(a.platforms)-1].bases[name] = host.Base{Ref: parts[0], From: parts[1], Digest: parts[2]}
		return nil
	})
	fl.Func("extensions", "directory of what installing PHP extensions for a platform left", func(v string) error {
		if len(a.platforms) == 0 {
			return errors.New("name their --platform first")
		}
		a.platforms[len(a.platforms)-1].extensions = v
		return nil
	})
	fl.StringVar(&a.ref, "ref", "", "reference of the base to read")
	fl.StringVar(&a.mirror, "mirror", "", "address to read it from, when it is not its registry's own")
	fl.StringVar(&a.out, "out", "", "directory for the images' archives, or the file for a base's")
	if err := fl.Parse(argv); err != nil {
		return nil, err
	}
	return fl.Args(), nil
}

func run(ctx context.Context, argv []string) error {
	if len(argv) == 0 {
		return errors.New("step: say run, extensions, complete, base or images")
	}
	var a args
	rest, err := a.parse(argv[1:])
	if err != nil {
		return err
	}
	compression, err := layer.ParseCompression(a.compression)
	if err != nil {
		return err
	}
	r := &host.Runner{
		Environ:     os.Environ(),
		Secrets:     secrets(),
		Results:     a.results,
		Earlier:     a.earlier,
		Cache:       a.cache,
		Compression: compression,
		Log:         show,
		Now:         time.Now,
	}
	switch argv[0] {
	case "run":
		var step build.Step
		if err := readJSON(a.step, &step); err != nil {
			return err
		}
		_, err := r.Run(ctx, step, a.tree)
		return err
	case "extensions":
		return extensions(ctx, r, rest)
	case "complete":
		var rel build.Release
		var plan build.Plan
		if err := errors.Join(readJSON(a.release, &rel), readJSON(a.plan, &plan)); err != nil {
			return err
		}
		return r.Complete(ctx, plan, a.tree, rel)
	case "base":
		return base(ctx, a)
	case "images":
		return images(ctx, r, a)
	}
	return fmt.Errorf("step: there is no %q", argv[0])
}

// untouched are the parts of a root file system that are not an image's, or that
// say how something was installed rather than what.
var untouched = []string{
	"proc", "sys", "dev", "run", "tmp", "mck", "root", "var/cache", "var/log", "var/lib/apt", "var/lib/dpkg", "usr/src",
	"etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/ld.so.cache", "usr/share/doc", "usr/share/man", "usr/share/info",
}

// extensions runs a command that installs PHP extensions and packs what it
// changed in the root file system.
func extensions(ctx context.Context, r *host.Runner, command []string) error {
	before, err := layer.Take("/", untouched)
	if err != nil {
		return err
	}
	if err := silently(ctx, command); err != nil {
		return fmt.Errorf("installing PHP extensions: %w", err)
	}
	_, err = layer.PackChangedFile(ctx, build.LayerExtensions, "/", before, untouched, r.Compression, r.Results)
	return err
}

// silently runs a command that says much of which nobody needs anything, unless it
// fails: a compiler's thousands of lines.
func silently(ctx context.Context, command []string) error {
	const most = 100
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := lines[max(0, len(lines)-most):]
	return fmt.Errorf("`%s`: %w\n  its last lines:\n    %s", strings.Join(command, " "), err, strings.Join(last, "\n    "))
}

// base reads an image's base from its registry.
func base(ctx context.Context, a args) error {
	var opts []image.Option
	if a.mirror != "" {
		address, err := url.Parse(a.mirror)
		if err != nil {
			return err
		}
		opts = append(opts, image.WithMirror(address))
	}
	if len(a.platforms) != 1 {
		return errors.New("step base: name one --platform")
	}
	return host.WriteBase(ctx, a.ref, a.platforms[0].name, a.out, opts...)
}

func images(ctx context.Context, r *host.Runner, a args) error {
	var rel build.Release
	var plan build.Plan
	if err := errors.Join(readJSON(a.release, &rel), readJSON(a.plan, &plan)); err != nil {
		return err
	}
	j := host.Job{Runner: r, Plan: plan}
	layers, err := j.Layers()
	if err != nil {
		return err
	}
	if len(a.platforms) == 0 {
		return errors.New("step images: name a --platform")
	}
	var done []host.Assembled
	for _, p := range a.platforms {
		own := slices.Clone(layers)
		if p.extensions != "" {
			d, err := layer.ReadDescriptor(p.extensions, build.LayerExtensions)
			if err != nil {
				return err
			}
			own = append(own, d)
			r.Earlier = append(r.Earlier, p.extensions)
		}
		some, err := r.Images(ctx, a.tree, rel, p.name, own, p.bases)
		if err != nil {
			return err
		}
		done = append(done, some...)
	}
	if _, err := r.SearchSecrets(ctx, a.tree, done, plan.Allowed); err != nil {
		return err
	}
	if err := host.WriteArchives(a.out, rel, done); err != nil {
		return err
	}
	var table, machine, layouts bytes.Buffer
	summaries, err := host.Summaries(done)
	if err != nil {
		return err
	}
	if err := errors.Join(host.PrintImages(&table, done), host.WriteJSON(&machine, done), host.WriteJSON(&layouts, summaries)); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(a.out, "images.txt"), table.Bytes(), 0o644),
		os.WriteFile(filepath.Join(a.out, "images.json"), machine.Bytes(), 0o644),
		os.WriteFile(filepath.Join(a.out, "layouts.json"), layouts.Bytes(), 0o644),
	)
}

func show(e host.Event) {
	switch {
	case e.Command != "":
		fmt.Printf("$ %s\n", e.Command)
	case e.Done != nil && e.Done.Reused:
		fmt.Printf("%s: unchanged, layers taken from the cache\n", e.Step)
	case e.Done != nil:
		fmt.Printf("%s: done in %.1f s\n", e.Step, e.Done.Seconds)
	default:
		fmt.Println(e.Line)
	}
}

func readJSON(file string, v any) error {
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
