// Package ecrhost tells the addresses of Amazon ECR's private registries from other registries'. It stands apart so that
// whoever only reads image references need not link a registry client.
package ecrhost

import "regexp"

// pattern is what Amazon calls a registry, in every partition, with and without FIPS and dual stack:
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html,
// https://docs.aws.amazon.com/general/latest/gr/ecr.html and the partitions of the SDK's endpoint rules.
var pattern = regexp.MustCompile(`^([0-9]{12})\.dkr(?:\.ecr|-ecr)(?:-fips)?\.([a-z0-9-]+)\.(?:` +
	`amazonaws\.com|on\.aws|` + // aws and aws-us-gov
	`amazonaws\.com\.cn|on\.amazonwebservices\.com\.cn|` + // aws-cn
	`amazonaws\.eu|on\.amazonwebservices\.eu|` + // aws-eusc
	`c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov` + // aws-iso, -b, -e, -f
	`)$`)

// Parse reads the account and the region out of an address such as 111111111111.dkr.ecr.us-east-1.amazonaws.com. ok is
// false for any other registry's.
func Parse(host string) (account, region string, ok bool) {
	m := pattern.FindStringSubmatch(host)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}
