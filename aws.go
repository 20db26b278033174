package main

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/internal/dagger"
)

// alias is the name that a container reaches a given AWS service by.
const alias = "aws"

// mck is a container that runs a verb of mck with the settings of AWS. What it
// does outside is done each time it is asked for.
func (m *Magecloudkit) mck(ctx context.Context) (*dagger.Container, error) {
	platform, err := dag.DefaultPlatform(ctx)
	if err != nil {
		return nil, err
	}
	ctr := dag.Container().From(golangImage).
		WithFile("/usr/local/bin/mck", tool("mck", platform, "ci")).
		WithoutEntrypoint()
	variables := map[string]string{
		"AWS_REGION": m.AwsRegion, "AWS_ROLE_ARN": m.AwsRoleArn, "AWS_ECR_URL": m.AwsEcrUrl, "AWS_ENDPOINT_URL": m.AwsEndpointUrl,
	}
	if m.AwsEndpoint != nil {
		var err error
		if variables["AWS_ENDPOINT_URL"], err = m.endpoint(ctx); err != nil {
			return nil, err
		}
		// Its registry stands at the same address, and calls itself what this machine calls it.
		if host, _, err := net.SplitHostPort(m.AwsEcrUrl); m.AwsEcrUrl == "" || err == nil && loopback(host) {
			_, variables["AWS_ECR_URL"], _ = strings.Cut(variables["AWS_ENDPOINT_URL"], "://")
		}
		ctr = ctr.WithServiceBinding(alias, m.AwsEndpoint)
	}
	for name, value := range variables {
		if value != "" {
			ctr = ctr.WithEnvVariable(name, value)
		}
	}
	for name, secret := range map[string]*dagger.Secret{
		"AWS_ACCESS_KEY_ID": m.AwsAccessKeyId, "AWS_SECRET_ACCESS_KEY": m.AwsSecretAccessKey, "AWS_SESSION_TOKEN": m.AwsSessionToken,
	} {
		if secret != nil {
			ctr = ctr.WithSecretVariable(name, secret)
		}
	}
	if m.AwsWebIdentityToken != nil {
		const file = "/run/secrets/web-identity-token"
		ctr = ctr.WithMountedSecret(file, m.AwsWebIdentityToken).WithEnvVariable("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	}
	if m.AwsCaBundle != nil {
		const file = "/etc/aws-ca-bundle.pem"
		ctr = ctr.WithMountedFile(file, m.AwsCaBundle).WithEnvVariable("AWS_CA_BUNDLE", file)
	}
	return ctr.WithEnvVariable("MCK_ASKED_AT", time.Now().UTC().Format(time.RFC3339Nano)), nil
}

// endpoint is the address that containers reach the given AWS service by.
func (m *Magecloudkit) endpoint(ctx context.Context) (string, error) {
	address, err := serviceAddress(ctx, m.AwsEndpoint, "aws-endpoint", alias)
	if err != nil {
		return "", err
	}
	scheme := "http"
	if m.AwsCaBundle != nil {
		scheme = "https"
	}
	return scheme + "://" + address, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call is a command line of mck, with the variables that it is given.
type call struct {
	args      []string
	after     []string // words that follow the flags
	variables map[string]string
	secrets   map[string]*dagger.Secret
	reports   bool // it writes a page about what it did
}

// verb begins a call.
func verb(words ...string) *call { return &call{args: words} }

func (c *call) with(args []string) *call {
	c.args = append(c.args, args...)
	return c
}

// What is empty is left out, and so left to mck's own default.

func (c *call) text(flag, value string) {
	if value != "" {
		c.args = append(c.args, "--"+flag+"="+value)
	}
}

func (c *call) list(flag string, values []string) {
	for _, v := range values {
		c.text(flag, v)
	}
}

func (c *call) on(flag string, value bool) {
	if value {
		c.args = append(c.args, "--"+flag)
	}
}

func (c *call) off(flag string, value bool) {
	if value {
		c.text(flag, "false")
	}
}

func (c *call) number(flag string, value int) { c.text(flag, strconv.Itoa(value)) }

func (c *call) words(words []string) { c.after = append([]string{"--"}, words...) }

func (c *call) variable(name, value string) {
	if value != "" {
		if c.variables == nil {
			c.variables = map[string]string{}
		}
		c.variables[name] = value
	}
}

func (c *call) secret(name string, value *dagger.Secret) {
	if value != nil {
		if c.secrets == nil {
			c.secrets = map[string]*dagger.Secret{}
		}
		c.secrets[name] = value
	}
}

// reportsDir is where mck writes its pages, each over the one before.
const reportsDir = "/var/lib/mck"

// pages are the reports of a cluster's releases, or of rehearsals. The engine keeps them, whatever the release ends with.
func pages(cluster string) *dagger.CacheVolume {
	return dag.CacheVolume("reports-" + cmp.Or(cluster, "rehearsal"))
}

// cluster is the one that the call is about.
func (c *call) cluster() string {
	for _, a := range c.args {
		if name, ok := strings.CutPrefix(a, "--cluster="); ok {
			return name
		}
	}
	return ""
}

// in runs the call in a container that has mck.
func (c *call) in(ctr *dagger.Container) *dagger.Container {
	for name, value := range c.variables {
		ctr = ctr.WithEnvVariable(name, value)
	}
	for name, value := range c.secrets {
		ctr = ctr.WithSecretVariable(name, value)
	}
	args := append([]string{"mck"}, c.args...)
	if c.reports {
		ctr = ctr.WithMountedCache(reportsDir, pages(c.cluster()))
		args = append(args, "--report="+reportsDir+"/release.html")
	}
	return ctr.WithExec(append(args, c.after...))
}

// do runs a call and returns what it prints.
func (m *Magecloudkit) do(ctx context.Context, c *call) (string, error) {
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	return c.in(ctr).Stdout(ctx)
}

// word is do for a verb that prints one word.
func (m *Magecloudkit) word(ctx context.Context, c *call) (string, error) {
	out, err := m.do(ctx, c)
	return strings.TrimSuffix(out, "\n"), err
}

// withStore is do with the store, and with what composer fetches its packages with.
func (m *Magecloudkit) withStore(ctx context.Context, c *call) (string, error) {
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	c.text("source", "/store")
	c.secret("COMPOSER_AUTH", m.Auth)
	c.secret("MAGENTO_PUBLIC_KEY", m.PublicKey)
	c.secret("MAGENTO_PRIVATE_KEY", m.PrivateKey)
	return c.in(ctr.WithMountedDirectory("/store", m.Source)).Stdout(ctx)
}

// built is do with the images of a build, which it makes first.
func (m *Magecloudkit) built(ctx context.Context, c *call, build func(context.Context) (*Build, error)) (string, error) {
	if c.args[0] != "push" { // who looks at images need not run them
		m.RunBuilt = false
	}
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	// mck is compiled while the store is built.
	group, gctx := errgroup.WithContext(ctx)
	var b *Build
	group.Go(func() (err error) {
		b, err = build(gctx)
		return err
	})
	group.Go(func() (err error) {
		ctr, err = ctr.Sync(gctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	c.text("images", "/images")
	if c.args[0] == "push" { // build has run them
		c.text("smoke", "false")
	}
	return c.in(ctr.WithMountedDirectory("/images", b.Export())).Stdout(ctx)
}

// The page about the last release that this engine has made, as an HTML file.
//
// Of every verb that releases or says what a release would do (deploy, rollback, verify, diff, env), failed
// ones included: `report --cluster=C export --path=release.html`.
//
// +cache="never"
func (m *Magecloudkit) Report(
	ctx context.Context,
	// ECS cluster. Default: none, for the last rehearsal.
	//
	// +optional
	cluster string,
) (*dagger.File, error) {
	const script = `test -s "$0" || { echo "there is no report: this engine has released nothing to the cluster $1" >&2; exit 1; }; cp "$0" /report.html`
	return dag.Container().From(golangImage).
		WithMountedCache(reportsDir, pages(cluster)).
		WithEnvVariable("MCK_ASKED_AT", time.Now().UTC().Format(time.RFC3339Nano)).
		WithExec([]string{"sh", "-euc", script, reportsDir + "/release.html", cmp.Or(cluster, "(a rehearsal)")}).
		File("/report.html").Sync(ctx)
}
