package release_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

// verified is what verify says of the web service's health checks: those of nginx and of magento, as commands, and that of
// the target group.
func verified(t *testing.T, nginx, magento string, group awssim.TargetGroupSpec, faults ...awssim.Fault) string {
	t.Helper()
	o, err := rehearse.Run(context.Background(), rehearse.Scenario{
		Verb: (*release.Releaser).Verify, Want: release.Planned, Faults: faults,
		World: func(top *awssim.Topology) {
			for i, command := range []string{nginx, magento} {
				c := &top.TaskDefinitions[0].Value.ContainerDefinitions[i]
				c.HealthCheck = nil
				if command != "" {
					c.HealthCheck = &types.HealthCheck{Command: []string{"CMD-SHELL", command}}
				}
			}
			group.ARN = aws.ToString(top.Services[0].Value.LoadBalancers[0].TargetGroupArn)
			top.TargetGroups = []awssim.TargetGroupSpec{group}
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Result.Findings {
		if f.Subject == "service production-app" {
			return f.Message
		}
	}
	return ""
}

// A health check that cannot fail for a broken shop is told of; one that can, and one that nobody knows, are not.
func TestHealthChecks(t *testing.T) {
	const none = "exit 0"
	shallow := awssim.TargetGroupSpec{Path: "/heartbeat"}
	for _, c := range []struct {
		nginx, magento string
		group          awssim.TargetGroupSpec
		says           string
	}{
		{"curl -fsS http://127.0.0.1:8080/health || exit 1", "php-fpm-healthcheck || exit 1", awssim.TargetGroupSpec{Path: "/health"},
			`cannot fail for a broken shop: container nginx asks /health, which nginx answers by itself; container magento runs "php-fpm-healthcheck || exit 1", which asks php-fpm alone; target group production-app asks /health, which nginx answers by itself`},
		{none, "", shallow, `container nginx runs "exit 0", which asks nothing of the shop; target group production-app asks /heartbeat, which nginx answers`},
		{"wget -qO- localhost:8080/ping/", "", shallow, "container nginx asks /ping/, which nginx answers by itself"},
		{"curl -f localhost/fpm-ping", "", shallow, "which asks php-fpm alone"},
		{"curl http://localhost/robots.txt", "", shallow, "asks /robots.txt, which is a file"},
		{"curl -f http://localhost/ || true", "", shallow, "which always succeeds"},
		{"nc -z 127.0.0.1 8080", "pgrep php-fpm", shallow, `runs "pgrep php-fpm", which asks nothing of the shop`},
		{"", "", shallow, "target group production-app asks /heartbeat"},
		{"", "", awssim.TargetGroupSpec{Protocol: "TCP"}, "asks by TCP whether the port is open"},
		{"", "", awssim.TargetGroupSpec{Path: "/", Codes: "200-599"}, "takes 200-599 for healthy"},
		{"", "", awssim.TargetGroupSpec{Path: "/health_check.php"}, ""},
		{none, "", awssim.TargetGroupSpec{Path: "/", Codes: "200,301-302"}, ""},
		{none, "", awssim.TargetGroupSpec{Path: "/customer/account/login/"}, ""},
		{"curl -f http://127.0.0.1:8080/", "", shallow, ""},
		{"curl -f http://127.0.0.1:8080/health_check.php || exit 1", "", shallow, ""},
		{none, "SCRIPT_FILENAME=/var/www/html/pub/health_check.php cgi-fcgi -bind -connect 127.0.0.1:9000", shallow, ""},
		{none, "/usr/local/bin/our-own-check", shallow, ""},
	} {
		got := verified(t, c.nginx, c.magento, c.group)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%q, %q, %+v: %q, want %q", c.nginx, c.magento, c.group, got, c.says)
		}
	}
	denied := awssim.Fault{Op: "elasticloadbalancing:DescribeTargetGroups", Kind: awssim.Denied}
	if got := verified(t, none, "", shallow, denied); !strings.Contains(got, "cannot be checked") {
		t.Errorf("what may not be read: %q", got)
	}
	if got := verified(t, "curl -f http://127.0.0.1:8080/", "", shallow, denied); got != "" {
		t.Errorf("what need not be read: %q", got)
	}
}
