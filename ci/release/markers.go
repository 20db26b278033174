package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// MarkerInfo is what a marker is told.
type MarkerInfo struct {
	Cluster  string    `json:"cluster"`
	Services []string  `json:"services"`
	Build    string    `json:"build"`
	Before   string    `json:"before,omitempty"` // revision of the first service
	By       string    `json:"by,omitempty"`
	Verdict  Verdict   `json:"verdict,omitempty"` // empty while it is going on
	Reason   string    `json:"reason,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
}

// Marker tells a monitoring system about a release. What it answers never
// changes the verdict.
type Marker interface {
	Name() string
	// Begin is called before the services are touched, End when the verdict
	// is known. End is called only after Begin.
	Begin(context.Context, MarkerInfo) error
	End(context.Context, MarkerInfo) error
}

// markBegin tells the markers that the services are about to move.
func (a *act) markBegin(ctx context.Context) {
	info := MarkerInfo{
		Cluster: a.req.Cluster, Services: a.req.Services, Build: a.req.Build, By: a.req.By,
		Before: a.services[0].res.Before, Started: a.res.Started,
	}
	a.mark = &info
	for _, m := range a.markers {
		if err := m.Begin(ctx, info); err != nil {
			a.note(LevelWarning, sayNotMarked, m.Name(), err)
		}
	}
}

func (a *act) markEnd(ctx context.Context, v Verdict, reason string) {
	if a.mark == nil || v == Paused { // continue ends it
		return
	}
	info := *a.mark
	info.Verdict, info.Reason, info.Ended = v, reason, a.clock.Now()
	for _, m := range a.markers {
		if err := m.End(context.WithoutCancel(ctx), info); err != nil {
			a.note(LevelWarning, sayNotMarked, m.Name(), err)
		}
	}
}

// Webhook posts the MarkerInfo as JSON to an address at the end.
type Webhook struct {
	URL    string
	HTTP   *http.Client
	Header http.Header
}

// Name of the marker.
func (Webhook) Name() string { return "webhook" }

// Begin does nothing.
func (Webhook) Begin(context.Context, MarkerInfo) error { return nil }

// End posts.
func (w Webhook) End(ctx context.Context, i MarkerInfo) error {
	return post(ctx, w.HTTP, w.URL, w.Header, i)
}

// NewRelic records a change with New Relic's change tracking, for the entity
// (application) of this GUID.
type NewRelic struct {
	Key, EntityGUID string
	URL             string // of the GraphQL API; empty: the US one
	HTTP            *http.Client
}

// Name of the marker.
func (NewRelic) Name() string { return "New Relic" }

// Begin does nothing.
func (NewRelic) Begin(context.Context, MarkerInfo) error { return nil }

// End records the deployment if the services run the build.
func (n NewRelic) End(ctx context.Context, i MarkerInfo) error {
	if i.Verdict != Released && i.Verdict != Incomplete {
		return nil
	}
	url := n.URL
	if url == "" {
		url = "https://api.newrelic.com/graphql"
	}
	return post(ctx, n.HTTP, url, http.Header{"Api-Key": {n.Key}}, map[string]any{
		"query": `mutation($d: ChangeTrackingDeploymentInput!) { changeTrackingCreateDeployment(deployment: $d) { deploymentId } }`,
		"variables": map[string]any{"d": map[string]any{
			"entityGuid": n.EntityGUID, "version": i.Build, "user": i.By, "timestamp": i.Ended.UnixMilli(),
			"deploymentType": "ROLLING", "description": "cluster " + i.Cluster,
		}},
	})
}

// Datadog posts an event.
type Datadog struct {
	Key  string
	URL  string // of the events API; empty: the US one
	HTTP *http.Client
}

// Name of the marker.
func (Datadog) Name() string { return "Datadog" }

// Begin does nothing.
func (Datadog) Begin(context.Context, MarkerInfo) error { return nil }

// End posts the event.
func (d Datadog) End(ctx context.Context, i MarkerInfo) error {
	url := d.URL
	if url == "" {
		url = "https://api.datadoghq.com/api/v1/events"
	}
	alert := "error"
	if i.Verdict == Released {
		alert = "success"
	}
	return post(ctx, d.HTTP, url, http.Header{"Dd-Api-Key": {d.Key}}, map[string]any{
		"title": fmt.Sprintf("Build %s on %s: %s", i.Build, i.Cluster, i.Verdict), "text": i.Reason, "alert_type": alert,
		"date_happened": i.Ended.Unix(), "source_type_name": "amazon ecs",
		"tags": []string{"cluster:" + i.Cluster, "version:" + i.Build, "deployment"},
	})
}

// CircleCI shows the release among CircleCI's deploys. Its command works only
// inside a CircleCI job.
type CircleCI struct {
	Environment, Component string
	// Run executes the circleci command with these arguments.
	Run func(ctx context.Context, args ...string) error
}

// Name of the marker.
func (CircleCI) Name() string { return "CircleCI" }

// circleName tells CircleCI which plan an update belongs to.
func (c CircleCI) circleName(i MarkerInfo) string { return c.Component + "-" + i.Build }

// Begin plans the release.
func (c CircleCI) Begin(ctx context.Context, i MarkerInfo) error {
	return c.Run(ctx, "run", "release", "plan", c.circleName(i),
		"--environment-name="+c.Environment, "--component-name="+c.Component, "--target-version="+i.Build)
}

// End says how it went.
func (c CircleCI) End(ctx context.Context, i MarkerInfo) error {
	status := "FAILED"
	switch i.Verdict {
	case Released, Incomplete:
		status = "SUCCESS"
	case Interrupted, Superseded:
		status = "CANCELED"
	}
	args := []string{"run", "release", "update", c.circleName(i), "--status=" + status}
	if status == "FAILED" {
		args = append(args, "--failure-reason="+i.Reason)
	}
	return c.Run(ctx, args...)
}

// markerTimeout bounds what a marker may take.
const markerTimeout = 15 * time.Second

// post sends JSON. No error contains the address or a header: both may be
// secret.
func post(ctx context.Context, client *http.Client, url string, header http.Header, body any) error {
	ctx, cancel := context.WithTimeout(ctx, markerTimeout)
	defer cancel()
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("its address is not a URL")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer within %s", markerTimeout)
		}
		return fmt.Errorf("it cannot be reached")
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode >= 300 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}
