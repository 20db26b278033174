package vuln

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// OSV is a database that answers as https://google.github.io/osv.dev/api/ describes. (OSV's own Go bindings bring gRPC,
// do not follow a batch's pages, and refuse answers with fields that they do not know.)
type OSV struct {
	URL    string // "https://api.osv.dev"
	Client *http.Client
}

// PublicOSV is the address of the database that Google keeps for everybody.
const PublicOSV = "https://api.osv.dev"

// batch is how many packages are asked about in one request; OSV takes 1000.
const batch = 500

// query asks about one version of a package.
type query struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Version   string `json:"version"`
	PageToken string `json:"page_token,omitempty"`
}

// record is a vulnerability as the OSV schema has it: https://ossf.github.io/osv-schema/
type record struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases"`
	Upstream  []string `json:"upstream"`
	Summary   string   `json:"summary"`
	Details   string   `json:"details"`
	Withdrawn string   `json:"withdrawn"`
	Severity  []score  `json:"severity"`
	Database  struct {
		Severity string `json:"severity"` // GitHub's word
	} `json:"database_specific"`
	Affected []struct {
		Package struct {
			Name      string `json:"name"`
			Ecosystem string `json:"ecosystem"`
		} `json:"package"`
		Severity  []score `json:"severity"`
		Ecosystem struct {
			Urgency string `json:"urgency"` // Debian's word
		} `json:"ecosystem_specific"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

type score struct {
	Type  string `json:"type"`
	Score string `json:"score"` // a CVSS vector
}

// ids asks which vulnerabilities there are of each of the queries.
func (o OSV) ids(ctx context.Context, queries []query) ([][]string, error) {
	found := make([][]string, len(queries))
	open := make([]int, len(queries)) // queries with a page that was not read yet
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 {
		asked := open[:min(len(open), batch)]
		open = open[len(asked):]
		var ask struct {
			Queries []query `json:"queries"`
		}
		for _, i := range asked {
			ask.Queries = append(ask.Queries, queries[i])
		}
		var answer struct {
			Results []struct {
				Vulns []struct {
					ID string `json:"id"`
				} `json:"vulns"`
				Next string `json:"next_page_token"`
			} `json:"results"`
		}
		if err := o.call(ctx, "/v1/querybatch", ask, &answer); err != nil {
			return nil, err
		}
		if len(answer.Results) != len(asked) {
			return nil, fmt.Errorf("%s answered %d of %d queries", o.URL, len(answer.Results), len(asked))
		}
		for n, r := range answer.Results {
			i := asked[n]
			for _, v := range r.Vulns {
				found[i] = append(found[i], v.ID)
			}
			if r.Next != "" {
				queries[i].PageToken = r.Next
				open = append(open, i)
			}
		}
	}
	return found, nil
}

// record reads one vulnerability.
func (o OSV) record(ctx context.Context, id string) (record, error) {
	var r record
	return r, o.call(ctx, "/v1/vulns/"+url.PathEscape(id), nil, &r)
}

// call sends a request, as POST if there is something to ask, and reads the answer.
func (o OSV) call(ctx context.Context, path string, ask, answer any) error {
	method, body := http.MethodGet, io.Reader(nil)
	if ask != nil {
		raw, err := json.Marshal(ask)
		if err != nil {
			return err
		}
		method, body = http.MethodPost, bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(o.URL, "/")+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.Client.Do(req)
	if err != nil {
		var asked *url.Error
		if errors.As(err, &asked) { // which repeats the address
			err = asked.Err
		}
		return fmt.Errorf("%s cannot be asked: %w", o.URL, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s%s answered %s: %s", o.URL, path, resp.Status, bytes.TrimSpace(why))
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("%s%s answered what is not to be read: %w", o.URL, path, err)
	}
	return nil
}
