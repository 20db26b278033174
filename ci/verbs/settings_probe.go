package verbs

import (
	"time"

	"github.com/magecloudkit/pipeline/ci/config"
)

// Shop is how the shop is asked from outside whether it answers.
type Shop struct {
	Probe        []string      `env:"MCK_PROBE" flag:"probe" doc:"address of the shop that must answer after the roll, as URL or SERVICE=URL (the first service's if none is named): its page, the build by /REVISION.txt, its style sheets"`
	ProbeText    string        `env:"MCK_PROBE_TEXT" flag:"probe-text" doc:"text that the page of a probe must have"`
	ProbeBuild   bool          `env:"MCK_PROBE_BUILD,default=true" flag:"probe-build" doc:"ask /REVISION.txt of a probe's host which build answers"`
	ProbeTimeout time.Duration `env:"MCK_PROBE_TIMEOUT,default=1m" flag:"probe-timeout" doc:"for a probe to answer as it must"`
	ProbeAuth    config.Secret `env:"MCK_PROBE_AUTH" doc:"user:password that the probes' hosts are sent, as basic authentication"`
}

// TestListener is how the shop is asked before visitors are led to it, where ECS moves traffic.
type TestListener struct {
	ProbeTest []string `env:"MCK_PROBE_TEST" flag:"probe-test" doc:"address of a load balancer's test listener that must answer before production traffic moves (BLUE_GREEN, LINEAR, CANARY), as URL or SERVICE=URL"`
}
