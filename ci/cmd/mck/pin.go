package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
)

// pin is what became of an image's digest.
type pin struct {
	Image string `json:"image"`
	Was   string `json:"was"`
	Now   string `json:"now"`
}

func newPinCommand(e *env) *cobra.Command {
	var file, registry string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pin [IMAGE...]",
		Short: "Write the digests of the images that builds stand on and run in to " + build.BasesFile,
		Long: `pin asks the registries what the images of ` + build.BasesFile + ` are today, writes
their digests to it and shows what changed. Commit the file: from then on every
build of that commit stands on the same bases. It is a part of the program, so mck
is to be compiled again. With IMAGE only those are renewed, and added where they
are not in the file yet.

If one cannot be asked for, the file is left as it is.`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			content, err := os.ReadFile(file)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%w. Call it in the pipeline's repository, or name the file with --file", err)}
			}
			bases, err := build.ParseBases(content)
			if err != nil {
				return err
			}
			opts, err := mirrorOf(registry)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if len(refs) == 0 {
				refs = slices.Sorted(maps.Keys(bases))
			}
			pins := []pin{}
			for _, ref := range refs {
				digest, err := image.Digest(cmd.Context(), ref, opts...)
				if err != nil {
					return fmt.Errorf("%w. %s is as it was", err, file)
				}
				pins = append(pins, pin{ref, bases[ref], digest})
				bases[ref] = digest
			}
			if content, err = json.MarshalIndent(bases, "", "  "); err != nil {
				return err
			}
			if err := os.WriteFile(file, append(content, '\n'), 0o644); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.stdout, pins)
			}
			return printPins(e, pins)
		},
	}
	cmd.Flags().StringVar(&file, "file", build.BasesFile, "the file with the digests")
	cmd.Flags().StringVar(&registry, "base-registry", "", "registry to ask before their own, as tcp://127.0.0.1:5000: a mirror")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func printPins(e *env, pins []pin) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tWAS\tNOW")
	for _, p := range pins {
		now := fmt.Sprintf("%.19s", p.Now)
		if p.Was == p.Now {
			now = "the same"
		}
		fmt.Fprintf(w, "%s\t%.19s\t%s\n", p.Image, cmp.Or(p.Was, "not pinned"), now)
	}
	return w.Flush()
}
