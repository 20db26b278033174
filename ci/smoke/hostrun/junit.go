package hostrun

import (
	"os"

	"github.com/magecloudkit/pipeline/ci/smoke"
)

// WriteJUnit writes a report to a file as JUnit's XML; name is that of the test suite.
func WriteJUnit(file, name string, report smoke.Report) error {
	raw, err := report.JUnit(name)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}
