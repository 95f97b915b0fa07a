package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every mistake of a way to log in, with the variable's name.
func TestSASLSettings(t *testing.T) {
	t.Parallel()
	const sasl = "BRIDGE_KAFKA_SASL_"
	oauth := []string{sasl + "MECHANISM=OAUTHBEARER", sasl + "OAUTH_TOKEN_URL=https://id.example/token", sasl + "OAUTH_CLIENT_ID=bridge", sasl + "OAUTH_CLIENT_SECRET=canary"}
	with := func(base []string, more ...string) []string { return append(slices.Clone(base), more...) }
	tests := []struct {
		name    string
		environ []string
		want    []string
	}{
		{name: "SCRAM", environ: []string{sasl + "MECHANISM=SCRAM-SHA-512", sasl + "USERNAME=u", sasl + "PASSWORD=canary"}},
		{name: "a token endpoint", environ: with(oauth, sasl+"OAUTH_SCOPE=kafka other", sasl+"OAUTH_EXTENSIONS=logicalCluster=lkc-1, identityPoolId=pool-2")},
		{name: "a token", environ: []string{sasl + "MECHANISM=OAUTHBEARER", sasl + "OAUTH_TOKEN=eyJh.canary.x-_"}},
		{name: "AWS", environ: []string{sasl + "MECHANISM=AWS_MSK_IAM"}},
		{
			name: "an unknown mechanism", environ: []string{sasl + "MECHANISM=GSSAPI", sasl + "USERNAME=u"},
			want: []string{`BRIDGE_KAFKA_SASL_MECHANISM: "GSSAPI" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM`},
		},
		{
			name: "no mechanism", environ: []string{sasl + "OAUTH_SCOPE=kafka"},
			want: []string{"BRIDGE_KAFKA_SASL_MECHANISM: not set, though BRIDGE_KAFKA_SASL_OAUTH_SCOPE is"},
		},
		{
			name: "a password with settings of OAuth", environ: []string{sasl + "MECHANISM=PLAIN", sasl + "USERNAME=u", sasl + "OAUTH_TOKEN=canary", sasl + "OAUTH_EXTENSIONS=a=b"},
			want: []string{
				"BRIDGE_KAFKA_SASL_PASSWORD: not set",
				"BRIDGE_KAFKA_SASL_OAUTH_TOKEN: is for OAUTHBEARER, and BRIDGE_KAFKA_SASL_MECHANISM is PLAIN",
				"BRIDGE_KAFKA_SASL_OAUTH_EXTENSIONS: is for OAUTHBEARER, and BRIDGE_KAFKA_SASL_MECHANISM is PLAIN",
			},
		},
		{
			name: "OAUTHBEARER without anything, and with a user", environ: []string{sasl + "MECHANISM=OAUTHBEARER", sasl + "USERNAME=u", sasl + "PASSWORD=canary"},
			want: []string{
				"BRIDGE_KAFKA_SASL_USERNAME: is not for OAUTHBEARER",
				"BRIDGE_KAFKA_SASL_PASSWORD: is not for OAUTHBEARER",
				"BRIDGE_KAFKA_SASL_OAUTH_TOKEN_URL: not set, and neither is BRIDGE_KAFKA_SASL_OAUTH_TOKEN",
				"BRIDGE_KAFKA_SASL_OAUTH_CLIENT_ID: not set",
				"BRIDGE_KAFKA_SASL_OAUTH_CLIENT_SECRET: not set",
			},
		},
		{
			name: "a token and an endpoint", environ: with(oauth, sasl+"OAUTH_TOKEN=can ary", sasl+"OAUTH_SCOPE=s"),
			want: []string{
				"BRIDGE_KAFKA_SASL_OAUTH_TOKEN_URL: of no use where BRIDGE_KAFKA_SASL_OAUTH_TOKEN is set",
				"BRIDGE_KAFKA_SASL_OAUTH_CLIENT_ID: of no use where BRIDGE_KAFKA_SASL_OAUTH_TOKEN is set",
				"BRIDGE_KAFKA_SASL_OAUTH_CLIENT_SECRET: of no use where BRIDGE_KAFKA_SASL_OAUTH_TOKEN is set",
				"BRIDGE_KAFKA_SASL_OAUTH_SCOPE: of no use where BRIDGE_KAFKA_SASL_OAUTH_TOKEN is set",
				"BRIDGE_KAFKA_SASL_OAUTH_TOKEN: is no token: it has blanks, line breaks or what is not ASCII",
			},
		},
		{
			name: "an endpoint that cannot be", environ: with(oauth, sasl+"OAUTH_TOKEN_URL=https://u:canary@id.example", sasl+"OAUTH_CA=canary", sasl+"OAUTH_EXTENSIONS=auth=x"),
			want: []string{
				"BRIDGE_KAFKA_SASL_OAUTH_TOKEN_URL: holds user or password; they have variables of their own",
				"BRIDGE_KAFKA_SASL_OAUTH_CA: holds no certificate in PEM",
				`BRIDGE_KAFKA_SASL_OAUTH_EXTENSIONS: "auth=x" is not name=value, with a name of letters other than auth`,
			},
		},
		{
			name: "extensions twice", environ: with(oauth, sasl+"OAUTH_EXTENSIONS=a=b,a=c"),
			want: []string{`BRIDGE_KAFKA_SASL_OAUTH_EXTENSIONS: "a" stands there twice`},
		},
		{
			name: "AWS with what is not for it", environ: []string{sasl + "MECHANISM=AWS_MSK_IAM", sasl + "USERNAME=u", sasl + "OAUTH_CLIENT_ID=c"},
			want: []string{
				"BRIDGE_KAFKA_SASL_USERNAME: is not for AWS_MSK_IAM",
				"BRIDGE_KAFKA_SASL_OAUTH_CLIENT_ID: is for OAUTHBEARER, and BRIDGE_KAFKA_SASL_MECHANISM is AWS_MSK_IAM",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Later ones win, as in an environment.
			_, _, err := loadSettings(complete(tt.environ...), needKafka)
			if diff := cmp.Diff(tt.want, mistakesOf(t, err)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSASLCautions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sasl saslSettings
		want []string
	}{
		{saslSettings{Mechanism: saslScramSHA512}, nil},
		{saslSettings{Mechanism: saslPlain}, []string{"PLAIN without TLS sends the password in the clear"}},
		{saslSettings{Mechanism: saslMSKIAM}, []string{"Amazon MSK takes AWS_MSK_IAM over TLS only"}},
		{
			saslSettings{Mechanism: saslOAuth, OAuth: oauthSettings{TokenURL: "http://id.example/token"}},
			[]string{"OAUTHBEARER without TLS sends the token in the clear", "http sends secret and token in the clear"},
		},
	} {
		s := settings{Kafka: kafkaSettings{SASL: tt.sasl}}
		var got []string
		for _, c := range s.cautions(nil) {
			got = append(got, c.Problem)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.sasl.Mechanism, got, tt.want)
		}
	}
}
