package values

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Elastic Load Balancing, after https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/: the target groups
// that a topology has, and how they check the health of their targets. What they lead to, awssim.Listener says.

// TargetGroupSpec is a target group that exists when the world starts.
type TargetGroupSpec struct {
	ARN      string `json:"arn"`
	Protocol string `json:"protocol,omitempty"` // of the health check: HTTP unless set
	Path     string `json:"path,omitempty"`     // that the health check asks: / unless set
	Codes    string `json:"codes,omitempty"`    // that count as healthy: 200 unless set
}

// NewELB returns a load balancing service with target groups.
func NewELB(specs []TargetGroupSpec) *wire.Service {
	groups := map[string]types.TargetGroup{}
	for _, s := range specs {
		g := types.TargetGroup{TargetGroupArn: aws.String(s.ARN), HealthCheckEnabled: aws.Bool(true), HealthCheckProtocol: types.ProtocolEnumHttp}
		if s.Protocol != "" {
			g.HealthCheckProtocol = types.ProtocolEnum(s.Protocol)
		}
		if g.HealthCheckProtocol == types.ProtocolEnumHttp || g.HealthCheckProtocol == types.ProtocolEnumHttps {
			g.HealthCheckPath, g.Matcher = aws.String("/"), &types.Matcher{HttpCode: aws.String("200")}
			if s.Path != "" {
				g.HealthCheckPath = aws.String(s.Path)
			}
			if s.Codes != "" {
				g.Matcher.HttpCode = aws.String(s.Codes)
			}
		}
		groups[s.ARN] = g
	}
	s := &wire.Service{Name: "elasticloadbalancing", Protocol: wire.Query, Version: "2015-12-01", Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"}
	wire.Handle(s, "DescribeTargetGroups", func(_ *wire.Call, in *elb.DescribeTargetGroupsInput) (*elb.DescribeTargetGroupsOutput, error) {
		out := &elb.DescribeTargetGroupsOutput{}
		for _, arn := range in.TargetGroupArns {
			g, ok := groups[arn]
			if !ok {
				return nil, wire.Errf("TargetGroupNotFound", "One or more target groups not found")
			}
			out.TargetGroups = append(out.TargetGroups, g)
		}
		return out, nil
	})
	return s
}
