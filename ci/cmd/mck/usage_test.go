package main

import (
	"strings"
	"testing"
)

// Whatever is missing is said at once, in one error, with what it is for, its flag and its variables.
func TestMissingSettingsAtOnce(t *testing.T) {
	const (
		cluster  = "MCK_CLUSTER or ECS_CLUSTER, or pass --cluster"
		services = "MCK_SERVICES or ECS_SERVICES, or pass --service"
		region   = "AWS_REGION or AWS_DEFAULT_REGION, or pass --region"
		number   = "BUILD_NUM, or pass --build-num, or --from instead"
	)
	t.Setenv("AWS_REGION", "") // which the AWS SDK reads by itself
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	for line, says := range map[string][]string{
		"deploy":                           {"4 settings are missing", number, cluster, services, region},
		"deploy --from staging":            {"3 settings are missing", cluster, services, region},
		"verify":                           {"4 settings are missing", number, cluster, services, region},
		"diff --service web":               {"3 settings are missing", number, cluster, region},
		"rollback":                         {"3 settings are missing", cluster, services, region},
		"status --region eu-central-1":     {"2 settings are missing", cluster, services},
		"history":                          {"3 settings are missing", cluster, services, region},
		"env list":                         {"3 settings are missing", cluster, services, region},
		"env set":                          {"requires at least 1 arg(s)", "3 settings are missing", cluster, services, region},
		"env unset A":                      {"3 settings are missing", cluster, services, region},
		"run":                              {"requires at least 1 arg(s)", "3 settings are missing", cluster, services, region},
		"push":                             {"2 settings are missing", "BUILD_NUM or CIRCLE_BUILD_NUM, or pass --build-num", region},
		"push --registry registry.example": {"1 setting is missing", "BUILD_NUM or CIRCLE_BUILD_NUM, or pass --build-num"},
		"get-ecr":                          {"1 setting is missing", region},
		"cleanup":                          {"1 setting is missing", region},
		"ecs-deploy -t 90":                 {"3 settings are missing", cluster, "MCK_SERVICES or ECS_SERVICES, or pass --service-name", region, "no image is given: -to TAG, or -i IMAGE:TAG"},
	} {
		code, out, err := mck(t, nil, strings.Fields(line)...)
		if code != exitUsage || out != "" || strings.Count(err, "missing (") != 1 {
			t.Errorf("mck %s: exit code %d:\n%s%s", line, code, out, err)
		}
		for _, s := range says {
			if !strings.Contains(err, s) {
				t.Errorf("mck %s does not say %q:\n%s", line, s, err)
			}
		}
	}
	vars := map[string]string{"MCK_TIMEOUT": "soon"}
	if code, _, err := mck(t, vars, "deploy"); code != exitUsage || !strings.Contains(err, "4 settings are missing") || !strings.Contains(err, "1 setting is not readable") || !strings.Contains(err, region) {
		t.Errorf("exit code %d: %s", code, err)
	}
	vars = map[string]string{"AWS_ACCESS_KEY_ID": "AKIA"}
	if code, _, err := mck(t, vars, "status"); code != exitUsage || !strings.Contains(err, cluster) || !strings.Contains(err, "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set") {
		t.Errorf("exit code %d: %s", code, err)
	}
	if code, out, err := mck(t, nil, "cleanup", "--policy"); code != 0 {
		t.Errorf("a policy needs no AWS: exit code %d: %s%s", code, out, err)
	}
}

// What of a command line cannot be meant ends with 2, and says which word of it, before anything is reached.
func TestWrongValuesAreUsage(t *testing.T) {
	store := sample(t)
	world, vars := cloud(t)
	vars["BUILD_NUM"] = "300"
	for line, says := range map[string]string{
		"build --platform foo":                       `"foo" is not of the form linux/amd64`,
		"build --platform linux/amd64,linux/amd64":   "linux/amd64 is named twice",
		"build --shards foo":                         `shards "foo"`,
		"build --compression foo":                    `compression "foo"`,
		"build --cpus=-3":                            "--cpus -3 is negative",
		"build --build-num a:b":                      `"a:b"`,
		"build --content-version a/b":                `"a/b"`,
		"build --php-base ::":                        "--php-base: image reference",
		"build --nginx-base oci:":                    "--nginx-base: image reference",
		"build --base-registry foo://x":              "--base-registry",
		"build --jobs many":                          "--jobs",
		"check --source /nowhere":                    "--source /nowhere",
		"simulate --listen foo":                      "--listen foo: it must be ADDRESS:PORT",
		"simulate --listen 127.0.0.1:99999":          "--listen 127.0.0.1:99999: it must be ADDRESS:PORT",
		"simulate --listen 127.0.0.1:http":           "--listen 127.0.0.1:http: it must be ADDRESS:PORT",
		"simulate --listen 127.0.0.1:0 --name a/b":   `--name "a/b" is no host's name`,
		"simulate --listen 127.0.0.1:0 --speed=-1":   "--speed",
		"simulate --listen 127.0.0.1:0 --topology /": "topology",
		"push --registry http://[":                   "registry's address",
		"push --jobs=0":                              "--jobs 0",
		"push --build-num a:b":                       `"a:b" cannot be a tag`,
		"push --tag a:b":                             `"a:b" cannot be a tag`,
		"inspect --image-platform foo":               `--image-platform: platform "foo"`,
		"inspect --largest=-1":                       "--largest",
		"cleanup --keep-last=-1":                     "-1",
		"cleanup --keep-tag [":                       `"["`,
		"history --last 0":                           "--last 0",
		"deploy --desired-count=-7":                  "--desired-count -7 is negative",
		"deploy --min-healthy-percent=-2":            "--min-healthy-percent -2",
		"deploy --task-cpu foo":                      `task CPU "foo"`,
		"rollback --to a:b":                          `"a:b" cannot be an image's tag`,
		"run --task-timeout=-1s -- a":                "a timeout is negative",
		"verify --timeout 6m":                        "unknown flag: --timeout",
		"status extra":                               `"extra"`,
		"env":                                        "say what: env list, env set or env unset",
		"env foo":                                    `there is no verb "env foo"`,
		"foo":                                        `there is no verb "foo"`,
	} {
		args := strings.Fields(line)
		if args[0] == "build" {
			args = append(args, "--source", store, "--out", t.TempDir(), "--smoke=false")
		}
		code, out, err := mck(t, vars, args...)
		if code != exitUsage || out != "" || !strings.Contains(err, says) {
			t.Errorf("mck %s: exit code %d, and it does not say %q:\n%s%s", line, code, says, out, err)
		}
	}
	if got := ops(world); len(got) > 0 {
		t.Errorf("%v were called", got)
	}
}

// Without arguments ecs-deploy, which takes none of mck's flags, says what it takes, and fails.
func TestLegacyWithoutArguments(t *testing.T) {
	code, out, err := mck(t, nil, "ecs-deploy")
	if code != exitUsage || out != "" || !strings.Contains(err, "-to, --tag-only VALUE") || !strings.Contains(err, "no option is given") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
	if code, out, err := mck(t, nil, "ecs-deploy", "--help"); code != 0 || !strings.Contains(out, "-to, --tag-only VALUE") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
}

// verify and diff have the flags that decide what would be released, and none of how it is done.
func TestVerifysOwnFlags(t *testing.T) {
	for _, verb := range []string{"verify", "diff"} {
		_, help, _ := mck(t, nil, verb, "--help")
		for _, flag := range []string{"build-num", "from", "cluster", "service", "cron-rule", "env", "secret", "unset", "task-cpu", "downgrade", "probe-test", "json"} {
			if !strings.Contains(help, "--"+flag+" ") {
				t.Errorf("%s lacks --%s:\n%s", verb, flag, help)
			}
		}
		for _, flag := range []string{
			"timeout", "migrate", "cache-flush", "rollback", "force", "circuit-breaker", "min-healthy-percent", "max-percent", "keep-revisions",
			"wait-for-deployment", "console", "container", "task-timeout", "by", "dry-run", "probe", "probe-text", "probe-continue", "circleci-environment",
		} {
			if strings.Contains(help, "--"+flag+" ") {
				t.Errorf("%s has --%s, which is deploy's:\n%s", verb, flag, help)
			}
		}
		if n := strings.Count(help, "\n      --"); n > 26 {
			t.Errorf("%s has %d flags", verb, n)
		}
	}
}

// On a terminal of 80 columns no ARN breaks: those of the release's own account and region are written without them, and
// others begin a line where they would not fit. A program gets them whole.
func TestARNsAreNotBroken(t *testing.T) {
	_, vars := cloud(t)
	const (
		foreign = "arn:aws:secretsmanager:us-east-1:222222222222:secret:shared/smtp-AbCdEf"
		own     = "arn:aws:secretsmanager:us-east-1:111111111111:secret:gone"
	)
	for line, says := range map[string]string{
		"env list": "(secret) secret:production/magento:MYSQL_PASSWORD::",
		"status":   "production-app:1",
		"verify --build-num 300 --secret A=" + own + " --secret B=" + foreign:                    "secret gone: does not exist",
		"diff --build-num 300 --secret A=" + foreign:                                             "\n    " + foreign,
		"deploy --build-num 300 --secret A=" + own:                                               "secret gone: does not exist",
		"env set --secret MYSQL_PASSWORD=" + foreign + " --report /nonexistent/x.html":           "--report",
		"verify --build-num 300 --secret A=" + strings.Repeat(foreign[:20], 1) + "us-east-1:1:a": "",
	} {
		_, out, err := mck(t, vars, strings.Fields(line)...)
		for text := range strings.Lines(out + err) {
			if strings.Contains(text, ":111111111111:") {
				t.Errorf("mck %s: an ARN of the release's own account: %s", line, text)
			}
			for _, m := range wholeARN.FindAllStringIndex(text, -1) {
				if m[1] > columns && m[0] > 4 {
					t.Errorf("mck %s: an ARN breaks: %s", line, text)
				}
			}
		}
		if !strings.Contains(out+err, says) {
			t.Errorf("mck %s does not say %q:\n%s%s", line, says, out, err)
		}
	}
	_, out, _ := mck(t, vars, "verify", "--build-num", "300", "--secret", "A="+own, "--json")
	if !strings.Contains(out, `"subject": "secret `+own+`"`) {
		t.Errorf("a program does not get the ARN:\n%s", out)
	}
}
