package inspect

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
)

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// Table writes what is in an image for people. most is how many of the files that differ are listed.
func (im Image) Table(w io.Writer, most int) error {
	fmt.Fprintf(w, "%s  %s  %s\n", im.Name, im.Platform, im.Digest)
	fmt.Fprintf(w, "build %s, revision %s: %s to download, %s unpacked, %d files\n\n",
		cmp.Or(im.Build, "unknown"), cmp.Or(im.Revision, "unknown"), megabytes(im.Size), megabytes(im.Unpacked), im.Files)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "LAYER\tDIGEST\tSIZE\tUNPACKED\tFILES\tLARGEST")
	for _, l := range im.Layers {
		most := "-"
		if len(l.Largest) > 0 {
			most = fmt.Sprintf("%s %s", l.Largest[0].Path, megabytes(l.Largest[0].Size))
		}
		fmt.Fprintf(t, "%.40s\t%.19s\t%s\t%s\t%d\t%s\n", l.Name, l.Digest, megabytes(l.Size), megabytes(l.Unpacked), l.Files, most)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i, f := range im.Largest {
		if i == 0 {
			fmt.Fprintln(t, "\nLARGEST FILES\tSIZE\tLAYER")
		}
		fmt.Fprintf(t, "%s\t%s\t%.40s\n", f.Path, megabytes(f.Size), f.Layer)
	}
	for _, l := range im.Layers {
		for i, f := range l.All {
			if i == 0 {
				fmt.Fprintf(t, "\t\t\nFILES OF %.40s\tBYTES\t\n", l.Name)
			}
			fmt.Fprintf(t, "%s\t%d\t\n", f.Path, f.Size)
		}
	}
	if err := t.Flush(); err != nil || im.Against == nil {
		return err
	}
	return im.Against.table(w, most)
}

func (d *Diff) table(w io.Writer, most int) error {
	fmt.Fprintf(w, "\nagainst build %s, revision %s, %s:\n", cmp.Or(d.Build, "unknown"), cmp.Or(d.Revision, "unknown"), d.Digest)
	if len(d.Layers)+len(d.Added)+len(d.Changed)+len(d.Removed)+len(d.Config) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	fmt.Fprintf(w, "%d layers are the same, %d are not: %s to download; %d files added, %d changed, %d removed\n",
		d.Same, len(d.Layers), megabytes(d.Download), len(d.Added), len(d.Changed), len(d.Removed))
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, s := range d.Config {
		fmt.Fprintf(t, "  %s\t%s\t%s\t\n", s.Name, cmp.Or(s.Before, "-"), cmp.Or(s.After, "-"))
	}
	for _, part := range []struct {
		sign    string
		changes []Change
	}{{"+", d.Added}, {"~", d.Changed}, {"-", d.Removed}} {
		for i, c := range part.changes {
			if i == most {
				fmt.Fprintf(t, "%s and %d more\t\t\t\n", part.sign, len(part.changes)-most)
				break
			}
			fmt.Fprintf(t, "%s %s\t%s\t%s\t%.40s\n", part.sign, c.Path, bytesOf(c.Before), bytesOf(c.After), c.Layer)
		}
	}
	return t.Flush()
}

func bytesOf(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprintf("%d B", n)
}
