package release

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"chart":    newChart,
	"revision": ecs.RevisionName,
	"clock":    func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
	"day":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
	"span": func(a, b time.Time) string {
		if a.IsZero() || b.IsZero() {
			return ""
		}
		return b.Sub(a).Round(time.Second).String()
	},
	"taskID": ecs.TaskID,
	"join":   strings.Join,
	"good":   func(v Verdict) bool { return v.ExitCode() == 0 },
	"calls": func(m map[string]int) []callCount {
		var list []callCount
		for op, n := range m {
			list = append(list, callCount{op, n})
		}
		sort.Slice(list, func(i, j int) bool {
			if list[i].N != list[j].N {
				return list[i].N > list[j].N
			}
			return list[i].Op < list[j].Op
		})
		return list
	},
}).Parse(reportPage))

type callCount struct {
	Op string
	N  int
}

// WriteHTML writes a page about the release that needs nothing but itself.
func (r *Result) WriteHTML(w io.Writer) error {
	if err := reportTemplate.Execute(w, r); err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	return nil
}

// Measures of a chart, in pixels.
const (
	chartWidth, chartHeight = 880.0, 170.0
	chartLeft, chartBottom  = 34.0, 24.0
	chartTop                = 10.0
)

// chart is a rollout drawn: tasks over time.
type chart struct {
	Width, Height        float64
	Left, Right          float64
	Top, Bottom          float64
	Running, Old, Wanted template.HTMLAttr // points
	Ticks                []tick            // of time
	Levels               []tick            // of tasks
	Marks                []mark
	End                  float64 // of our deployment, where the way back begins
	EndLeft              bool    // its label has room only on the left
}

type tick struct {
	At    float64
	Label string
}

// mark is an event on the time line.
type mark struct {
	At   float64
	Text string
	Bad  bool
}

// wayThereAndBack joins what was seen of a deployment with what was seen of the way
// back, as one line of samples.
func wayThereAndBack(s ServiceResult) []ecs.Sample {
	samples := s.Samples
	if s.Rollback != nil {
		samples = samples[:len(samples):len(samples)]
		for _, b := range s.Rollback.Samples {
			// Seen from the deployment that goes back, what it starts is old.
			b.Running, b.Old = b.Old, b.Running
			samples = append(samples, b)
		}
	}
	return samples
}

// newChart draws what was seen of a deployment, and of the way back.
func newChart(s ServiceResult) *chart {
	samples := wayThereAndBack(s)
	if len(samples) < 2 {
		return nil
	}
	start, end := samples[0].At, samples[len(samples)-1].At
	total := end.Sub(start).Seconds()
	most := int32(1)
	for _, x := range samples {
		most = max(most, x.Desired, x.Running+x.Old)
	}
	c := &chart{Width: chartWidth, Height: chartHeight, Left: chartLeft, Right: chartWidth - 8, Top: chartTop, Bottom: chartHeight - chartBottom}
	x := func(t time.Time) float64 {
		if total <= 0 {
			return c.Left
		}
		return c.Left + (c.Right-c.Left)*t.Sub(start).Seconds()/total
	}
	y := func(n int32) float64 { return c.Bottom - (c.Bottom-c.Top)*float64(n)/float64(most) }
	// Between two looks the number last seen holds: steps, not slopes.
	steps := func(value func(ecs.Sample) int32, closed bool) template.HTMLAttr {
		var b strings.Builder
		if closed {
			fmt.Fprintf(&b, "%.1f,%.1f ", c.Left, c.Bottom)
		}
		last := y(value(samples[0]))
		for _, s := range samples {
			fmt.Fprintf(&b, "%.1f,%.1f %.1f,%.1f ", x(s.At), last, x(s.At), y(value(s)))
			last = y(value(s))
		}
		if closed {
			fmt.Fprintf(&b, "%.1f,%.1f", c.Right, c.Bottom)
		}
		return template.HTMLAttr(`points="` + b.String() + `"`)
	}
	c.Running = steps(func(s ecs.Sample) int32 { return s.Running }, true)
	c.Old = steps(func(s ecs.Sample) int32 { return s.Running + s.Old }, true)
	c.Wanted = steps(func(s ecs.Sample) int32 { return s.Desired }, false)
	every := pace(total)
	for t := 0.0; t <= total; t += every {
		c.Ticks = append(c.Ticks, tick{c.Left + (c.Right-c.Left)*t/max(total, 1), (time.Duration(t) * time.Second).String()})
	}
	for _, n := range slices.Compact([]int32{0, most / 2, most}) {
		c.Levels = append(c.Levels, tick{y(n), fmt.Sprint(n)})
	}
	failed := int32(0)
	for _, s := range samples {
		if s.Failed > failed {
			failed = s.Failed
			c.Marks = append(c.Marks, mark{x(s.At), fmt.Sprintf("%d failed", failed), true})
		}
	}
	if s.Rollback != nil && len(s.Rollback.Samples) > 0 {
		c.End = x(s.Rollback.Samples[0].At)
		c.EndLeft = c.End > c.Right-80
	}
	return c
}

// pace picks the distance of the marks on a time line of so many seconds.
func pace(total float64) float64 {
	for _, p := range []float64{10, 15, 30, 60, 120, 300, 600, 1800} {
		if total/p <= 12 {
			return p
		}
	}
	return 3600
}
