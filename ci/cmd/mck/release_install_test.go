package main

import (
	"strings"
	"testing"
)

// What install cannot take it says before it has asked anybody, and never what it was given for a password.
func TestInstallSettings(t *testing.T) {
	aws := simulated(t)
	good := map[string]string{
		"--cluster": "production-app", "--service": "production-app", "--base-url": "https://shop.example/", "--search-host": "search", "--admin-user": "jane",
		"--admin-email": "jane@example.com", "--admin-password-secret": "arn:aws:secretsmanager:us-east-1:111111111111:secret:production/magento:MYSQL_PASSWORD::",
	}
	for _, c := range []struct {
		set  map[string]string
		code int
		says []string
	}{
		{map[string]string{"--base-url": "shop.example"}, exitUsage, []string{"--base-url"}},
		{map[string]string{"--base-url": "https://shop.example", "--admin-email": "jane"}, exitUsage, []string{"--base-url", "--admin-email"}},
		{map[string]string{"--admin-password-secret": "hunter2hunter2"}, exitUsage, []string{"takes the ARN"}},
		{map[string]string{"--admin-password-secret": "", "--search-host": ""}, exitUsage, []string{"2 settings are missing", "MCK_ADMIN_PASSWORD_SECRET", "MCK_SEARCH_HOST"}},
		{nil, 0, []string{"planned", "secrets.ADMIN_PASSWORD.valueFrom", "environment.BASE_URL"}},
	} {
		args := []string{"install", "--dry-run"}
		for flag, value := range good {
			if set, ok := c.set[flag]; ok {
				value = set
			}
			if value != "" {
				args = append(args, flag, value)
			}
		}
		code, out, errs := mck(t, aws, args...)
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.set, code, c.code, out, errs)
		}
		for _, want := range c.says {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%v: it does not say %q\n%s%s", c.set, want, out, errs)
			}
		}
	}
}
