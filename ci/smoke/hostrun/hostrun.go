// Package hostrun runs a build's two images as a shop on this machine, with no container engine, and has package smoke ask
// it. The images' files are laid over the machine's own php-fpm and nginx in mount namespaces: not root, a read-only root,
// and the documented volumes, empty at first. MariaDB, Redis or Valkey and a stand-in for the search engine run beside them.
//
// What it cannot show: the PHP, nginx and extensions of the images' bases, since the machine's are run.
package hostrun

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/smoke"
)

// Options say what is run.
type Options struct {
	// Layouts is the directory with the OCI layouts magento2 and nginx.
	Layouts string
	// Work is an empty directory for the images' files, volumes and logs. Other users must be able to reach it.
	Work string
	Now  func() time.Time
}

type runner struct {
	Options
	dir                              string
	processes                        []*process
	db, redis, searchPort, fpm, http string
	category, product                []string // paths of what was put into the store
	search                           *http.Server
	php, nginx                       *tree
	phpProcess, nginxProcess         *process
	read                             positions
}

// Run starts everything, asks, and ends what it started. A shop that does not start is a report too. The error is an
// [Unavailable] where the machine cannot run it, or says what of the machine failed.
func Run(ctx context.Context, o Options) (smoke.Report, error) {
	if err := Available(); err != nil {
		return smoke.Report{}, err
	}
	r := &runner{Options: o, dir: o.Work, read: positions{}}
	defer r.end()
	images := smoke.Images{Users: map[string]string{}, Static: map[string][]string{}, Content: map[string][]string{}}
	var err error
	if r.php, r.nginx, err = unpackBoth(ctx, o.Layouts, o.Work, &images); err != nil {
		return smoke.Report{}, err
	}
	if err := r.services(ctx); err != nil {
		return smoke.Report{}, err
	}
	return r.ask(ctx, images)
}

// unpackBoth lays out both images, and reads what they say of themselves.
func unpackBoth(ctx context.Context, layouts, work string, images *smoke.Images) (php, nginx *tree, err error) {
	if php, err = unpack(ctx, layouts, build.Magento, filepath.Join(work, build.Magento), images); err != nil {
		return nil, nil, err
	}
	if nginx, err = unpack(ctx, layouts, build.Nginx, filepath.Join(work, build.Nginx), images); err != nil {
		return nil, nil, err
	}
	images.Files = os.DirFS(filepath.Join(nginx.dir, appRoot, "pub/static"))
	return php, nginx, php.describe(images)
}

// ask installs the shop, starts it, and asks.
func (r *runner) ask(ctx context.Context, images smoke.Images) (smoke.Report, error) {
	start := r.Now()
	report := smoke.Report{NotRun: images.NotRun, Checks: smoke.Inspect(images, r.Now)}
	step := func(name string, run func(context.Context) error) bool {
		began := r.Now()
		err := run(ctx)
		report.Checks = append(report.Checks, smoke.Step(name, r.Now().Sub(began), err, logOf(err)))
		return err == nil
	}
	if step("install", r.install) && step("install once", r.installedOnce) && step("start", r.up) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return report, err
		}
		shop := smoke.Shop{
			URL: "http://127.0.0.1:" + r.http, Client: &http.Client{Jar: jar, Timeout: time.Minute}, Now: r.Now, Images: images,
			Categories: r.category, Products: r.product,
			Logs: r.newLines, Keys: r.keys, Planted: planted(),
		}
		asked, err := shop.Ask(ctx)
		report.Checks = append(report.Checks, asked.Checks...)
		if err != nil {
			return report, err
		}
		if consumer, err := r.consumer(ctx); consumer != "" || err != nil {
			step("a queue consumer stops", func(ctx context.Context) error {
				if err != nil {
					return err
				}
				return r.stopConsumer(ctx, consumer)
			})
		}
		step("nginx ends its request", r.stopNginx)
		step("php-fpm ends its request", r.stopFPM)
	}
	report.Seconds = r.Now().Sub(start).Seconds()
	return report, ctx.Err()
}

func logOf(err error) []string {
	var f *failure
	if errors.As(err, &f) {
		return f.lines
	}
	return nil
}

// planted are files in pub/media that nobody may read.
func planted() []string {
	var out []string
	for _, dir := range smoke.Private() {
		out = append(out, dir+"/smoke.txt", dir+"/smoke.jpg")
	}
	return out
}

const key = "0123456789abcdef0123456789abcdef"

// environment is the shop's.
func (r *runner) environment() []string {
	return []string{
		"MYSQL_HOST=127.0.0.1:" + r.db, "MYSQL_DATABASE=magento", "MYSQL_USER=m", "MYSQL_PASSWORD=m", "CRYPT_KEY=" + key,
		"REDIS_CACHE_HOST=127.0.0.1", "REDIS_CACHE_PORT=" + r.redis, "REDIS_SESSION_HOST=127.0.0.1", "REDIS_SESSION_PORT=" + r.redis,
		"PHP_FPM_LISTEN=127.0.0.1:" + r.fpm, "PHP_FPM_START_SERVERS=2", "PHP_FPM_MAX_CHILDREN=4", "PHP_FPM_MAX_SPARE_SERVERS=3",
	}
}

// volumes are the writable places of an image, empty and its user's, by where they are mounted.
func (r *runner) volumes(t *tree) (map[string]string, error) {
	out := map[string]string{}
	for _, place := range []string{"var", "pub/media", "app/etc"} {
		if t.name == build.Nginx && place != "pub/media" {
			continue
		}
		dir := filepath.Join(r.dir, "volumes", strings.ReplaceAll(place, "/", "-"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if t.name == build.Magento { // nginx reads what php-fpm has written
			if err := own(dir, t.config.User); err != nil {
				return nil, err
			}
		}
		out[filepath.Join(appRoot, place)] = dir
	}
	return out, nil
}

// own gives a directory to an image's user.
func own(dir, of string) error {
	name, _, _ := strings.Cut(of, ":")
	uid, err := strconv.Atoi(name)
	if err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return nil // it runs as root, or will say so itself
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, uid)
	})
}

// installer is the command that installs the shop as a new environment is: by the image itself.
func (r *runner) installer(ctx context.Context, volumes map[string]string) (*exec.Cmd, error) {
	variables := append(r.environment(),
		"BASE_URL=http://127.0.0.1:"+r.http+"/", "SEARCH_HOST=127.0.0.1", "SEARCH_PORT="+r.searchPort,
		"ADMIN_USER=smoke", "ADMIN_PASSWORD=Passw0rd1", "ADMIN_EMAIL=smoke@example.com", "ADMIN_FIRSTNAME=Smoke", "ADMIN_LASTNAME=Test")
	return r.container(ctx, r.php, volumes, false, append(slices.Clone(r.php.config.Entrypoint), "magento-install"), variables...)
}

func (r *runner) install(ctx context.Context) error {
	volumes, err := r.volumes(r.php)
	if err != nil {
		return err
	}
	cmd, err := r.installer(ctx, volumes)
	if err != nil {
		return err
	}
	if err := once("magento-install", cmd); err != nil {
		return err
	}
	return r.seed(ctx, volumes)
}

// installedOnce sees to it that a shop that is there is not installed over.
func (r *runner) installedOnce(ctx context.Context) error {
	volumes, err := r.volumes(r.php)
	if err != nil {
		return err
	}
	cmd, err := r.installer(ctx, volumes)
	if err != nil {
		return err
	}
	const hasTables = 65
	var exit *exec.ExitError
	if err := once("magento-install", cmd); err == nil || !errors.As(err, &exit) || exit.ExitCode() != hasTables {
		return fmt.Errorf("a second installation into the same database is not refused with exit code %d: %w", hasTables, err)
	}
	return nil
}

//go:embed seed.php
var seed string

// seed puts a category and a product into a fresh Magento.
func (r *runner) seed(ctx context.Context, volumes map[string]string) error {
	code := Seed()
	cmd, err := r.container(ctx, r.php, volumes, false, append(slices.Clone(r.php.config.Entrypoint), "php", "-r", code), r.environment()...)
	if err != nil {
		return err
	}
	out, err := output("putting a product into the store", cmd)
	if paths := strings.Fields(out); err == nil && len(paths) == 2 {
		r.category, r.product = paths[:1], paths[1:]
	}
	return err
}

// start starts a program and sees to its end.
func (r *runner) start(name string, cmd *exec.Cmd) (*process, error) {
	p, err := start(name, filepath.Join(r.dir, name+".log"), cmd)
	if err == nil {
		r.processes = append(r.processes, p)
	}
	return p, err
}

// up starts both images and waits until they answer.
func (r *runner) up(ctx context.Context) error {
	r.newLines() // what the installation has logged is not the containers'
	for _, p := range planted() {
		if err := writeFile(filepath.Join(r.dir, "volumes/pub-media", p), "a customer's\n", 0o644); err != nil {
			return err
		}
	}
	web := []string{"PHP_HOST=127.0.0.1", "PHP_PORT=" + r.fpm, "NGINX_PORT=" + r.http, "NGINX_WORKER_PROCESSES=1"}
	for _, c := range []struct {
		tree    *tree
		env     []string
		address string
		process **process
	}{{r.php, r.environment(), r.fpm, &r.phpProcess}, {r.nginx, web, r.http, &r.nginxProcess}} {
		volumes, err := r.volumes(c.tree)
		if err != nil {
			return err
		}
		cmd, err := r.container(ctx, c.tree, volumes, false, nil, c.env...)
		if err != nil {
			return err
		}
		if *c.process, err = r.start(c.tree.name, cmd); err != nil {
			return err
		}
		if err := until(ctx, *c.process, answers("127.0.0.1:"+c.address)); err != nil {
			return err
		}
	}
	return nil
}

// newLines are those that the containers and the shop have written since the last call.
func (r *runner) newLines() []string {
	logs := []string{filepath.Join(r.dir, build.Magento+".log"), filepath.Join(r.dir, build.Nginx+".log")}
	own, _ := filepath.Glob(filepath.Join(r.dir, "volumes/var/log/*.log")) // the pattern is right
	return r.read.lines(append(logs, own...))
}

// positions are up to where log files have been read.
type positions map[string]int

// lines are those that files have got since the last call.
func (p positions) lines(files []string) (out []string) {
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil || len(raw) <= p[name] {
			continue
		}
		out = append(out, strings.Split(strings.TrimSpace(string(raw[p[name]:])), "\n")...)
		p[name] = len(raw)
	}
	return out
}

// end ends all that was started, the last first.
func (r *runner) end() {
	if r.search != nil {
		r.search.Close()
	}
	for i := len(r.processes) - 1; i >= 0; i-- {
		r.processes[i].end()
	}
}

// stopped waits until a container that was asked to stop has done so, within stopTimeout.
func stopped(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case <-p.ended:
		if p.err != nil {
			return &failure{what: "stopping " + p.name, err: p.err, lines: p.lines()}
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended %s after SIGQUIT: ECS would kill it", p.name, stopTimeout)
	}
}

// stopTimeout is ECS's default.
const stopTimeout = 30 * time.Second

const quit = syscall.SIGQUIT
