package cleanup

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// age shows a duration as people say it.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", int(d/(24*time.Hour)))
	case d >= time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d min", int(max(d, 0)/time.Minute)) // ECR's clock may be ahead of ours
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// label names an image: its tags, or the beginning of its digest.
func (im Image) label() string {
	if len(im.Tags) == 0 {
		return "@" + short(im.Digest)
	}
	return strings.Join(im.Tags, ", ")
}

// Table writes a plan for people: every image with its age, size and why it is kept.
func (p Plan) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "REPOSITORY\tIMAGE\tAGE\tSIZE\tKEPT BECAUSE")
	count, bytes, all := 0, int64(0), 0
	for _, r := range p.Repositories {
		for _, d := range r.Images {
			why := "- (delete)"
			if !d.Delete {
				why = d.Kept[0]
				if more := len(d.Kept) - 1; more > 0 {
					why += fmt.Sprintf(" (and %d more)", more)
				}
			} else {
				count, bytes = count+1, bytes+d.Size
			}
			all++
			fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%s\n", r.Region, r.Name, d.label(), age(p.Now.Sub(d.Pushed)), megabytes(d.Size), why)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d images can be deleted: %s, less what their layers share with images that are kept.\n", count, all, megabytes(bytes))
	return err
}
