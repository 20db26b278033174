package test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"dagger.io/dagger"
)

// bareImage is an official php image that lacks extensions.
func bareImage(t *testing.T) string {
	t.Helper()
	image := os.Getenv("MCK_E2E_BARE_PHP_IMAGE")
	if image == "" {
		t.Skip("MCK_E2E_BARE_PHP_IMAGE names no image")
	}
	return image
}

// TestMissingExtensionsAreAdded builds on an image without two extensions that the
// lock asks for: PHP has them afterwards, and they are a layer of their own.
func TestMissingExtensionsAreAdded(t *testing.T) {
	bare := bareImage(t)
	c := connect(t)
	asked := []string{"bcmath", "soap"}
	dir := sampleStore(t, replace("composer.lock", `"ext-dom": "*"`, `"ext-dom": "*", "ext-bcmath": "*", "ext-soap": "*"`))
	store := storeParams(t, c.Host().Directory(dir)).with(params{"phpImage": bare})

	had, err := c.Container().From(bare).WithExec([]string{"php", "-m"}).Stdout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ ID string }
	if err := query(t.Context(), c, store, "phpBase { id }", &got); err != nil {
		t.Fatal(err)
	}
	has, err := c.LoadContainerFromID(dagger.ContainerID(got.ID)).WithExec([]string{"php", "-m"}).Stdout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range asked {
		if slices.Contains(strings.Fields(had), name) {
			t.Fatalf("%s has %s already: name an image that lacks %v", bare, name, asked)
		}
		if !slices.Contains(strings.Fields(has), name) {
			t.Errorf("php-base lacks %s", name)
		}
	}

	b := build(t, store, release)
	if _, ok := b.digests(t, "magento2")["php-extensions"]; !ok {
		t.Errorf("the image has no layer php-extensions:\n%s", b.Summary)
	}
	loaded, err := b.Magento.WithExec([]string{"php", "-m"}).Stdout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range asked {
		if !slices.Contains(strings.Fields(loaded), name) {
			t.Errorf("the image lacks %s", name)
		}
	}
}

func TestExtensionThatCannotBeAdded(t *testing.T) {
	bare := bareImage(t)
	c := connect(t)
	dir := sampleStore(t, replace("composer.lock", `"ext-dom": "*"`, `"ext-dom": "*", "ext-bcmath": "*", "ext-nosuch": "*"`))
	var report string
	err := query(t.Context(), c, storeParams(t, c.Host().Directory(dir)).with(params{"phpImage": bare}), "check", &report)
	if err == nil || !strings.Contains(err.Error(), "ext-nosuch") || strings.Contains(err.Error(), "ext-bcmath") {
		t.Errorf("want an error that names ext-nosuch alone, have %v %s", err, report)
	}
}
