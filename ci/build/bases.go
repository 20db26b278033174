package build

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// BasesFile is where the repository keeps the digests of the images that builds
// stand on and run in.
const BasesFile = "ci/build/bases.json"

//go:embed bases.json
var basesFile []byte

// pinned are the digests of BasesFile, which is a part of the program.
var pinned = must(ParseBases(basesFile))

func must(b map[string]string, err error) map[string]string {
	if err != nil {
		panic(err)
	}
	return b
}

// ParseBases reads BasesFile: the digest ("sha256:…") of each image by its name
// and tag ("nginx:stable-bookworm"). An empty digest: it is not pinned.
func ParseBases(content []byte) (map[string]string, error) {
	bases := map[string]string{}
	if err := json.Unmarshal(content, &bases); err != nil {
		return nil, fmt.Errorf("%s: %w", BasesFile, err)
	}
	for ref, digest := range bases {
		if hex := strings.TrimPrefix(digest, "sha256:"); digest != "" && (len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "") {
			return nil, fmt.Errorf("%s: %s: %q is not a digest: mck pin writes them", BasesFile, ref, digest)
		}
	}
	return bases, nil
}

// Pinned is an image's reference with the digest that BasesFile has for it, if it
// has one.
func Pinned(ref string) string {
	if digest := pinned[ref]; digest != "" {
		return ref + "@" + digest
	}
	return ref
}

// Unpinned says of which references a registry decides what they are, in one
// line; empty: of none.
func Unpinned(refs ...string) string {
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref string) bool {
		return ref == "scratch" || strings.HasPrefix(ref, "oci:") || strings.HasPrefix(ref, "oci-archive:") || strings.Contains(ref, "@sha256:")
	})
	if len(refs) == 0 {
		return ""
	}
	return fmt.Sprintf("not pinned: %s. The registry decides what that is today, and another build may get another base: mck pin writes digests to %s; a base of your own is given as NAME:TAG@sha256:…",
		strings.Join(refs, " and "), BasesFile)
}
