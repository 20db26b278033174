package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/probe"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// shopProbes is how a release asks the shop.
func shopProbes(s verbs.Shop) release.Probes {
	return release.Probes{After: parseProbes(s.Probe), Text: s.ProbeText, NoBuild: !s.ProbeBuild, Timeout: s.ProbeTimeout}
}

func parseProbes(list []string) []release.Probe {
	var probes []release.Probe
	for _, s := range list {
		probes = append(probes, release.ParseProbe(strings.TrimSpace(s)))
	}
	return probes
}

// visitTime is how long a visitor waits for one answer.
const visitTime = 30 * time.Second

// shopClient is a visitor of the shop, who has no connection yet. Whoever has an authority of their own for AWS has a
// proxy that the shop is behind too.
func shopClient(s verbs.Shop, caBundle string) (probe.Client, error) {
	auth := s.ProbeAuth.Reveal()
	if auth != "" && !strings.Contains(auth, ":") {
		return probe.Client{}, &exitError{exitUsage, errors.New("MCK_PROBE_AUTH is not user:password")}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	if caBundle != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		pem, err := os.ReadFile(caBundle)
		if err != nil {
			return probe.Client{}, &exitError{exitUsage, fmt.Errorf("cannot read the certificate authorities that AWS_CA_BUNDLE names: %w", err)}
		}
		roots.AppendCertsFromPEM(pem)
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return probe.Client{HTTP: &http.Client{Transport: t, Timeout: visitTime}, Auth: auth}, nil
}
