package release

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// checkHealth tells of services behind a load balancer whose health checks cannot fail
// for a broken shop: their tasks count as healthy whatever visitors see. A check that
// is not known here gets the benefit of the doubt.
func (v *survey) checkHealth(ctx context.Context) {
	for _, p := range v.services {
		if p.rev == nil || len(p.svc.LoadBalancers) == 0 {
			continue
		}
		why, deep := shallowContainers(p.rev.containers())
		groups, err := v.targetGroups(ctx, &p.svc)
		if err != nil && !deep {
			v.unread("service "+p.name, "elasticloadbalancing:DescribeTargetGroups", err)
			continue
		}
		for _, g := range groups {
			shallow := shallowGroup(g)
			deep = deep || shallow == ""
			why = append(why, shallow)
		}
		switch {
		case deep:
		case len(why) == 0:
			v.warn("service "+p.name, doAskShop, sayNoHealthCheck)
		default:
			v.warn("service "+p.name, doAskShop, sayShallowHealth, strings.Join(why, "; "))
		}
	}
}

// targetGroups reads those that a service's tasks are targets of.
func (v *survey) targetGroups(ctx context.Context, svc *types.Service) ([]elbtypes.TargetGroup, error) {
	var arns []string
	for _, lb := range svc.LoadBalancers {
		if arn := aws.ToString(lb.TargetGroupArn); arn != "" {
			add(&arns, arn)
		}
	}
	if len(arns) == 0 || v.Balancers == nil {
		return nil, nil
	}
	out, err := ask(ctx, v.session, "Elastic Load Balancing", "DescribeTargetGroups", func(ctx context.Context) (*elb.DescribeTargetGroupsOutput, error) {
		return v.Balancers.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: arns})
	})
	if err != nil {
		return nil, err
	}
	return out.TargetGroups, nil
}

// shallowContainers says why the health checks of containers cannot fail for a broken
// shop; deep: one can.
func shallowContainers(containers []types.ContainerDefinition) (why []string, deep bool) {
	for _, c := range containers {
		if c.HealthCheck == nil || c.Essential != nil && !*c.Essential || slices.Equal(c.HealthCheck.Command, []string{"NONE"}) {
			continue
		}
		shallow := shallowCommand(c.HealthCheck.Command)
		if shallow == "" {
			return nil, true
		}
		why = append(why, fmt.Sprintf("container %s %s", aws.ToString(c.Name), shallow))
	}
	return why, false
}

var (
	asksWeb = regexp.MustCompile(`\b(curl|wget)\b|https?://`)
	address = regexp.MustCompile(`(?:https?://[^\s'"/:]+|\b(?:localhost|127\.0\.0\.1)|\[::1\])(?::\d+)?(/[^\s'"|;&?]*)?`)
	// A command that asks the store itself, whatever else it does.
	asksStore = regexp.MustCompile(`health_check\.php|bin/magento|pub/index\.php|graphql|/rest/`)
	asksFPM   = regexp.MustCompile(`php-fpm-healthcheck|fpm-ping|cgi-fcgi|fpm-status`)
	asksNone  = regexp.MustCompile(`^(exit 0|(/bin/)?true|:|echo\b.*)$|\b(pgrep|pidof|nginx -t|nc -\w*z\w*|kill -0|test -[defrsx]|php -v)\b`)
	never     = regexp.MustCompile(`(\|\||;)\s*(exit 0|(/bin/)?true|:)$`)
)

// shallowCommand says why a container's health check cannot fail for a broken shop;
// empty: it can, as far as one can tell.
func shallowCommand(command []string) string {
	if len(command) > 0 && (command[0] == "CMD" || command[0] == "CMD-SHELL") {
		command = command[1:]
	}
	text := strings.TrimSpace(strings.Join(command, " "))
	switch {
	case never.MatchString(text):
		return fmt.Sprintf("runs %q, which always succeeds", text)
	case asksStore.MatchString(text):
		return ""
	case asksFPM.MatchString(text):
		return fmt.Sprintf("runs %q, which asks php-fpm alone", text)
	}
	if asksWeb.MatchString(text) {
		if m := address.FindStringSubmatch(text); m != nil && shallowPath(m[1]) != "" {
			return "asks " + shallowPath(m[1])
		}
		return ""
	}
	if asksNone.MatchString(text) {
		return fmt.Sprintf("runs %q, which asks nothing of the shop", text)
	}
	return ""
}

// nginxPaths are those that nginx usually answers without asking php, such as the
// liveness check of the pipeline's own image.
var nginxPaths = []string{
	"/heartbeat", "/health", "/healthz", "/healthcheck", "/health-check", "/health_check", "/_health", "/livez", "/readyz", "/live", "/ready",
	"/alive", "/up", "/ping", "/status", "/nginx_status", "/nginx-health", "/nginx-status", "/elb-status", "/elb-health", "/lb-status",
}

// shallowPath says why an answer at a path proves nothing of the shop.
func shallowPath(p string) string {
	clean := strings.TrimSuffix(p, "/")
	switch {
	case slices.Contains(nginxPaths, clean):
		return p + ", which nginx answers by itself"
	case clean == "/fpm-ping", clean == "/fpm-status":
		return p + ", which php-fpm answers by itself"
	case slices.Contains([]string{".txt", ".html", ".ico", ".png", ".svg", ".css", ".js", ".gif", ".jpg"}, path.Ext(clean)):
		return p + ", which is a file"
	}
	return ""
}

// shallowGroup says why a target group's health check cannot fail for a broken shop.
func shallowGroup(g elbtypes.TargetGroup) string {
	arn := aws.ToString(g.TargetGroupArn)
	name := "target group " + arn
	if parts := strings.Split(arn, "/"); len(parts) > 2 {
		name = "target group " + parts[len(parts)-2]
	}
	switch {
	case g.HealthCheckEnabled != nil && !*g.HealthCheckEnabled:
		return name + " checks nothing"
	case g.HealthCheckProtocol != elbtypes.ProtocolEnumHttp && g.HealthCheckProtocol != elbtypes.ProtocolEnumHttps:
		return fmt.Sprintf("%s asks by %s whether the port is open", name, g.HealthCheckProtocol)
	case g.Matcher != nil && takesErrors(aws.ToString(g.Matcher.HttpCode)):
		return fmt.Sprintf("%s takes %s for healthy", name, aws.ToString(g.Matcher.HttpCode))
	}
	if shallow := shallowPath(aws.ToString(g.HealthCheckPath)); shallow != "" {
		return name + " asks " + shallow
	}
	return ""
}

// takesErrors says that a matcher such as "200,301" or "200-599" takes 500 for good.
func takesErrors(codes string) bool {
	for part := range strings.SplitSeq(codes, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA == nil && errB == nil && a <= 500 && b >= 500 {
			return true
		}
	}
	return false
}
