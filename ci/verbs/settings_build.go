package verbs

// Store says which store a verb of a build is about.
type Store struct {
	Source  string   `flag:"source" default:"magento" dagger:"^source" make:"SOURCE" doc:"the store: a directory with composer.json; it is only read"`
	Locales []string `flag:"locales" split:"," dagger:"^locales" make:"LOCALES" doc:"locales to deploy static content for; those of app/etc/config.php if not set"`
	Themes  []string `flag:"themes" split:"," dagger:"^themes" make:"THEMES" doc:"themes to deploy, Vendor/name or area/Vendor/name; those of app/etc/config.php if not set"`
}

// Check is the settings of check.
type Check struct {
	Store
	JSON
}

// Steps is the settings of composer, and of the verbs that go on from there.
type Steps struct {
	Store
	Out         string `flag:"out" default:"out" dagger:"-" make:"OUT" doc:"directory for results, which take the place of what is there: the store as OUT/store, the images as OUT/magento2 and OUT/nginx, and all that the steps printed as OUT/log"`
	Shards      string `flag:"shards" default:"auto" oneof:"auto|none|theme|locale" dagger:"^shards" make:"SHARDS" doc:"how static content is split over processes"`
	KeepTests   bool   `flag:"keep-tests" dagger:"-" doc:"keep the packages' tests in the image; of dagger --strip-tests=false"`
	Quiet       bool   `flag:"quiet,q" dagger:"-" doc:"do not show what the commands print"`
	CacheDir    string `flag:"cache-dir" dagger:"-" doc:"where packages and layers of earlier builds are kept; the user's cache directory if not set"`
	NoCache     bool   `flag:"no-cache" dagger:"-" doc:"run every step, and keep nothing for later builds"`
	Compression string `flag:"compression" default:"zstd" oneof:"zstd|gzip" dagger:"^compression" make:"COMPRESSION" doc:"of layers; gzip is for hosts with an old Docker"`
	CPUs        int    `flag:"cpus" default:"0" dagger:"-" doc:"processors that the build may use; 0 for all"`
	JSON
}

// Content says how URLs of static files tell one build from another.
type Content struct {
	ContentVersion string `flag:"content-version" make:"CONTENT_VERSION" doc:"version in static URLs; the time of the store's commit, in seconds, if not set"`
}

// Precompile is the settings of precompile.
type Precompile struct {
	Steps
	Content
}

// Build is the settings of build.
type Build struct {
	Steps
	BuildNum string `env:"BUILD_NUM,default=latest" or:"CIRCLE_BUILD_NUM" flag:"build-num" dagger:",required" doc:"the build's number, and its images' tag"`
	Revision string `flag:"revision" make:"REVISION" doc:"the commit that is built, for REVISION.txt and the images' labels; that of the store's git repository if not set"`
	Content
	Platforms    []string `flag:"platform" split:"," default:"linux/amd64" make:"PLATFORM" doc:"the images' platforms, as linux/amd64,linux/arm64: of several there is an OCI index, and what PHP makes is made once; dagger takes the engine's if not set"`
	PHPBase      string   `flag:"php-base" dagger:"^phpImage" make:"PHP_IMAGE" doc:"base of image magento2; the official php-fpm image of the PHP that the store asks for (dagger), of this machine's (mck), if not set. dagger adds missing extensions, mck wants them there (dagger call php-base)"`
	NginxBase    string   `flag:"nginx-base" default:"nginx:stable-bookworm" dagger:"^nginxImage" make:"NGINX_IMAGE" doc:"base of image nginx. mck also takes oci:DIR, oci-archive:FILE and scratch as bases"`
	BaseRegistry string   `flag:"base-registry" dagger:"^baseRegistry" make:"BASE_REGISTRY" doc:"registry to look for the bases in before their own, as tcp://127.0.0.1:5000: a mirror, or one of this machine, which containers cannot reach by its name (make gives that one by itself)"`
	Smoke        bool     `env:"MCK_SMOKE,default=true" flag:"smoke" dagger:"^smoke" doc:"run the images as a shop and ask whether it serves, on a host where it can (see 'mck smoke --help'); given expressly, a machine that cannot fails the build"`
}

// Smoke is the settings of smoke.
type Smoke struct {
	Images string `flag:"images" default:"out" doc:"directory with the OCI layouts magento2 and nginx"`
	Keep   bool   `flag:"keep" doc:"keep the containers' files and logs, and say where"`
	JUnit  string `flag:"junit" value:"file" doc:"write what was asked to this file as well, as JUnit XML: test results for a CI system"`
	JSON
}

// Pin is the settings of pin.
type Pin struct {
	File         string `flag:"file" default:"ci/build/bases.json" doc:"the file with the digests"`
	BaseRegistry string `flag:"base-registry" make:"BASE_REGISTRY" doc:"registry to ask before the images' own, as tcp://127.0.0.1:5000: a mirror"`
	JSON
}

// Demo is the settings of demo.
type Demo struct {
	Source string `flag:"source" default:"testdata/store" doc:"the store; it is only read"`
	Out    string `flag:"out" doc:"keep the images and the cache in this directory; nothing is kept if not set"`
}
