package attest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"github.com/magecloudkit/pipeline/ci/image"
)

// SBOMType is the media type of what SBOM returns.
const SBOMType = "application/vnd.cyclonedx+json"

// URL is the package's URL, which names it to every database: "pkg:composer/monolog/monolog@3.5.0".
func (p Package) URL(distribution string) string {
	namespace, name, ok := strings.Cut(p.Name, "/")
	if !ok {
		namespace, name = "", p.Name
	}
	var qualifiers packageurl.Qualifiers
	if p.Type == "deb" {
		namespace, _, _ = strings.Cut(distribution, "-")
		of := map[string]string{}
		for k, v := range map[string]string{"arch": p.Arch, "distro": distribution} {
			if v != "" {
				of[k] = v
			}
		}
		if p.Source != p.Name && p.Source != "" {
			of["upstream"] = p.Source
		}
		qualifiers = packageurl.QualifiersFromMap(of)
	}
	return packageurl.NewPackageURL(p.Type, namespace, name, p.Version, qualifiers, "").ToString()
}

// SBOM is the image's bill of materials, as CycloneDX 1.6.
func (c Contents) SBOM() ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid(c.Digest)
	subject := &cdx.Component{
		BOMRef: c.Digest, Type: cdx.ComponentTypeContainer, Name: c.Name, Version: c.Labels[image.LabelVersion],
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.TrimPrefix(c.Digest, "sha256:")}},
	}
	bom.Metadata = &cdx.Metadata{Timestamp: c.Labels[image.LabelCreated], Component: subject}
	var components []cdx.Component
	if c.PHP != "" {
		url := packageurl.NewPackageURL("generic", "", "php", c.PHP, nil, "").ToString()
		components = append(components, cdx.Component{BOMRef: url, Type: cdx.ComponentTypePlatform, Name: "php", Version: c.PHP, PackageURL: url})
	}
	for _, p := range c.Packages {
		components = append(components, p.component(c.Distribution))
	}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("writing the bill of materials of image %s: %w", c.Name, err)
	}
	return b.Bytes(), nil
}

func (p Package) component(distribution string) cdx.Component {
	url := p.URL(distribution)
	out := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: url}
	if group, name, ok := strings.Cut(p.Name, "/"); ok {
		out.Group, out.Name = group, name
	}
	if len(p.Licenses) > 0 {
		var licenses cdx.Licenses
		for _, l := range p.Licenses {
			licenses = append(licenses, cdx.LicenseChoice{License: &cdx.License{Name: l}})
		}
		out.Licenses = &licenses
	}
	if p.SHA1 != "" {
		out.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA1, Value: p.SHA1}}
	}
	return out
}

// uuid is a UUID that follows from a text (version 8 of RFC 9562: made by a rule of its own).
func uuid(text string) string {
	sum := sha256.Sum256([]byte("magecloudkit sbom " + text))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
