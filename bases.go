package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/internal/dagger"
)

// base is what an image stands on.
type base struct {
	name, ref string // the image's name, and the base's reference as it was given
	platform  dagger.Platform
	archive   *dagger.File
	digest    string // of ref, where the archive is a copy that the engine packed anew
}

// bases reads what the images stand on, for each platform.
func (p *planned) bases(ctx context.Context, platforms []dagger.Platform) ([]base, error) {
	php, nginx := p.phpRef, build.Pinned(p.NginxImage)
	if line := build.Unpinned(php, nginx); line != "" {
		fmt.Println(line)
	}
	var out []base
	for _, platform := range platforms {
		out = append(out, base{name: build.Magento, ref: php, platform: platform}, base{name: build.Nginx, ref: nginx, platform: platform})
	}
	group, gctx := errgroup.WithContext(ctx)
	for i := range out {
		group.Go(func() error { return p.readBase(gctx, &out[i]) })
	}
	return out, group.Wait()
}

// readBase takes a base from its registry, manifest and layers as they are. The
// engine cannot hand them out: its own copy has another history, and other layers
// once it has dropped those that it pulled.
func (p *planned) readBase(ctx context.Context, b *base) error {
	pulled := dag.Container(dagger.ContainerOpts{Platform: b.platform}).From(b.ref)
	ref, err := pulled.ImageRef(ctx)
	if err != nil {
		return err
	}
	here, err := dag.DefaultPlatform(ctx)
	if err != nil {
		return err
	}
	const out = "/base.tar"
	ctr := dag.Container().From(golangImage).WithFile(stepBin, stepTool(here))
	args := []string{stepBin, "base", "--ref", ref, "--platform", string(b.platform), "--out", out}
	if p.BaseRegistry != nil {
		address, err := serviceAddress(ctx, p.BaseRegistry, "base-registry", "bases")
		if err != nil {
			return err
		}
		ctr = ctr.WithServiceBinding("bases", p.BaseRegistry)
		args = append(args, "--mirror", "http://"+address)
	}
	if p.RegistryConfig != nil {
		ctr = ctr.WithEnvVariable("DOCKER_CONFIG", "/run/docker").WithMountedSecret("/run/docker/config.json", p.RegistryConfig)
	}
	b.archive, err = ctr.WithExec(args).File(out).Sync(ctx)
	var failed *dagger.ExecError
	if !errors.As(err, &failed) {
		return err
	}
	fmt.Printf("base %s: its registry could not be read from a container, so the engine's copy is taken, whose layers have other digests than the registry's: they are pushed again, and another build may get others. Give --registry-config=file://$HOME/.docker/config.json for a registry that wants credentials, or --base-registry=tcp://127.0.0.1:5000 for one on this machine. The reason: %s\n",
		b.ref, strings.TrimSpace(failed.Stderr))
	_, b.digest, _ = strings.Cut(ref, "@")
	b.archive = pulled.AsTarball()
	return nil
}

// serviceAddress is where containers reach a service by a name: name:port.
func serviceAddress(ctx context.Context, service *dagger.Service, flag, name string) (string, error) {
	ports, err := service.Ports(ctx)
	if err != nil {
		return "", err
	}
	if len(ports) != 1 {
		return "", fmt.Errorf("--%s: give a service with one port, such as tcp://127.0.0.1:5000", flag)
	}
	port, err := ports[0].Port(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:%d", name, port), nil
}
