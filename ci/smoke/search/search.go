// Package search stands in for OpenSearch: it answers what Magento asks of one, enough for an installation, an index and a
// search without hits. It keeps nothing.
package search

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Handler answers as an empty OpenSearch 2.12 would.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that is not read to its end keeps no connection
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		if r.Method == http.MethodHead && r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound) // no index is there yet
			return
		}
		_ = json.NewEncoder(w).Encode(answer(r)) // who has gone needs no answer
	})
}

func answer(r *http.Request) map[string]any {
	p := r.URL.Path
	switch {
	case p == "/":
		return map[string]any{"name": "stand-in", "cluster_name": "stand-in", "tagline": "not OpenSearch", "version": map[string]any{
			"distribution": "opensearch", "number": "2.12.0", "minimum_wire_compatibility_version": "7.10.0", "minimum_index_compatibility_version": "7.0.0",
		}}
	case strings.Contains(p, "_search"), strings.Contains(p, "_msearch"):
		return map[string]any{
			"took": 1, "timed_out": false, "aggregations": map[string]any{},
			"_shards": map[string]int{"total": 1, "successful": 1, "skipped": 0, "failed": 0},
			"hits":    map[string]any{"total": map[string]any{"value": 0, "relation": "eq"}, "max_score": nil, "hits": []any{}},
		}
	case strings.Contains(p, "_count"):
		return map[string]any{"count": 0}
	case strings.Contains(p, "_bulk"):
		return map[string]any{"took": 1, "errors": false, "items": []any{}}
	case strings.Contains(p, "_cluster"):
		return map[string]any{"status": "green"}
	case strings.Contains(p, "_nodes"):
		return map[string]any{"nodes": map[string]any{}}
	case r.Method == http.MethodGet && (strings.Contains(p, "_mapping") || strings.Contains(p, "_alias")):
		return map[string]any{}
	}
	return map[string]any{"acknowledged": true, "shards_acknowledged": true, "index": strings.Trim(p, "/")}
}
