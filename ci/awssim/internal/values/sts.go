package values

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// AWS STS, after https://docs.aws.amazon.com/STS/latest/APIReference/. Any role that IAM has may be assumed, by any
// caller and with any web identity token that is a JWT and has not expired: trust policies, session policies and the
// signatures of tokens are left out.

// People are the identities whose access keys are known: sessions of roles. Every other key is the account's user's.
type People struct {
	account string
	byKey   map[string]wire.Identity
}

// NewPeople returns an account with its user alone.
func NewPeople(account string) *People {
	return &People{account: account, byKey: map[string]wire.Identity{}}
}

// Identity says whose access key it is.
func (p *People) Identity(accessKeyID string) wire.Identity {
	if id, ok := p.byKey[accessKeyID]; ok {
		return id
	}
	return wire.Identity{AccessKeyID: accessKeyID, ARN: fmt.Sprintf("arn:aws:iam::%s:user/deployer", p.account), UserID: "AIDAAWSSIMDEPLOYER00"}
}

type sessions struct {
	k      *kernel.Kernel
	roles  *Roles
	people *People
}

// NewSTS returns STS, which makes people out of roles.
func NewSTS(k *kernel.Kernel, roles *Roles, people *People) *wire.Service {
	w := &sessions{k, roles, people}
	s := &wire.Service{Name: "sts", Protocol: wire.Query, Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Global: true}
	wire.Handle(s, "GetCallerIdentity", func(c *wire.Call, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return &sts.GetCallerIdentityOutput{Account: &k.Account, Arn: &c.Caller.ARN, UserId: &c.Caller.UserID}, nil
	})
	wire.Handle(s, "AssumeRole", func(c *wire.Call, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		if !w.assumable(in.RoleArn) {
			return nil, c.Denied(aws.ToString(in.RoleArn))
		}
		credentials, user, err := w.assume(c, in.RoleArn, in.RoleSessionName, in.DurationSeconds)
		return &sts.AssumeRoleOutput{Credentials: credentials, AssumedRoleUser: user}, err
	})
	op := wire.Handle(s, "AssumeRoleWithWebIdentity", func(c *wire.Call, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		claims, err := readJWT(aws.ToString(in.WebIdentityToken), c.Now)
		if err != nil {
			return nil, err
		}
		if !w.assumable(in.RoleArn) {
			return nil, &wire.Error{Code: "AccessDenied", Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity", Status: 403}
		}
		credentials, user, err := w.assume(c, in.RoleArn, in.RoleSessionName, in.DurationSeconds)
		return &sts.AssumeRoleWithWebIdentityOutput{
			Credentials: credentials, AssumedRoleUser: user,
			SubjectFromWebIdentityToken: &claims.Subject, Provider: &claims.Issuer, Audience: aws.String(fmt.Sprint(claims.Audience)),
		}, err
	})
	op.Unsigned, op.Secret = true, true
	return s
}

func (w *sessions) assumable(arn *string) bool { return w.roles.RoleExists(aws.ToString(arn)) }

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assume makes the credentials of a role's session.
func (w *sessions) assume(c *wire.Call, roleARN, session *string, seconds *int32) (*types.Credentials, *types.AssumedRoleUser, error) {
	name := aws.ToString(session)
	if !sessionName.MatchString(name) {
		return nil, nil, wire.Errf("ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	life := time.Hour
	if seconds != nil {
		life = time.Duration(*seconds) * time.Second
	}
	if life < 15*time.Minute || life > 12*time.Hour {
		return nil, nil, wire.Errf("ValidationError", "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200, inclusive", int(life.Seconds()))
	}
	role := (*roleARN)[strings.LastIndex(*roleARN, "/")+1:]
	key := "ASIA" + strings.ToUpper(w.k.NewID("access-key")[:16])
	id := wire.Identity{
		AccessKeyID: key, UserID: "AROAAWSSIM" + strings.ToUpper(role) + ":" + name, Expires: c.Now.Add(life),
		ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", w.k.Account, role, name),
	}
	w.people.byKey[key] = id
	return &types.Credentials{
		AccessKeyId: &key, Expiration: &id.Expires,
		SecretAccessKey: aws.String(w.k.NewID("secret-key")), SessionToken: aws.String(w.k.NewID("session-token")),
	}, &types.AssumedRoleUser{Arn: &id.ARN, AssumedRoleId: &id.UserID}, nil
}

type jwtClaims struct {
	Subject  string `json:"sub"`
	Issuer   string `json:"iss"`
	Audience any    `json:"aud"`
	Expires  int64  `json:"exp"`
}

// readJWT reads the claims of a token.
func readJWT(token string, now time.Time) (jwtClaims, error) {
	var claims jwtClaims
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(payload, &claims) == nil {
			if claims.Expires != 0 && now.Unix() >= claims.Expires {
				return claims, wire.Errf("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), claims.Expires)
			}
			return claims, nil
		}
	}
	return claims, wire.Errf("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}
