package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
	"github.com/magecloudkit/pipeline/ci/release"
)

// dates compares the dates of AWS's answers with a clock.
type dates struct {
	clock ecs.Clock

	mu    sync.Mutex
	known bool
	ahead time.Duration // of the clock, when the first answer came
}

// in has the dates noted of what a configuration's clients are answered.
func (d *dates) in(cfg aws.Config) aws.Config {
	cfg = cfg.Copy()
	next := cfg.HTTPClient
	if next == nil {
		next = awshttp.NewBuildableClient()
	}
	cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		res, err := next.Do(r)
		if err == nil {
			d.note(res.Header.Get("Date"))
		}
		return res, err
	})
	return cfg
}

func (d *dates) note(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		d.known, d.ahead = true, d.clock.Now().Sub(at)
	}
}

type doer func(*http.Request) (*http.Response, error)

// Do implements aws.HTTPClient.
func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Skews of a clock. AWS refuses requests that are signed five minutes off; the SDK notices and corrects itself, other tools
// and web identity tokens do not.
const (
	skewWarning = 30 * time.Second
	skewError   = 5 * time.Minute
)

// clock compares this machine's time with AWS's.
func clock(_ context.Context, v *visit) {
	if !v.dates.known {
		return
	}
	ahead, word := v.dates.ahead, "ahead of"
	if ahead < 0 {
		ahead, word = -ahead, "behind"
	}
	const fix = "set the clock, by NTP (timedatectl set-ntp true); of Docker Desktop's or WSL's machine, start that again"
	switch ahead = ahead.Round(time.Second); {
	case ahead >= skewError:
		v.err("this machine", fix, "is %s %s AWS, which refuses what is signed five minutes off", ahead, word)
	case ahead > skewWarning:
		v.warn("this machine", fix, "is %s %s AWS", ahead, word)
	default:
		v.ok("this machine", "agrees with AWS's time")
	}
}

// codes are what AWS answers to credentials that it does not take.
var codes = map[string]string{
	"ExpiredToken":                "they have ended: log in again (aws sso login), or start the job of CI again",
	"ExpiredTokenException":       "they have ended: log in again (aws sso login), or start the job of CI again",
	"InvalidClientTokenId":        "check AWS_ACCESS_KEY_ID: the key may be deleted, inactive, or temporary and without its AWS_SESSION_TOKEN",
	"UnrecognizedClientException": "check AWS_ACCESS_KEY_ID: the key may be deleted, inactive, or temporary and without its AWS_SESSION_TOKEN",
	"SignatureDoesNotMatch":       "copy AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY again, both of the same key",
	"InvalidSignatureException":   "copy AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY again, both of the same key, and set this machine's clock",
	"InvalidIdentityToken":        "have IAM know the token's issuer as an OIDC provider, with the audience that the token is for",
	"AccessDenied":                "let the role's trust policy name this organisation, project and branch, and check AWS_ROLE_ARN",
	"AccessDeniedException":       "let the role's trust policy name this organisation, project and branch, and check AWS_ROLE_ARN",
	"RegionDisabledException":     "enable the region in the account, or set another one",
}

const (
	noCredentials = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN with a web identity token, or MCK_AWS_PROFILE; or log in (aws sso login)"
	noAnswer      = "check the network, a proxy, the region, and AWS_ENDPOINT_URL"
	restUnseen    = "; so nothing else of AWS was looked at"
)

// credentials finds out whether AWS takes them, and whose they are.
func credentials(ctx context.Context, v *visit) {
	if v.NoAWS != nil {
		return // a setting's line says why
	}
	var from string
	if v.AWS.Credentials != nil {
		c, err := v.AWS.Credentials.Retrieve(ctx)
		if err != nil {
			v.err("AWS", byCode(err, noCredentials), "there are none: %s%s", say(err), restUnseen)
			return
		}
		from, _, _ = strings.Cut(c.Source, ":") // what follows is a file's name
	}
	out, err := sts.NewFromConfig(v.AWS).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		what := "are not taken"
		if !isAnswer(err) {
			what = "cannot be tried"
		}
		v.err("AWS", byCode(err, noAnswer), "%s: %s%s", what, say(err), restUnseen)
		return
	}
	v.answers, v.caller, v.account = true, aws.ToString(out.Arn), aws.ToString(out.Account)
	v.ok("AWS", "%s, of account %s in %s%s", v.caller, v.account, v.AWS.Region, source(from))
}

// source says where credentials come from, in the SDK's word for it.
func source(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

func isAnswer(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api)
}

// byCode says what to do about an error of AWS.
func byCode(err error, otherwise string) string {
	if fix, ok := codes[ecs.Code(err)]; ok {
		return fix
	}
	return otherwise
}

// say is an error in a line: of AWS its code and its message.
func say(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	var call *smithy.OperationError
	if errors.As(err, &call) {
		err = call.Err
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// registryAgrees compares the registry that is pushed to with the account, the region and what the services run.
func registryAgrees(ctx context.Context, v *visit) {
	host, subject := v.Registry, "AWS_ECR_URL"
	account, region, isECR := ecrhost.Parse(host)
	switch {
	case host == "":
		account, region = v.account, v.AWS.Region
		host, subject = account+" in "+region, "Amazon ECR"
	case !isECR:
		v.ok(subject, "%s is not Amazon ECR, so it is not compared with the account", host)
		return
	}
	runs := map[string]bool{} // by account and region
	for _, im := range v.examine(ctx).Images {
		if a, r, ok := im.ECR(); ok {
			runs[a+" in "+r] = true
		}
	}
	pulled := slices.Sorted(maps.Keys(runs))
	switch there := account + " in " + region; {
	case len(runs) > 0 && !runs[there]:
		v.err(subject, "push to the registry that the services' task definitions name, or name the new one there", "images are pushed to %s, and the services run those of %s", there, strings.Join(pulled, " and "))
	case account != v.account && !runs[there]:
		v.err(subject, "set it to the account's own ('mck get-ecr' prints it), or use credentials of that account", "is of account %s, and the credentials are of %s", account, v.account)
	case account != v.account:
		v.warn(subject, "have the repositories' policies allow it, or use the account's own registry", "is of account %s, and the credentials are of %s", account, v.account)
	case region != v.AWS.Region:
		v.warn(subject, "set AWS_REGION and AWS_ECR_URL to the same region, unless it is meant: images are pulled from there each time", "is in %s, and the region is %s", region, v.AWS.Region)
	default:
		v.ok(subject, "%s: account and region agree", host)
	}
}

// repositories looks whether there are those that a build is pushed to.
func repositories(ctx context.Context, v *visit) {
	var options []func(*ecr.Options)
	in := ecr.DescribeRepositoriesInput{}
	if account, region, ok := ecrhost.Parse(v.Registry); ok {
		in.RegistryId = aws.String(account)
		options = append(options, func(o *ecr.Options) { o.Region = region })
	} else if v.Registry != "" && v.AWS.BaseEndpoint == nil {
		return // not Amazon ECR, which registry says
	}
	api := ecr.NewFromConfig(v.AWS)
	for _, name := range v.Repositories {
		in.RepositoryNames = []string{name}
		out, err := api.DescribeRepositories(ctx, &in, options...)
		switch {
		case ecs.Code(err) == "RepositoryNotFoundException":
			v.err(name, "'mck push --create' makes it; or set MCK_REPOSITORY_PREFIX to the first part of the repositories' names", "does not exist in %s", v.AWS.Region)
		case err != nil:
			v.unseen(name, "ecr:DescribeRepositories", err)
		case len(out.Repositories) == 0:
			v.unseen(name, "", errors.New("ECR answers nothing"))
		default:
			v.ok(name, "exists, tags are %s", strings.ToLower(string(out.Repositories[0].ImageTagMutability)))
		}
	}
}

// unseen says that something could not be looked at.
func (v *visit) unseen(subject, permission string, err error) {
	fix := noAnswer
	switch {
	case ecs.Denied(err):
		fix = "allow " + permission + " to have it looked at (docs/iam/doctor.json)"
	case isAnswer(err):
		fix = "try again"
	}
	v.warn(subject, fix, "was not looked at: %s", say(err))
}

// examine looks at what a release needs, once.
func (v *visit) examine(ctx context.Context) release.Examined {
	if v.examined != nil {
		return *v.examined
	}
	v.examined = &release.Examined{}
	if r := v.Request; r.Cluster != "" && len(r.Services) > 0 && r.Check() == nil {
		releaser := release.New(release.NewClients(v.AWS), release.Options{Clock: v.Clock, Attempts: 3})
		x, _ := releaser.Examine(ctx, r) // the error is that of an interruption, which Run looks for
		v.examined = &x
	}
	return *v.examined
}

// found reports what is known of the subjects that begin with one of some words.
func found(words ...string) func(context.Context, *visit) {
	return func(ctx context.Context, v *visit) {
		x := v.examine(ctx)
		mine := func(subject string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(subject, w) })
		}
		for _, s := range x.Subjects {
			if mine(s) && !slices.ContainsFunc(x.Findings, func(f release.Finding) bool { return covers(f.Subject, s) }) {
				v.ok(s, "is there")
			}
		}
		for _, f := range x.Findings {
			if !mine(f.Subject) || strings.Contains(f.Message, "ClusterNotFoundException") { // the cluster's line says it
				continue
			}
			fix := f.Do
			if fix == "" {
				fix = fixes[v.name]
			}
			if strings.Contains(f.Message, "does not exist") {
				fix += v.thereIs(ctx, f.Subject)
			}
			if f.Severity == release.SeverityError {
				v.err(f.Subject, fix, "%s", f.Message)
			} else {
				v.warn(f.Subject, fix, "%s", f.Message)
			}
		}
	}
}

// covers reports whether a finding's subject is, or has among others, another.
func covers(found, subject string) bool {
	if found == subject {
		return true
	}
	kind, names, ok := strings.Cut(found, " ")
	return ok && kind == "services" && slices.Contains(strings.Split(names, ", "), strings.TrimPrefix(subject, "service "))
}

// fixes are what to do where a finding does not say it.
var fixes = map[string]string{
	"cluster":  "check --cluster, the region and the account",
	"services": "look at it in ECS's console, or by 'mck status'; what could not be read is to be allowed (docs/iam/read.json)",
	"cron":     "look at it in EventBridge's console; if cron is to run, enable it",
	"roles":    "see that the other account's role trusts ecs-tasks.amazonaws.com, or name one of this account",
	"secrets":  "have what could not be read allowed (docs/iam/read.json)",
	"logs":     "have what could not be read allowed (docs/iam/read.json)",
}

// thereIs lists what there is in the place of a cluster or a service that does not exist, as far as it may be asked.
func (v *visit) thereIs(ctx context.Context, subject string) string {
	api := awsecs.NewFromConfig(v.AWS)
	var arns []string
	switch kind, _, _ := strings.Cut(subject, " "); kind {
	case "cluster":
		if out, err := api.ListClusters(ctx, &awsecs.ListClustersInput{}); err == nil {
			arns = out.ClusterArns
		}
	case "service":
		if out, err := api.ListServices(ctx, &awsecs.ListServicesInput{Cluster: aws.String(v.Request.Cluster)}); err == nil {
			arns = out.ServiceArns
		}
	}
	var names []string
	for _, a := range arns {
		if p, err := arn.Parse(a); err == nil {
			names = append(names, ecs.LastPart(p.Resource))
		}
	}
	if names == nil {
		return ""
	}
	return fmt.Sprintf("; there is %s", strings.Join(names, ", "))
}
