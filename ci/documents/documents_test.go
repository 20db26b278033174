package documents_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/documents/valid"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// Every verb that has --json prints a document that is listed.
func TestEveryVerbIsListed(t *testing.T) {
	for _, v := range verbs.All() {
		prints := false
		for _, s := range config.Settings(v.Settings) {
			prints = prints || s.Flag == "json"
		}
		if kind := valid.KindOf(strings.Fields(v.Name)); (kind != "") != prints {
			t.Errorf("%s: --json %v, document %q", v.Name, prints, kind)
		}
	}
	if kind := valid.KindOf([]string{"cleanup", "--yes", "--json"}); kind != "cleanup" {
		t.Errorf("cleanup --yes prints %q", kind)
	}
}

// There is a schema for each document and no other one, and it is one that refuses what is not the document.
func TestSchemas(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "schema")
	schemas := valid.New(os.DirFS(dir))
	known := map[string]bool{}
	for _, d := range documents.All() {
		known[d.Name+".json"] = true
		for _, wrong := range []string{`{"nonsense":1}`, `[{"nonsense":1}]`, `"text"`} {
			if err := schemas.Document(d.Name, []byte(wrong)); err == nil {
				t.Errorf("schema %s takes %s", d.Name, wrong)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("docs/schema/%s is of no document", f.Name())
		}
	}
	failure := `{"verb":"deploy","verdict":"usage","exitCode":2,"reason":"no"}`
	if err := schemas.Document("failure", []byte(failure)); err != nil {
		t.Error(err)
	}
	if err := schemas.Document("failure", []byte(strings.Replace(failure, `"no"`, `"no","more":1`, 1))); err == nil {
		t.Error("a field that no schema has passes")
	}
}

func TestWrite(t *testing.T) {
	type inner struct {
		List []string `json:"list"`
	}
	var b strings.Builder
	err := documents.Write(&b, struct {
		Inner  []inner           `json:"inner"`
		Map    map[string]int    `json:"map"`
		Absent []string          `json:"absent,omitempty"`
		Any    any               `json:"any"`
		Labels map[string]*inner `json:"labels"`
	}{Inner: []inner{{}}, Any: &inner{}})
	got := strings.Join(strings.Fields(b.String()), "")
	if want := `{"inner":[{"list":[]}],"map":{},"any":{"list":[]},"labels":{}}`; err != nil || got != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
	b.Reset()
	if err := documents.Write(&b, []documents.Pin(nil)); err != nil || b.String() != "[]\n" {
		t.Errorf("%v: %q", err, b.String())
	}
}
