package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newSimulateCommand(e *env) *cobra.Command {
	return verb(e, "simulate", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Simulate, _ []string) error {
		if s.Speed <= 0 {
			return &exitError{exitUsage, fmt.Errorf("--speed %v: time cannot stand still or run backwards", s.Speed)}
		}
		cfg := awssim.Config{Clock: awssim.NewScaledClock(s.Speed)}
		if s.Topology != "" {
			t, err := readTopology(s.Topology)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			cfg.Topology = t
		}
		if s.Calls {
			cfg.Logf = log.New(e.stderr, "", 0).Printf
		}
		world, err := awssim.New(cfg)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		return serve(cmd.Context(), e, world, s)
	})
}

func readTopology(path string) (*awssim.Topology, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the topology: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	t := new(awssim.Topology)
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("cannot read the topology %s: %w", path, err)
	}
	return t, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= 65535
}

// serve serves a world until the context ends.
func serve(ctx context.Context, e *env, world *awssim.World, s *verbs.Simulate) error {
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !isPort(port) {
		return &exitError{exitUsage, fmt.Errorf("--listen %s: it must be ADDRESS:PORT, as in 127.0.0.1:4566", s.Listen)}
	}
	if s.Name != "" && !hostName.MatchString(s.Name) {
		return &exitError{exitUsage, fmt.Errorf("--name %q is no host's name", s.Name)}
	}
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("cannot serve at %s: %w", s.Listen, err)
	}
	defer l.Close()
	address := l.Addr().(*net.TCPAddr)
	if address.IP.IsUnspecified() { // that is where it listens, not where it is reached
		address = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: address.Port}
	}
	reached := address.String()
	if s.Name != "" {
		reached = net.JoinHostPort(s.Name, strconv.Itoa(address.Port))
	}
	scheme, bundle := "http", ""
	server := &http.Server{
		Handler: world.Handler(), ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // connections that a fault has cut
	}
	if s.TLS {
		scheme = "https"
		certificate, file, err := selfSigned(address.IP, s.Name, e.now())
		if err != nil {
			return err
		}
		defer os.Remove(file)
		bundle = file
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	if err := world.SetRegistryEndpoint(scheme + "://" + reached); err != nil {
		return err
	}
	if err := printVariables(e.stdout, world, scheme, reached, bundle); err != nil {
		return err
	}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil { // somebody is still talking
			server.Close()
		}
		close(stopped)
	})
	if s.TLS {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}

// printVariables prints what a client needs as lines for a shell. The keys open nothing but this simulation.
func printVariables(w io.Writer, world *awssim.World, scheme, address, bundle string) error {
	variables := [][2]string{
		{"AWS_ENDPOINT_URL", scheme + "://" + address},
		{"AWS_ECR_URL", address},
		{"AWS_REGION", world.Region()},
		{"AWS_DEFAULT_REGION", world.Region()},
		{"AWS_ACCESS_KEY_ID", "AKIASIMULATED"},
		{"AWS_SECRET_ACCESS_KEY", "simulated"},
		{"AWS_EC2_METADATA_DISABLED", "true"},
	}
	if bundle != "" {
		variables = append(variables, [2]string{"AWS_CA_BUNDLE", bundle}, [2]string{"SSL_CERT_FILE", bundle})
	}
	for _, v := range variables {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", v[0], v[1]); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned makes a certificate for an address of this machine, and a file with it that a client can trust.
func selfSigned(ip net.IP, name string, now time.Time) (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "mck simulate"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, // it is its own authority
		IPAddresses: []net.IP{ip}, DNSNames: []string{"localhost", "aws"}, // aws: what containers of dagger call it
	}
	if name != "" {
		template.DNSNames = append(template.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	f, err := os.CreateTemp("", "mck-simulate-*.pem")
	if err != nil {
		return tls.Certificate{}, "", err
	}
	defer f.Close()
	if err := pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		os.Remove(f.Name())
		return tls.Certificate{}, "", err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, f.Name(), nil
}
