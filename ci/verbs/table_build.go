package verbs

// buildVerbs are those of a build. Under dagger each step is a container of its own, and what a build returns is an object:
// their functions are written by hand, in package main, and held to these settings by a test.
func buildVerbs() []Verb { //nolint:funlen // a table
	byHand := &Function{ByHand: true}
	return []Verb{
		{
			Name: "check", Short: "Say everything that can be said about a store before building it",
			Long: `check reads the store and says all at once what would make its build fail or
surprise you, and what to do about each. It runs nothing of the store.

The exit code is 1 if the store cannot be built.`,
			Settings: &Check{}, Dagger: byHand, Make: true,
		},
		{
			Name: "composer", Short: "Install the store's packages: the store as it runs, in OUT/store",
			Settings: &Steps{}, Dagger: byHand, Make: true,
		},
		{
			Name: "precompile", Short: "Install and compile the store, with its static content, in OUT/store",
			Settings: &Precompile{}, Dagger: byHand, Make: true,
		},
		{
			Name: "build", Short: "Build the store's two images, as OCI layouts OUT/magento2 and OUT/nginx",
			Long: `build installs and compiles the store with this machine's php and composer and
writes its images, magento2 (php-fpm) and nginx, as OCI image layouts. Skopeo,
crane and 'mck push' read them. No container engine is needed.

A base is a registry's image (php:8.3-fpm-bookworm), an OCI layout (oci:DIR), an
OCI archive (oci-archive:FILE) or scratch. The php base must have the extensions
that the store needs; 'dagger call php-base' makes one.`,
			Settings: &Build{}, Dagger: byHand, Make: true,
		},
		{
			Name: "smoke", Short: "Run a build's two images as a shop on this machine, and ask whether it serves",
			Long: `smoke runs the images that 'mck build' left: not root, with a read-only root and
the documented volumes, over this machine's own php-fpm and nginx, with MariaDB,
Redis or Valkey and a stand-in for the search engine beside them. It installs the
store into an empty database and asks for pages, all that they name, paths that
must be shut, keys in Redis, errors in the logs, and requests that are under way
when a container is stopped.

It needs root. The exit code is 1 if something failed, or if this machine cannot
run the images.`,
			Settings: &Smoke{},
		},
		{
			Name: "pin", Short: "Write the digests of the images that builds stand on and run in to ci/build/bases.json",
			Long: `pin asks the registries what the images of ci/build/bases.json are today, writes
their digests to it and shows what changed. Commit the file: from then on every
build of that commit stands on the same bases. It is a part of the program, so mck
is to be compiled again. With IMAGE only those are renewed, and added where they
are not in the file yet.

If one cannot be asked for, the file is left as it is.`,
			Settings: &Pin{}, Args: Args{Usage: "[IMAGE...]"}, Make: true,
		},
		{
			Name: "demo", Short: "Show the whole pipeline on this machine, with a sample store and a simulated AWS",
			Long: `demo builds a store's two images with this machine's php and composer, pushes
them to the registry of a simulated AWS, pulls them back and compares them. It then
changes one PHP file, builds and pushes again, and releases that build to a
simulated ECS cluster. The code is that of check, build, push and deploy; nothing
outside of this machine is reached, and nothing of it is kept without --out.`,
			Settings: &Demo{},
		},
	}
}
