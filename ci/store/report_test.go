package store_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

func TestReport(t *testing.T) {
	m := healthy()
	delete(m, "composer.lock")
	write(m, "app/etc/env.php", "<?php return [];")
	report := open(t, m).Check(store.Options{Memory: 1})

	out := report.String()
	for _, line := range []string{
		"store               Magento Open Source 2.4.7-p3",
		"composer.lock       absent",
		"modules             2 enabled, 1 disabled; 1 in app/code",
		"themes              adminhtml/Magento/backend frontend/Acme/default",
		"locales, frontend   de_CH de_DE fr_CH",
		"error  memory  there are 0 MB",
		"warning  composer.lock    there is none",
		"warning  app/etc/env.php  it is left out",
		"1 error, 2 warnings, 0 notes",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("the table lacks %q:\n%s", line, out)
		}
	}

	src, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back store.Report
	if err := json.Unmarshal(src, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, back); diff != "" {
		t.Errorf("JSON loses something: %s", diff)
	}
	if empty, _ := json.Marshal(open(t, fstest.MapFS{}).Check(store.Options{})); strings.Contains(string(empty), "null") {
		t.Errorf("a list is null: %s", empty)
	}
}
