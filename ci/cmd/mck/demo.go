package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/smoke/hostrun"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newDemoCommand(e *env) *cobra.Command {
	return verb(e, "demo", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Demo, _ []string) error {
		dir := s.Out
		if dir == "" {
			tmp, err := os.MkdirTemp("", "mck-demo-*")
			if err != nil {
				return err
			}
			defer host.Remove(tmp)
			dir = tmp
		}
		return demonstrate(cmd.Context(), e, s.Source, dir, s.Out != "")
	})
}

// The builds of the demo; the simulated cluster runs the one before them.
const (
	firstBuild  = "301"
	secondBuild = "302"
	// changedFile is the PHP class that the second build has changed.
	changedFile = "app/code/Acme/Greeting/Plugin/Greet.php"
)

// demo is a demonstration that is going on.
type demo struct {
	*env
	dir, store string
	kept       bool // dir stays
	world      *awssim.World
	ecr        *ecr.Client
	registry   string // address
	images     string // where the last build's images are
	report     []chapter
}

// chapter is a part of a demo that is over.
type chapter struct {
	title   string
	seconds float64
	result  string
}

func demonstrate(ctx context.Context, e *env, source, dir string, kept bool) error {
	d := &demo{dir: dir, kept: kept, store: filepath.Join(dir, "store")}
	offline := *e
	// What a demo does depends on nothing but this machine's php and composer.
	offline.lookup = func(name string) (string, bool) {
		switch name {
		case "COMPOSER_DISABLE_NETWORK":
			return "1", true
		case "COMPOSER_AUTH", "MAGENTO_PUBLIC_KEY", "MAGENTO_PRIVATE_KEY":
			return "", false
		}
		return e.lookup(name)
	}
	d.env = &offline
	if _, err := os.Stat(filepath.Join(source, "composer.json")); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--source %s: %w: run the demo at the root of the repository, or name a store", source, err)}
	}
	if err := host.Export(source, d.store); err != nil {
		return err
	}
	if err := d.serve(ctx); err != nil {
		return err
	}
	start := e.now()
	for _, c := range []struct {
		title string
		run   func(context.Context) (result string, err error)
	}{
		{"Check the store", d.check},
		{"Build its two images, the first time", func(ctx context.Context) (string, error) { return d.build(ctx, firstBuild) }},
		{"Push them to Amazon ECR (simulated)", func(ctx context.Context) (string, error) { return d.push(ctx, firstBuild) }},
		{"Pull them back and compare", func(ctx context.Context) (string, error) { return d.pull(ctx, firstBuild) }},
		{"Change one PHP file and build again", d.rebuild},
		{"Push again", func(ctx context.Context) (string, error) { return d.push(ctx, secondBuild) }},
		{"Run what was built as a shop", d.smoke},
		{"Release to Amazon ECS (simulated)", d.release},
		{"Release a build that needs more memory than its task has", d.fail},
	} {
		fmt.Fprintf(e.stdout, "\n%d. %s\n\n", len(d.report)+1, c.title)
		began := e.now()
		result, err := c.run(ctx)
		if err != nil {
			return err
		}
		d.report = append(d.report, chapter{c.title, e.now().Sub(began).Seconds(), result})
	}
	fmt.Fprint(e.stdout, "\nIn short\n\n")
	t := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	for i, c := range d.report {
		fmt.Fprintf(t, "%d. %s\t%.1f s\t%s\n", i+1, c.title, c.seconds, c.result)
	}
	fmt.Fprintf(t, "\t%.1f s\t\n", e.now().Sub(start).Seconds())
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(e.stdout, next)
	return err
}

// next is what to type after the demo.
const next = `
Next

  mck check --source DIR                 what would stop or surprise a build of your store
  mck build --source DIR --build-num 1   build it (or: dagger call --source=DIR build --build-num=1 summary)
  mck init --cluster NAME                write down where it runs: magecloudkit.yaml
  mck doctor production                  is all set up as it must be?
  mck verify production --build-num 1    could this build be released?
  mck rehearse --list                    releases that go wrong, to be played one by one
`

// serve starts a simulated AWS with its registry at an address of this machine.
func (d *demo) serve(ctx context.Context) error {
	world, err := awssim.New(awssim.Config{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("the registry needs a free port of 127.0.0.1: %w", err)
	}
	d.world, d.registry = world, l.Addr().String()
	if err := world.SetRegistryEndpoint("http://" + d.registry); err != nil {
		return errors.Join(err, l.Close())
	}
	server := &http.Server{Handler: world.Handler(), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l) // it ends with the process, or with the context
	context.AfterFunc(ctx, func() { server.Close() })
	d.ecr = ecr.NewFromConfig(world.ClientConfig())
	return nil
}

// steps are the settings of the demo's builds.
func (d *demo) steps() verbs.Steps {
	return verbs.Steps{
		Store: verbs.Store{Source: d.store}, Out: d.images, Shards: string(build.ShardsAuto), Compression: string(layer.Zstd), Quiet: true, CacheDir: filepath.Join(d.dir, "cache"),
	}
}

func (d *demo) check(ctx context.Context) (string, error) {
	b := builder{d.env, d.steps()}
	report, _, _, err := b.check(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprint(d.stdout, report)
	if err := report.Err(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s, PHP %s", report.Facts.Edition, report.Facts.Version, report.Facts.PHP), nil
}

func (d *demo) build(ctx context.Context, number string) (string, error) {
	d.images = filepath.Join(d.dir, "images-"+number)
	done, err := buildStore(ctx, d.env, &verbs.Build{
		Steps: d.steps(), BuildNum: number, Platforms: []string{image.DefaultPlatform}, PHPBase: image.Scratch, NginxBase: image.Scratch,
	})
	if err != nil {
		return "", err
	}
	t := tabwriter.NewWriter(d.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "STEP\tTIME\tLAYERS\tSIZE\t")
	ran := 0
	for _, s := range done.Steps {
		how := ""
		if s.Reused {
			how = "from the cache"
		} else {
			ran++
		}
		n, size := 0, int64(0)
		for _, l := range s.Layers {
			if l.Files > 0 {
				n, size = n+1, size+l.Size
			}
		}
		fmt.Fprintf(t, "%s\t%.1f s\t%d\t%s\t%s\n", s.Step, s.Seconds, n, kilobytes(size), how)
	}
	if err := t.Flush(); err != nil {
		return "", err
	}
	for _, im := range done.Images {
		fmt.Fprintf(d.stdout, "\nimage %s:%s  %s\n", im.Name, number, im.Summary.Digest)
		for _, l := range im.Summary.Layers {
			fmt.Fprintf(t, "  %s\t%.19s\t%s\n", l.Name, l.Digest, kilobytes(l.Size))
		}
		if err := t.Flush(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d of %d steps ran", ran, len(done.Steps)), nil
}

// smoke runs the images and asks whether they serve, where this machine can.
func (d *demo) smoke(ctx context.Context) (string, error) {
	report, err := runSmoke(ctx, d.env, d.images, false)
	var unavailable *hostrun.Unavailable
	if errors.As(err, &unavailable) {
		fmt.Fprintln(d.stdout, err)
		return "not run here", nil
	}
	if err != nil {
		return "", err
	}
	fmt.Fprint(d.stdout, report)
	if !report.OK() {
		return "", errors.New("the images do not serve")
	}
	return fmt.Sprintf("%d checks", len(report.Checks)), nil
}

// kilobytes suits a sample store.
func kilobytes(n int64) string { return fmt.Sprintf("%.1f kB", float64(n)/1e3) }

func (d *demo) push(ctx context.Context, number string) (string, error) {
	r, err := registry.New(d.registry, registry.Options{ECR: d.ecr, Now: d.now})
	if err != nil {
		return "", err
	}
	req := registry.Request{Prefix: "magecloudkit", Tag: number}
	for _, n := range imageNames {
		im, err := image.ReadLayout(filepath.Join(d.images, n))
		if err != nil {
			return "", err
		}
		req.Images = append(req.Images, registry.Image{Name: n, Image: im})
	}
	result, err := r.Push(ctx, req)
	if err != nil {
		return "", err
	}
	t := tabwriter.NewWriter(d.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tBLOB\tSIZE\t")
	sent, all := 0, 0
	for _, im := range result.Images {
		for _, b := range im.Blobs {
			how := "was there"
			if b.Sent > 0 {
				how = "sent"
				sent++
			}
			all++
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", im.Reference, b.Name, kilobytes(b.Size), how)
		}
	}
	if err := t.Flush(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d blobs sent, %s", sent, all, kilobytes(result.BytesSent)), nil
}

// pull reads the images back, every byte of them, as a machine would that runs
// them.
func (d *demo) pull(ctx context.Context, number string) (string, error) {
	t := tabwriter.NewWriter(d.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tPUSHED\tPULLED")
	for _, n := range imageNames {
		ref, err := name.ParseReference(d.registry + "/magecloudkit/" + n + ":" + number)
		if err != nil {
			return "", err
		}
		pulled, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(registry.NewLogin(d.ecr, d.now)))
		if err != nil {
			return "", err
		}
		if err := image.Verify(pulled); err != nil {
			return "", fmt.Errorf("%s came back damaged: %w", ref, err)
		}
		pushed, err := image.ReadLayout(filepath.Join(d.images, n))
		if err != nil {
			return "", err
		}
		got, err := pulled.Digest()
		if err != nil {
			return "", err
		}
		want, err := pushed.Digest()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(t, "%s\t%.19s\t%.19s\n", ref, want, got)
		if got != want {
			return "", fmt.Errorf("%s came back as %s, and %s was pushed", ref, got, want)
		}
	}
	return "every blob as it was pushed", t.Flush()
}

// rebuild builds the store with one class changed.
func (d *demo) rebuild(ctx context.Context) (string, error) {
	file := filepath.Join(d.store, filepath.FromSlash(changedFile))
	code, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the demo changes %s, which this store does not have: name a copy of testdata/store", changedFile)
	}
	if err != nil {
		return "", err
	}
	code = append([]byte(strings.TrimRight(string(code), "\n")), "\n\n// This line is new.\n"...)
	if err := os.WriteFile(file, code, 0o644); err != nil {
		return "", err
	}
	fmt.Fprintf(d.stdout, "changed: %s\n\n", changedFile)
	return d.build(ctx, secondBuild)
}

// request is a release to the simulated cluster.
func (d *demo) request(number string) release.Request {
	return release.Request{
		Cluster: "production-app", Services: []string{"production-app", "production-consumers"}, CronRules: []string{"production-cron"},
		Repositories: repositories("magecloudkit"), Build: number, Migrate: release.MigrateAuto, Rollback: true,
		Timeout: 10 * time.Minute, TaskTimeout: 10 * time.Minute, By: "mck demo",
	}
}

// releaser releases to the simulated cluster, on its clock.
func (d *demo) releaser() *release.Releaser {
	start := d.world.Clock().Now()
	return release.New(release.NewClients(d.world.ClientConfig()), release.Options{
		Clock:  d.world.Clock(),
		Notify: func(n release.Note) { printNote(d.stdout, n, n.At.Sub(start)) },
		HTTP:   &http.Client{Transport: d.world.Transport()},
	})
}

// fail releases the first build over the second, as if its containers were killed for
// want of memory, and shows what is said of that afterwards.
func (d *demo) fail(ctx context.Context) (string, error) {
	short := awssim.Duration(8 * time.Second)
	if err := d.world.Behave(awssim.Behavior{Image: "magento2:" + firstBuild, Container: "magento", ExitAfter: short, OOM: true}); err != nil {
		return "", err
	}
	req := d.request(firstBuild)
	req.Downgrade, req.Migrate = true, release.MigrateNever
	releaser := d.releaser()
	result := releaser.Deploy(ctx, req)
	fmt.Fprintf(d.stdout, "\n%s", result.Summary())
	if result.Verdict != release.RolledBack {
		return "", fmt.Errorf("a build that cannot run was to be rolled back, and the release ended with %q", result.Verdict)
	}
	fmt.Fprint(d.stdout, "\n$ mck status\n")
	now, err := releaser.Status(ctx, req)
	if err == nil {
		err = printStatus(d.stdout, now)
	}
	if err != nil {
		return "", err
	}
	fmt.Fprint(d.stdout, "\n$ mck history\n")
	past, err := releaser.History(ctx, req, 10)
	if err == nil {
		err = printHistory(d.stdout, past)
	}
	if err != nil {
		return "", err
	}
	page := filepath.Join(d.dir, "release.html")
	if err := writeReport(page, result); err != nil {
		return "", err
	}
	if d.kept {
		fmt.Fprintf(d.stdout, "\nthe page about this release: %s\n", page)
	} else {
		fmt.Fprint(d.stdout, "\nmck demo --out DIR keeps the page about this release, beside the images\n")
	}
	return string(result.Verdict), nil
}

// release releases the second build.
func (d *demo) release(ctx context.Context) (string, error) {
	start := d.world.Clock().Now()
	result := d.releaser().Deploy(ctx, d.request(secondBuild))
	fmt.Fprintf(d.stdout, "\n%s", result.Summary())
	if result.Verdict != release.Released {
		return "", &exitError{result.ExitCode, fmt.Errorf("the release ended with %q", result.Verdict)}
	}
	return fmt.Sprintf("%s, %s of simulated time", result.Verdict, d.world.Clock().Now().Sub(start).Round(time.Second)), nil
}
