package hostrun

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/smoke"
)

// Elsewhere is a shop that others have installed and started from a build's images: containers of an engine.
type Elsewhere struct {
	Layouts, Work string // as in [Options]
	URL           string // of the shop, without a slash at its end
	Redis         string // HOST:PORT
	Logs          []string
	Paths         string // file with the paths of a category and a product, one a line
	Now           func() time.Time
}

// notElsewhere is what an engine's containers do not show.
var notElsewhere = []smoke.Check{
	{Name: "read-only root", Status: smoke.Skipped, Detail: "the engine's containers have a writable one; mck smoke tries it"},
	{Name: "stopping", Status: smoke.Skipped, Detail: "the engine does not ask its containers to stop as ECS does; mck smoke tries it"},
}

// Seed is PHP code that gives a fresh Magento a category and a product, and prints their paths.
func Seed() string { return strings.TrimPrefix(seed, "<?php") }

// Planted are files below pub/media that must be there, for [Ask] to see that nobody may read them.
func Planted() []string { return planted() }

// Ask asks a shop that runs elsewhere.
func Ask(ctx context.Context, o Elsewhere) (smoke.Report, error) {
	start := o.Now()
	images := smoke.Images{Users: map[string]string{}, Static: map[string][]string{}, Content: map[string][]string{}}
	if _, _, err := unpackBoth(ctx, o.Layouts, o.Work, &images); err != nil {
		return smoke.Report{}, err
	}
	report := smoke.Report{NotRun: images.NotRun, Checks: smoke.Inspect(images, o.Now)}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return report, err
	}
	read := positions{}
	lines := func() []string {
		var files []string
		for _, pattern := range o.Logs {
			found, _ := filepath.Glob(pattern) // the pattern is right
			files = append(files, found...)
		}
		return read.lines(files)
	}
	lines() // what the installation has logged is not the containers'
	shop := smoke.Shop{
		URL: o.URL, Client: &http.Client{Jar: jar, Timeout: time.Minute}, Now: o.Now, Images: images, Logs: lines, Planted: planted(),
		Keys: func(ctx context.Context) (map[string]int, error) { return keysAt(ctx, o.Redis) },
	}
	if raw, err := os.ReadFile(o.Paths); err == nil {
		if paths := strings.Fields(string(raw)); len(paths) == 2 {
			shop.Categories, shop.Products = paths[:1], paths[1:]
		}
	} else if o.Paths != "" && !errors.Is(err, fs.ErrNotExist) {
		return report, err
	}
	asked, err := shop.Ask(ctx)
	report.Checks = append(append(report.Checks, asked.Checks...), notElsewhere...)
	report.Seconds = o.Now().Sub(start).Seconds()
	return report, err
}
