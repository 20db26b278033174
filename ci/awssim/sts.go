package awssim

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
)

// AWS STS, after https://docs.aws.amazon.com/STS/latest/APIReference/. Any role that IAM has may be assumed, by any
// caller and with any web identity token that is a JWT and has not expired: trust policies, session policies and the
// signatures of tokens are left out.

func newSTS(w *World) *service {
	s := &service{name: "sts", protocol: query, version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/"}
	handle(s, "GetCallerIdentity", func(c *call, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return &sts.GetCallerIdentityOutput{Account: &w.account, Arn: &c.caller.ARN, UserId: &c.caller.UserID}, nil
	})
	handle(s, "AssumeRole", func(c *call, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		if !w.assumable(in.RoleArn) {
			return nil, c.denied(aws.ToString(in.RoleArn))
		}
		credentials, user, err := c.assume(in.RoleArn, in.RoleSessionName, in.DurationSeconds)
		return &sts.AssumeRoleOutput{Credentials: credentials, AssumedRoleUser: user}, err
	})
	op := handle(s, "AssumeRoleWithWebIdentity", func(c *call, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		claims, err := readJWT(aws.ToString(in.WebIdentityToken), c.now())
		if err != nil {
			return nil, err
		}
		if !w.assumable(in.RoleArn) {
			return nil, &Error{Code: "AccessDenied", Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity", Status: 403}
		}
		credentials, user, err := c.assume(in.RoleArn, in.RoleSessionName, in.DurationSeconds)
		return &sts.AssumeRoleWithWebIdentityOutput{
			Credentials: credentials, AssumedRoleUser: user,
			SubjectFromWebIdentityToken: &claims.Subject, Provider: &claims.Issuer, Audience: aws.String(fmt.Sprint(claims.Audience)),
		}, err
	})
	op.unsigned, op.secret = true, true
	return s
}

// assumable says whether IAM has a role.
func (w *World) assumable(arn *string) bool {
	return w.hooks.roles == nil || w.hooks.roles.roleExists(aws.ToString(arn))
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assume makes the credentials of a role's session.
func (c *call) assume(roleARN, session *string, seconds *int32) (*types.Credentials, *types.AssumedRoleUser, error) {
	name := aws.ToString(session)
	if !sessionName.MatchString(name) {
		return nil, nil, errf("ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	life := time.Hour
	if seconds != nil {
		life = time.Duration(*seconds) * time.Second
	}
	if life < 15*time.Minute || life > 12*time.Hour {
		return nil, nil, errf("ValidationError", "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200, inclusive", int(life.Seconds()))
	}
	role := (*roleARN)[strings.LastIndex(*roleARN, "/")+1:]
	key := "ASIA" + strings.ToUpper(c.w.newID("access-key")[:16])
	id := Identity{
		AccessKeyID: key, UserID: "AROAAWSSIM" + strings.ToUpper(role) + ":" + name, Expires: c.now().Add(life),
		ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", c.w.account, role, name),
	}
	c.w.people[key] = id
	return &types.Credentials{
		AccessKeyId: &key, Expiration: &id.Expires,
		SecretAccessKey: aws.String(c.w.newID("secret-key")), SessionToken: aws.String(c.w.newID("session-token")),
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
				return claims, errf("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), claims.Expires)
			}
			return claims, nil
		}
	}
	return claims, errf("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}
