package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// oauthPrefix stands before the variables of OAUTHBEARER.
const oauthPrefix = envPrefix + "KAFKA_SASL_OAUTH_"

// tokenPattern is what a bearer token consists of (RFC 6750, 2.1), and a little
// more: nothing that ends it on the wire.
var tokenPattern = regexp.MustCompile(`^[\x21-\x7e]+$`)

func checkToken(token string) error {
	if !tokenPattern.MatchString(token) {
		return errNoToken
	}
	return nil
}

var errNoToken = errors.New("is no token: it has blanks, line breaks or what is not ASCII")

// checkSASL checks that what the mechanism needs is there, and nothing of another
// one: a password that nobody uses is a mistake about which mechanism is.
func (l *loader) checkSASL(s saslSettings) {
	mechanism := envPrefix + "KAFKA_SASL_MECHANISM"
	users := []given{{envPrefix + "KAFKA_SASL_USERNAME", s.Username}, {envPrefix + "KAFKA_SASL_PASSWORD", string(s.Password)}}
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.Password != "" {
			l.wrong(mechanism, "not set, though user or password is")
		} else if first := firstGiven(s.OAuth.given()); first != "" {
			l.wrong(mechanism, "not set, though %s is", first)
		}
	case saslPlain, saslScramSHA256, saslScramSHA512:
		for _, u := range users {
			if u.value == "" {
				l.wrong(u.variable, "not set")
			}
		}
		l.refuseGiven(s.OAuth.given(), "is for %s, and %s is %s", saslOAuth, mechanism, s.Mechanism)
	case saslOAuth:
		l.refuseGiven(users, "is not for %s", saslOAuth)
		l.checkOAuth(s.OAuth)
	case saslMSKIAM:
		l.refuseGiven(users, "is not for %s", saslMSKIAM)
		l.refuseGiven(s.OAuth.given(), "is for %s, and %s is %s", saslOAuth, mechanism, saslMSKIAM)
	default: // told by the field's own tags
	}
}

func (l *loader) checkOAuth(o oauthSettings) {
	if _, err := o.Extensions.pairs(); err != nil {
		l.wrong(oauthPrefix+"EXTENSIONS", "%v", err)
	}
	if o.Token != "" {
		if err := checkToken(string(o.Token)); err != nil {
			l.wrong(oauthPrefix+"TOKEN", "%v", err)
		}
		l.refuseGiven(o.ofEndpoint(), "of no use where %sTOKEN is set", oauthPrefix)
		return
	}
	if o.TokenURL == "" {
		l.wrong(oauthPrefix+"TOKEN_URL", "not set, and neither is %sTOKEN", oauthPrefix)
	}
	l.checkURL(oauthPrefix+"TOKEN_URL", o.TokenURL)
	if o.ClientID == "" {
		l.wrong(oauthPrefix+"CLIENT_ID", "not set")
	}
	if o.ClientSecret == "" {
		l.wrong(oauthPrefix+"CLIENT_SECRET", "not set")
	}
	l.checkRoots(oauthPrefix+"CA", o.CA)
}

// given is a variable with its value.
type given struct{ variable, value string }

// ofEndpoint are the variables of a token endpoint.
func (o oauthSettings) ofEndpoint() []given {
	return []given{
		{oauthPrefix + "TOKEN_URL", o.TokenURL},
		{oauthPrefix + "CLIENT_ID", o.ClientID},
		{oauthPrefix + "CLIENT_SECRET", string(o.ClientSecret)},
		{oauthPrefix + "SCOPE", o.Scope},
		{oauthPrefix + "CA", o.CA},
	}
}

func (o oauthSettings) given() []given {
	return append(o.ofEndpoint(), given{oauthPrefix + "TOKEN", string(o.Token)}, given{oauthPrefix + "EXTENSIONS", strings.Join(o.Extensions, ",")})
}

// firstGiven is the first variable that is set, "" for none.
func firstGiven(all []given) string {
	for _, g := range all {
		if g.value != "" {
			return g.variable
		}
	}
	return ""
}

// refuseGiven notes every variable that is set as a mistake.
func (l *loader) refuseGiven(all []given, format string, args ...any) {
	for _, g := range all {
		if g.value != "" {
			l.wrong(g.variable, format, args...)
		}
	}
}

// extensionPattern is what Kafka takes of an extension (RFC 7628, 3.1). The name auth
// is the token's own.
var extensionPattern = regexp.MustCompile(`^([A-Za-z]+)=([\x21-\x7e][\x20-\x7e]*)$`)

// pairs reads a list of name=value.
func (l list) pairs() (map[string]string, error) {
	out := make(map[string]string, len(l))
	for _, part := range l {
		m := extensionPattern.FindStringSubmatch(part)
		if m == nil || m[1] == "auth" {
			return nil, fmt.Errorf("%q is not name=value, with a name of letters other than auth", part)
		}
		if _, twice := out[m[1]]; twice {
			return nil, fmt.Errorf("%q stands there twice", m[1])
		}
		out[m[1]] = m[2]
	}
	return out, nil
}
