package store

import (
	"fmt"
	"path"
	"strings"
)

// node judges what Node has to build.
func (c *checker) node() {
	if c.nodeInvalid != nil {
		c.add(Error, "node-setting", manifestPath, `write a list of {"path": DIRECTORY, "run": COMMAND, "output": WHAT IT MAKES}, or false`,
			"its %s cannot be used: %v", nodeSetting, c.nodeInvalid)
	}
	for _, d := range c.nodeDeclared {
		if c.nodeInvalid != nil {
			break
		}
		there, err := c.exists(d.Path)
		if err == nil && !there && !strings.HasPrefix(d.Path, c.VendorDir()+"/") {
			c.add(Error, "node-setting", manifestPath, "correct the path; it is relative to the store", "its %s names %s, which is not there", nodeSetting, d.Path)
		}
	}
	for _, n := range c.nodeThemesOf(c.o.Themes) {
		if !c.declares(n) {
			c.nodeTheme(n)
		}
	}
	builds := c.NodeBuilds(c.o.Themes)
	if len(builds) > 0 && c.o.Node != nil {
		c.nodeVersions(builds, *c.o.Node)
	}
}

// nodeTheme judges a theme that has a package.json, and whose build composer.json does not declare.
func (c *checker) nodeTheme(n nodeTheme) {
	in := path.Join(n.dir, tailwindDir)
	sheet := path.Join(n.dir, n.outputs[0])
	if c.builds(n) {
		if c.stale(n) {
			c.add(Info, "node-css-stale", sheet, "take it out of the repository (.gitignore), or commit it anew",
				"it has not been committed since %s changed; the build makes it anew and deploys that", n.source)
		}
		return
	}
	if !n.own && n.committed {
		return
	}
	why, do := c.unbuilt(n)
	switch {
	case !n.committed:
		c.add(Error, "node-css-missing", sheet, do, "there is none, and the build cannot make it: %s", why)
	case !c.nodeOff && n.script != "":
		since := ""
		if c.stale(n) {
			since = ", and " + n.source + " has changed since it was committed"
		}
		c.add(Warning, "node-lock-missing", path.Join(in, "package-lock.json"), do, "the style sheet that is in the repository is deployed as it is%s: %s", since, why)
	}
}

// unbuilt says why a theme is not built, and what to do about it.
func (c *checker) unbuilt(n nodeTheme) (why, do string) {
	in := path.Join(n.dir, tailwindDir)
	declare := fmt.Sprintf(`declare it in composer.json, as %s: [{"path": "%s", "run": "…", "output": "%s"}]`, nodeSetting, in, path.Join(n.dir, n.outputs[0]))
	switch {
	case c.nodeOff:
		return "composer.json turns builds with Node off", fmt.Sprintf("take %s: false out of composer.json, or commit the style sheet", nodeSetting)
	case n.invalid != nil:
		return fmt.Sprintf("%s/package.json: %v", in, n.invalid), "correct it"
	case n.script == "":
		return in + "/package.json has no script build-prod or build", "add the script, or " + declare
	case n.otherLock != "":
		return fmt.Sprintf("npm ci needs a package-lock.json, and there is only a %s", n.otherLock), declare
	}
	return "npm ci needs a package-lock.json, and there is none", "run `npm install` in " + in + " and commit package-lock.json"
}

// stale reports whether a style sheet in the repository is older, by its last commit, than what else is in the theme.
func (c *checker) stale(n nodeTheme) bool {
	if c.o.Changed == nil || !n.own || !n.committed {
		return false
	}
	sheet := c.o.Changed(path.Join(n.source, n.outputs[0]))
	return !sheet.IsZero() && sheet.Before(c.o.Changed(n.source))
}

// nodeVersions judges the Node that builds.
func (c *checker) nodeVersions(builds []NodeBuild, node Node) {
	const dagger = "or build with `dagger call build`, which brings its own"
	line := NodeLine(builds)
	if node.Version == "" {
		c.add(Error, "node-missing", "node", fmt.Sprintf("install Node %s with npm, %s; with %s: false in composer.json what is in the repository is deployed", line, dagger, nodeSetting),
			"there is none, and %s wants it", builds[0].Path)
		return
	}
	v, _, _, err := parseVersion(node.Version)
	if err != nil {
		return // npm will tell
	}
	for _, b := range builds {
		switch want := nodeLine(b.NodeVersion); {
		case !nodeSatisfies(b.Node, v):
			c.add(Error, "node-unsuited", path.Join(b.Path, "package.json"), fmt.Sprintf("install Node %s, %s", line, dagger),
				"its engines.node is %q, and Node %s builds", b.Node, node.Version)
		case want != "" && want != fmt.Sprint(v.n[0]):
			c.add(Warning, "node-differs", b.Path, fmt.Sprintf("install Node %s, %s", want, dagger), "its .nvmrc asks for Node %s, and Node %s builds", b.NodeVersion, node.Version)
		}
	}
}
