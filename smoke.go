package main

import (
	"context"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/smoke/hostrun"
	"github.com/magecloudkit/pipeline/internal/dagger"
)

// Places of the containers of a smoke.
const (
	storeVar   = treeDir + "/var"
	shopURL    = "http://web:8080"
	askProgram = mckDir + "/ask"
	askedDir   = "/var/lib/mck/results"
)

// Run the images as a shop, and ask whether it serves.
//
// Both images run as containers, with MariaDB, Redis and a stand-in for the search
// engine beside them. The store is installed into an empty database; then pages,
// all that they name, locked paths, keys in Redis and the logs are looked at. It
// ends with an error if something is wrong: the page, the log lines and the likely
// cause. What the engine's containers cannot show (a read-only root, stopping),
// `mck smoke` does.
func (b *Build) Smoke(
	ctx context.Context,
	// Print the result as one JSON document.
	//
	// +optional
	asJson bool,
) (string, error) {
	tools := dag.Container().From(golangImage).WithFile(askProgram, tool("ask", b.Platform,
		"ci/build", "ci/image", "ci/layer", "ci/page", "ci/smoke", "ci/store"))
	db := dag.Container().From(build.Pinned(b.MariadbImage)).
		WithEnvVariable("MARIADB_RANDOM_ROOT_PASSWORD", "1").
		WithEnvVariable("MARIADB_DATABASE", "magento").WithEnvVariable("MARIADB_USER", "m").WithEnvVariable("MARIADB_PASSWORD", "m").
		WithExposedPort(3306).
		// Magento's installer refuses versions newer than those that it was released with.
		AsService(dagger.ContainerAsServiceOpts{UseEntrypoint: true, Args: []string{"mariadbd", "--version=10.6.18-MariaDB", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"}})
	redis := dag.Container().From(build.Pinned(b.RedisImage)).WithExposedPort(6379).AsService(dagger.ContainerAsServiceOpts{UseEntrypoint: true})
	search := tools.WithExposedPort(9200).AsService(dagger.ContainerAsServiceOpts{Args: []string{askProgram, "--search", ":9200"}})
	for _, s := range []*dagger.Service{db, redis, search} { // they outlive the installation
		started, err := s.Start(ctx)
		if err != nil {
			return "", err
		}
		defer started.Stop(context.WithoutCancel(ctx), dagger.ServiceStopOpts{Kill: true})
	}
	php := b.Magento().
		// A database is empty once: nothing of an earlier run may be taken for this one's.
		WithEnvVariable("SMOKE_AT", time.Now().UTC().Format(time.RFC3339Nano)).
		WithServiceBinding("db", db).WithServiceBinding("redis", redis).WithServiceBinding("search", search)
	for _, v := range [][2]string{
		{"MYSQL_HOST", "db"}, {"MYSQL_DATABASE", "magento"}, {"MYSQL_USER", "m"}, {"MYSQL_PASSWORD", "m"}, {"CRYPT_KEY", "0123456789abcdef0123456789abcdef"},
		{"REDIS_CACHE_HOST", "redis"}, {"REDIS_SESSION_HOST", "redis"}, {"PHP_FPM_START_SERVERS", "2"}, {"PHP_FPM_MAX_CHILDREN", "4"}, {"PHP_FPM_MAX_SPARE_SERVERS", "3"},
		{"BASE_URL", shopURL + "/"}, {"SEARCH_HOST", "search"}, {"ADMIN_USER", "smoke"}, {"ADMIN_PASSWORD", "Passw0rd1"}, {"ADMIN_EMAIL", "smoke@example.com"},
	} {
		php = php.WithEnvVariable(v[0], v[1])
	}
	logs := dag.CacheVolume("smoke-" + b.MagentoDigest + "-" + time.Now().UTC().Format(time.RFC3339Nano))
	entry := dagger.ContainerWithExecOpts{UseEntrypoint: true}
	php = php.WithMountedCache(storeVar, logs, dagger.ContainerWithMountedCacheOpts{Owner: "33:33"}).
		WithExec([]string{"magento-install"}, entry).
		WithExec([]string{"php", "-r", hostrun.Seed()}, dagger.ContainerWithExecOpts{UseEntrypoint: true, RedirectStdout: "/tmp/paths"})
	paths := php.File("/tmp/paths")
	fpm := php.AsService(dagger.ContainerAsServiceOpts{Args: []string{"sh", "-c", "mkdir -p " + storeVar + "/log; exec magento-entrypoint php-fpm 2>>" + storeVar + "/log/php-fpm.log"}})
	nginx := b.Nginx().WithEnvVariable("PHP_HOST", "php").WithEnvVariable("NGINX_WORKER_PROCESSES", "1").WithServiceBinding("php", fpm)
	for _, p := range hostrun.Planted() {
		nginx = nginx.WithNewFile(treeDir+"/pub/media/"+p, "a customer's\n")
	}
	web := nginx.AsService(dagger.ContainerAsServiceOpts{UseEntrypoint: true})
	args := []string{askProgram, "--images", "/images", "--url", shopURL, "--redis", "redis:6379", "--paths", "/paths", "--logs", "/var/store/log/*.log",
		"--junit", resultsOf(b.BuildNum), "--name", "build " + b.BuildNum}
	if asJson {
		args = append(args, "--json")
	}
	return tools.WithServiceBinding("web", web).WithServiceBinding("redis", redis).
		WithMountedDirectory("/images", b.Export()).WithMountedFile("/paths", paths).
		WithMountedCache("/var/store", logs).WithMountedCache(askedDir, results()).
		WithExec(args).Stdout(ctx)
}

// results are what the shops were asked, a file a build. The engine keeps them, whatever came of it.
func results() *dagger.CacheVolume { return dag.CacheVolume("smoke-results") }

// resultsOf is a build's file there. A build's number is a tag, and so a name of a file.
func resultsOf(buildNum string) string { return askedDir + "/" + buildNum + ".xml" }

// What a build's images were asked when they ran as a shop, as JUnit's XML: test results for a CI system.
//
// Of a build that this engine has made, one that does not serve included:
// `test-results --build-num=1 export --path=smoke.xml`.
//
// +cache="never"
func (m *Magecloudkit) TestResults(
	ctx context.Context,
	// The build's number.
	buildNum string,
) (*dagger.File, error) {
	if err := (build.Release{BuildNum: buildNum, Created: time.Now()}).Validate(); err != nil {
		return nil, err
	}
	const script = `test -s "$0" || { echo "there are no test results: this engine has not run the images of build $1 as a shop" >&2; exit 1; }; cp "$0" /results.xml`
	return dag.Container().From(golangImage).
		WithMountedCache(askedDir, results()).
		WithEnvVariable("MCK_ASKED_AT", time.Now().UTC().Format(time.RFC3339Nano)).
		WithExec([]string{"sh", "-euc", script, resultsOf(buildNum), buildNum}).
		File("/results.xml").Sync(ctx)
}
