// Package valid tells whether what mck printed is what the published schemas say, for tests: more strictly than those do,
// since to a test a field that no schema has is a mistake.
package valid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/magecloudkit/pipeline/ci/documents"
)

// Schemas are the published schemas.
type Schemas struct {
	files fs.FS // docs/schema

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

// New returns the schemas of a directory.
func New(dir fs.FS) *Schemas { return &Schemas{files: dir, compiled: map[string]*jsonschema.Schema{}} }

// Document says what is wrong with a document of a kind.
func (s *Schemas) Document(kind string, document []byte) error {
	schema, err := s.schema(kind)
	if err != nil {
		return err
	}
	d, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	if err := schema.Validate(d); err != nil {
		return fmt.Errorf("schema %s: %w", kind, err)
	}
	return nil
}

// Printed says what is wrong with what a command line printed with --json.
func (s *Schemas) Printed(args []string, code int, document []byte) error {
	var failure struct{ Verdict string }
	if code != 0 && json.Unmarshal(document, &failure) == nil && s.Document("failure", document) == nil {
		return nil
	}
	kind := KindOf(args)
	if kind == "" {
		return fmt.Errorf("no document is published for mck %s", strings.Join(args, " "))
	}
	return s.Document(kind, document)
}

// KindOf is the kind of document that a command line prints; empty: it is not published.
func KindOf(args []string) string {
	kind, most := "", 0
	for _, d := range documents.All() {
		for _, verb := range d.Verbs {
			words := strings.Fields(verb)
			if len(words) > most && !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(args, w) }) && words[0] == args[0] {
				kind, most = d.Name, len(words)
			}
		}
	}
	return kind
}

func (s *Schemas) schema(kind string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.compiled[kind]; c != nil {
		return c, nil
	}
	raw, err := fs.ReadFile(s.files, kind+".json")
	if err != nil {
		return nil, err
	}
	d, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	shut(d)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(kind+".json", d); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(kind + ".json")
	if err == nil {
		s.compiled[kind] = compiled
	}
	return compiled, err
}

// shut lets no object of a schema have members that it does not name.
func shut(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, e := range v {
			shut(e)
		}
	case []any:
		for _, e := range v {
			shut(e)
		}
	}
}
