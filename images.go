package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/internal/dagger"
)

// Build is a store's two images.
type Build struct {
	// The build's number, and the tag of its images.
	BuildNum string
	// The commit that was built.
	Revision string
	// The version of PHP that the store runs on.
	PHP string
	// The version of Magento or Mage-OS.
	MagentoVersion string
	// The digest of image magento2; of its index, where it is for several platforms.
	MagentoDigest string
	// What a host that has none of its layers downloads for image magento2, in bytes.
	MagentoSize int
	// The digest of image nginx; of its index, where it is for several platforms.
	NginxDigest string
	// What a host that has none of its layers downloads for image nginx, in bytes.
	NginxSize int

	// +private
	Table string
	// The engine may drop it with the session that made it, so a Build must not be
	// cached beyond that.
	//
	// +private
	Archives *dagger.Directory
	// +private
	Platform dagger.Platform
	// +private
	MariadbImage string
	// +private
	RedisImage string
}

// The magento2 image: php-fpm with the whole store.
func (b *Build) Magento() *dagger.Container { return b.image(build.Magento, 9000) }

// The nginx image: nginx with the store's static files.
func (b *Build) Nginx() *dagger.Container { return b.image(build.Nginx, 8080) }

// image is an image as a container. The engine takes no ports from an image that
// it imports, and without them a service has none to bind or to forward.
func (b *Build) image(name string, port int) *dagger.Container {
	return dag.Container(dagger.ContainerOpts{Platform: b.Platform}).Import(b.Archives.File(name + ".tar")).WithExposedPort(port)
}

// What was built, as a table: both images, their layers and sizes.
func (b *Build) Summary() string { return b.Table }

// Both images as OCI image layouts, magento2/ and nginx/.
//
// Skopeo, crane and `mck push` read them.
func (b *Build) Export() *dagger.Directory {
	ctr := dag.Container().From(golangImage).WithMountedDirectory("/archives", b.Archives)
	for _, name := range []string{build.Magento, build.Nginx} {
		ctr = ctr.WithExec([]string{"sh", "-euc", fmt.Sprintf("mkdir -p /out/%[1]s && tar -xf /archives/%[1]s.tar -C /out/%[1]s", name)})
	}
	return ctr.Directory("/out")
}

// withSecrets gives a container the values that no image may have.
func (p *planned) withSecrets(ctr *dagger.Container) *dagger.Container {
	for _, s := range []struct {
		name  string
		value *dagger.Secret
	}{
		{"COMPOSER_AUTH", p.auth}, {"AWS_SECRET_ACCESS_KEY", p.AwsSecretAccessKey}, {"AWS_SESSION_TOKEN", p.AwsSessionToken},
		{"AWS_WEB_IDENTITY_TOKEN", p.AwsWebIdentityToken},
	} {
		if s.value != nil {
			ctr = ctr.WithSecretVariable(s.name, s.value)
		}
	}
	return ctr
}

// assemble puts the images together from the packed layers, for each platform.
func (p *planned) assemble(ctx context.Context, done *precompiled, bases []base, rel build.Release) (*Build, error) {
	args := []string{stepBin, "images", "--tree", treeDir, "--results", mckDir + "/images", "--out", "/out", "--compression", p.Compression,
		"--plan", mckDir + "/plan.json", "--release", mckDir + "/release.json", "--cache", mckDir + "/cache"}
	ctr, err := p.withBases(ctx, p.withSecrets(p.withCache(done.app)), bases, &args)
	if err != nil {
		return nil, err
	}
	if ctr, err = done.mount(ctr, &args); err != nil {
		return nil, err
	}
	if ctr, err = withJSON(ctr, mckDir+"/plan.json", p.steps); err != nil {
		return nil, err
	}
	if ctr, err = withJSON(ctr, mckDir+"/release.json", rel); err != nil {
		return nil, err
	}
	out, err := ctr.WithExec(args).Directory("/out").Sync(ctx)
	if err != nil {
		return nil, err
	}
	return p.built(ctx, out, rel, bases[0].platform)
}

// withBases hands the bases to what puts images together, each with the PHP extensions that it lacks.
func (p *planned) withBases(ctx context.Context, ctr *dagger.Container, bases []base, args *[]string) (*dagger.Container, error) {
	for i, b := range bases {
		at := fmt.Sprintf("%s/bases/%d.tar", mckDir, i)
		ctr = ctr.WithMountedFile(at, b.archive)
		*args = append(*args, "--platform", string(b.platform), "--base", b.name+"=oci-archive:"+at+","+b.ref+","+b.digest)
		if b.name != build.Magento || len(p.missing) == 0 {
			continue
		}
		if here, err := dag.DefaultPlatform(ctx); err != nil {
			return nil, err
		} else if b.platform != here {
			fmt.Printf("PHP extensions for %s are installed by running that platform's base, which wants emulation (binfmt) on the engine's machine, or a --php-image that has them\n", b.platform)
		}
		at = fmt.Sprintf("%s/earlier/extensions/%d", mckDir, i)
		extended, err := p.extended(ctx, dag.Container(dagger.ContainerOpts{Platform: b.platform}).From(b.ref))
		if err != nil {
			return nil, err
		}
		ctr = ctr.WithMountedDirectory(at, extended.Directory(mckDir+"/extensions"))
		*args = append(*args, "--extensions", at)
	}
	return ctr, nil
}

// built reads what was built from the directory that it is in.
func (p *planned) built(ctx context.Context, out *dagger.Directory, rel build.Release, platform dagger.Platform) (*Build, error) {
	table, err := out.File("images.txt").Contents(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := out.File("layouts.json").Contents(ctx)
	if err != nil {
		return nil, err
	}
	var images []struct {
		Name, Digest string
		Size         int
	}
	if err := json.Unmarshal([]byte(raw), &images); err != nil {
		return nil, fmt.Errorf("what the build says of its images cannot be read: %w", err)
	}
	b := &Build{BuildNum: rel.BuildNum, Revision: rel.Revision, PHP: p.version, MagentoVersion: p.store.MagentoVersion(), Archives: out, Platform: platform, MariadbImage: p.MariadbImage, RedisImage: p.RedisImage}
	b.Table = fmt.Sprintf("build %s of %s %s, PHP %s, revision %s\n%s", b.BuildNum, p.store.Edition(), b.MagentoVersion, b.PHP, cmp.Or(b.Revision, "unknown"), table)
	fmt.Print(b.Table) // the CLI prints nothing of an object but its name
	for _, im := range images {
		switch im.Name {
		case build.Magento:
			b.MagentoDigest, b.MagentoSize = im.Digest, im.Size
		case build.Nginx:
			b.NginxDigest, b.NginxSize = im.Digest, im.Size
		}
	}
	return b, nil
}
