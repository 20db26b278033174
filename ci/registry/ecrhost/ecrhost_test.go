package ecrhost_test

import (
	"testing"

	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
)

func TestParse(t *testing.T) {
	for host, region := range map[string]string{
		"111111111111.dkr.ecr.us-east-1.amazonaws.com":                    "us-east-1",
		"111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com":           "us-gov-west-1",
		"111111111111.dkr-ecr.eu-west-1.on.aws":                           "eu-west-1",
		"111111111111.dkr-ecr-fips.us-east-1.on.aws":                      "us-east-1",
		"111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn":                "cn-north-1",
		"111111111111.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn": "cn-northwest-1",
		"111111111111.dkr.ecr.eusc-de-east-1.amazonaws.eu":                "eusc-de-east-1",
		"111111111111.dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu":     "eusc-de-east-1",
		"111111111111.dkr.ecr.us-iso-east-1.c2s.ic.gov":                   "us-iso-east-1",
		"public.ecr.aws":                                           "",
		"registry.local:5000":                                      "",
		"11111111111.dkr.ecr.us-east-1.amazonaws.com":              "",
		"111111111111.dkr.ecr.us-east-1.amazonaws.com.example.org": "",
		"111111111111.dkr.ecr.us-east-1.amazonaws.com:443":         "",
		"x111111111111.dkr.ecr.us-east-1.amazonaws.com":            "",
		"111111111111.dkr.ecr.us-east-1.amazonawsXcom":             "",
	} {
		account, got, ok := ecrhost.Parse(host)
		if ok != (region != "") || got != region || ok && account != "111111111111" {
			t.Errorf("Parse(%s) = %q, %q, %v, want region %q", host, account, got, ok, region)
		}
	}
}
