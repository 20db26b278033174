package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A probe that cannot be meant is refused before anything is reached.
func TestProbesThatCannotBe(t *testing.T) {
	world, vars := cloud(t)
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"--probe", "shop.example"}, "--probe number 1: it does not begin with http:// or https:// and a host"},
		{[]string{"--probe", "https://a.example/", "--probe", "production-app=ftp://b.example/"}, "--probe number 2: it does not begin with http"},
		{[]string{"--probe", "https://u:hunter2@shop.example/"}, "MCK_PROBE_AUTH takes them"},
		{[]string{"--probe", "admin=https://shop.example/"}, "service admin is not among those that are released (production-app, production-consumers)"},
		{[]string{"--probe", "https://shop.example/", "--probe", "https://shop.example/"}, "--probe https://shop.example/ is given twice"},
		{[]string{"--probe-test", "https://shop.example/#a"}, "--probe-test number 1: what follows #"},
		{[]string{"--probe-timeout", "-1s"}, "--probe-timeout -1s is negative"},
		{[]string{"--probe-continue"}, "--probe-continue continues once a --probe-test has answered"},
		{[]string{"--probe-text", "Welcome"}, "--probe-text is what the page of a --probe must have"},
	} {
		code, out, err := mck(t, vars, append([]string{"deploy", "--build-num", "300"}, c.args...)...)
		if code != exitUsage || !strings.Contains(err, c.say) || strings.Contains(out+err, "hunter2@") {
			t.Errorf("%v: exit code %d, and it does not say %q:\n%s%s", c.args, code, c.say, out, err)
		}
	}
	if code, _, err := mck(t, vars, "rollback", "--probe", "shop.example"); code != exitUsage {
		t.Errorf("rollback: exit code %d: %s", code, err)
	}
	vars["MCK_PROBE_AUTH"] = "hunter2"
	if code, _, err := mck(t, vars, "deploy", "--build-num", "300", "--probe", "https://shop.example/"); code != exitUsage || !strings.Contains(err, "MCK_PROBE_AUTH is not user:password") || strings.Contains(err, "hunter2") {
		t.Errorf("exit code %d: %s", code, err)
	}
	if got := ops(world); len(got) > 0 {
		t.Errorf("%v were called", got)
	}
}

// The shop that fails is told of, the password that it was sent is not.
func TestProbeOfAShopThatFails(t *testing.T) {
	_, vars := cloud(t)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "visitor" || password != "hunter22" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer shop.Close()
	vars["MCK_PROBE"], vars["MCK_PROBE_AUTH"] = shop.URL+"/", "visitor:hunter22"
	code, out, err := mck(t, vars, "deploy", "--build-num", "300", "--probe-timeout", "1ns")
	if code != 6 || !strings.Contains(out, shop.URL+"/ answers 500; it ran this build before") || strings.Contains(out+err, "hunter22") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
}
