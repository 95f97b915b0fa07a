package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// complete is an environment with everything that every role needs.
func complete(more ...string) []string {
	return append([]string{
		"PATH=/usr/bin", "HOME=/nowhere",
		"BRIDGE_KAFKA_BROKERS=kafka-1:9092, kafka-2:9092",
		"BRIDGE_ACCOUNT_1_CLIENT_ID=TESTGWG1",
		"BRIDGE_ACCOUNT_1_USERNAME=TESTGWG1.SCR",
		"BRIDGE_ACCOUNT_1_PASSWORD=canary-password",
		"BRIDGE_ACCOUNT_1_DATA_PASSWORD=canary-data-password",
		"BRIDGE_ACCOUNT_1_REGULATORY_CLASS=gwg",
	}, more...)
}

// account2 is a second account, whose clientId is id.
func account2(id string) []string {
	return []string{
		"BRIDGE_ACCOUNT_2_CLIENT_ID=" + id,
		"BRIDGE_ACCOUNT_2_USERNAME=u", "BRIDGE_ACCOUNT_2_PASSWORD=p",
		"BRIDGE_ACCOUNT_2_DATA_PASSWORD=d", "BRIDGE_ACCOUNT_2_REGULATORY_CLASS=tkg",
	}
}

func mistakesOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var wrong *settingsError
	if !errors.As(err, &wrong) {
		t.Fatalf("error is %T: %v", err, err)
	}
	var out []string
	for _, m := range wrong.Mistakes {
		out = append(out, m.Variable+": "+m.Problem)
	}
	return out
}

// Design 8, last row: every mistake is listed with the variable's name.
func TestEveryMistakeInTheSettingsIsListed(t *testing.T) {
	t.Parallel()
	everything := []string{needKafka, roleWebhook, roleProcess}
	tests := []struct {
		name    string
		environ []string
		needs   []string
		want    []string
	}{
		{name: "nothing wrong", environ: complete(), needs: everything},
		{
			name: "empty environment, all roles", needs: everything,
			want: []string{
				"BRIDGE_KAFKA_BROKERS: not set",
				"BRIDGE_ACCOUNT_1_CLIENT_ID: not set",
				"BRIDGE_ACCOUNT_1_USERNAME: not set",
				"BRIDGE_ACCOUNT_1_PASSWORD: not set",
				"BRIDGE_ACCOUNT_1_DATA_PASSWORD: not set",
				"BRIDGE_ACCOUNT_1_REGULATORY_CLASS: not set",
			},
		},
		{
			name: "empty environment, webhooks only", needs: []string{needKafka, roleWebhook},
			want: []string{"BRIDGE_KAFKA_BROKERS: not set", "BRIDGE_ACCOUNT_1_CLIENT_ID: not set"},
		},
		{name: "empty environment, topics", needs: []string{needKafka}, want: []string{"BRIDGE_KAFKA_BROKERS: not set"}},
		{name: "empty environment, schemas", needs: []string{needRegistry}, want: []string{"BRIDGE_SCHEMA_REGISTRY_URL: not set"}},
		{
			name: "an empty variable is not set", needs: []string{needKafka},
			environ: []string{"BRIDGE_KAFKA_BROKERS=", "BRIDGE_LOG_LEVEL=", "BRIDGE_ACCOUNT_3_CLIENT_ID="},
			want:    []string{"BRIDGE_KAFKA_BROKERS: not set"},
		},
		{
			name: "values of every type", needs: everything,
			environ: complete(
				"BRIDGE_KAFKA_BROKERS=kafka,:9092,kafka:0,kafka:port",
				"BRIDGE_KAFKA_GROUP_INSTANCE_ID=pod/0",
				"BRIDGE_KAFKA_TLS_ENABLED=ja",
				"BRIDGE_TOPIC_PREFIX=post/ident.",
				"BRIDGE_SCHEMA_REGISTER=perhaps",
				"BRIDGE_WEBHOOK_ADDR=8080",
				"BRIDGE_WEBHOOK_ALLOWED_IPS=10.0.0.1,ten",
				"BRIDGE_WEBHOOK_TRUSTED_PROXIES=10.0.0.0/33",
				"BRIDGE_ADMIN_ADDR=:admin",
				"BRIDGE_LOG_LEVEL=loud", "BRIDGE_LOG_FORMAT=xml",
				"BRIDGE_SHUTDOWN_DELAY=-1s", "BRIDGE_SHUTDOWN_TIMEOUT=0s",
				"BRIDGE_ACCOUNT_1_REGULATORY_CLASS=GwG", "BRIDGE_ACCOUNT_1_ACCESS=all", "BRIDGE_ACCOUNT_1_SCOPE=some",
				"BRIDGE_ACCOUNT_1_PAYLOAD=all", "BRIDGE_ACCOUNT_1_RECORDS=some", "BRIDGE_ACCOUNT_1_UNKNOWN_FIELDS=show", "BRIDGE_ACCOUNT_1_ENCRYPTION=off", "BRIDGE_ACCOUNT_1_RSA_BITS=1024",
				"BRIDGE_RECORDS_URL=ftp://u:p@host", "BRIDGE_RECORDS_WAIT=0s", "BRIDGE_RECORDS_AT_ONCE=0",
				"BRIDGE_ARCHIVE_AFTER=0s", "BRIDGE_ACCOUNT_1_ARCHIVE=2",
				"BRIDGE_ACCOUNT_1_ALLOW_RSA15=2", "BRIDGE_ACCOUNT_1_WEBHOOK_TYPES=final,progress",
			),
			want: []string{
				`BRIDGE_KAFKA_BROKERS: "kafka" is not host:port`,
				`BRIDGE_KAFKA_GROUP_INSTANCE_ID: "pod/0" is no instance id: letters, digits, '.', '_', '-', at most 249, not only dots`,
				`BRIDGE_KAFKA_TLS_ENABLED: "ja" is not true or false`,
				`BRIDGE_TOPIC_PREFIX: "post/ident." is no beginning of a topic's name: letters, digits, '.', '_', '-', at most 200`,
				`BRIDGE_SCHEMA_REGISTER: "perhaps" is not true or false`,
				`BRIDGE_WEBHOOK_ADDR: "8080" is not [host]:port`,
				`BRIDGE_WEBHOOK_ALLOWED_IPS: "10.0.0.1,ten" is not addresses or networks (CIDR) separated by commas`,
				`BRIDGE_WEBHOOK_TRUSTED_PROXIES: "10.0.0.0/33" is not addresses or networks (CIDR) separated by commas`,
				`BRIDGE_ADMIN_ADDR: ":admin" is not [host]:port`,
				`BRIDGE_RECORDS_URL: credentials do not belong into the URL; they come from the environment`,
				`BRIDGE_RECORDS_WAIT: must be longer than nothing`,
				`BRIDGE_RECORDS_AT_ONCE: must be at least 1`,
				`BRIDGE_ARCHIVE_AFTER: must be longer than nothing`,
				`BRIDGE_LOG_LEVEL: "loud" is none of debug, info, warn, error`,
				`BRIDGE_LOG_FORMAT: "xml" is none of json, text`,
				`BRIDGE_SHUTDOWN_DELAY: "-1s" is not a duration such as 500ms, 20s or 5m`,
				`BRIDGE_SHUTDOWN_TIMEOUT: must be longer than nothing`,
				`BRIDGE_ACCOUNT_1_REGULATORY_CLASS: "GwG" is none of gwg, tkg, eidas, standard, mobility`,
				`BRIDGE_ACCOUNT_1_ACCESS: "all" is none of client, partner`,
				`BRIDGE_ACCOUNT_1_SCOPE: "some" is none of all, primary`,
				`BRIDGE_ACCOUNT_1_PAYLOAD: "all" is none of status, result`,
				`BRIDGE_ACCOUNT_1_RECORDS: "some" is none of off, images, all`,
				`BRIDGE_ACCOUNT_1_UNKNOWN_FIELDS: "show" is none of drop, keep`,
				`BRIDGE_ACCOUNT_1_ENCRYPTION: "off" is none of required, optional`,
				`BRIDGE_ACCOUNT_1_RSA_BITS: "1024" is none of 2048, 3072, 4096`,
				`BRIDGE_ACCOUNT_1_ALLOW_RSA15: "2" is not true or false`,
				`BRIDGE_ACCOUNT_1_WEBHOOK_TYPES: "progress" is none of notification, preliminary, final, cancelled`,
				`BRIDGE_ACCOUNT_1_ARCHIVE: "2" is not true or false`,
			},
		},
		{
			name: "a partner that archives", needs: everything,
			environ: complete("BRIDGE_ACCOUNT_1_ACCESS=partner", "BRIDGE_ACCOUNT_1_ARCHIVE=true"),
			want:    []string{"BRIDGE_ACCOUNT_1_ARCHIVE: a partner cannot archive"},
		},
		{
			name: "a webhook type that stands there twice", needs: everything,
			environ: complete("BRIDGE_ACCOUNT_1_WEBHOOK_TYPES=final, cancelled,final"),
			want:    []string{`BRIDGE_ACCOUNT_1_WEBHOOK_TYPES: "final" stands there twice`},
		},
		{
			name: "URLs never show, for they may hold a password", needs: everything,
			environ: complete("BRIDGE_SCR_BASE_URL=https://u:canary@host", "BRIDGE_SCHEMA_REGISTRY_URL=http://registry:8081,canary"),
			want: []string{
				"BRIDGE_SCHEMA_REGISTRY_URL: not an http or https URL",
				"BRIDGE_SCR_BASE_URL: holds user or password; they have variables of their own",
			},
		},
		{
			name: "what goes together", needs: everything,
			environ: complete(
				"BRIDGE_KAFKA_SASL_MECHANISM=PLAIN",
				"BRIDGE_KAFKA_TLS_CERT=canary", "BRIDGE_KAFKA_TLS_CA=canary",
				"BRIDGE_SCHEMA_REGISTRY_PASSWORD=canary",
				"BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=canary",
				"BRIDGE_ADMIN_ADDR=:8080",
			),
			want: []string{
				"BRIDGE_KAFKA_TLS_ENABLED: other BRIDGE_KAFKA_TLS_ variables are set; set it to true or leave them out",
				"BRIDGE_KAFKA_TLS_CA: holds no certificate in PEM",
				"BRIDGE_KAFKA_TLS_KEY: not set, though BRIDGE_KAFKA_TLS_CERT is",
				"BRIDGE_KAFKA_SASL_USERNAME: not set",
				"BRIDGE_KAFKA_SASL_PASSWORD: not set",
				"BRIDGE_SCHEMA_REGISTRY_USERNAME: not set, though BRIDGE_SCHEMA_REGISTRY_PASSWORD is",
				`BRIDGE_ADMIN_ADDR: ":8080" is also BRIDGE_WEBHOOK_ADDR`,
				"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME: not set, though BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD is",
			},
		},
		{
			name: "user without mechanism", needs: everything,
			environ: complete("BRIDGE_KAFKA_SASL_USERNAME=u"),
			want:    []string{"BRIDGE_KAFKA_SASL_MECHANISM: not set, though user or password is"},
		},
		{
			name: "a user of the registry with a colon", needs: everything,
			environ: complete("BRIDGE_SCHEMA_REGISTRY_USERNAME=a:b", "BRIDGE_SCHEMA_REGISTRY_PASSWORD=canary"),
			want:    []string{"BRIDGE_SCHEMA_REGISTRY_USERNAME: has a colon, which HTTP Basic authentication forbids in a user name (RFC 7617)"},
		},
		{
			name: "user names with a colon (RFC 7617)", needs: everything,
			environ: complete("BRIDGE_ACCOUNT_1_USERNAME=a:b"),
			want:    []string{"BRIDGE_ACCOUNT_1_USERNAME: has a colon, which HTTP Basic authentication forbids in a user name (RFC 7617)"},
		},
		{
			name: "two accounts with one clientId", needs: everything,
			environ: complete(account2("TESTGWG1")...),
			want:    []string{`BRIDGE_ACCOUNT_2_CLIENT_ID: "TESTGWG1" is also the clientId of BRIDGE_ACCOUNT_1_CLIENT_ID`},
		},
		{
			name: "clientId in small letters (facts 2.10)", needs: everything,
			environ: complete(account2("gk42")...),
			want:    []string{`BRIDGE_ACCOUNT_2_CLIENT_ID: "gk42" is no clientId: capital letters and digits, at most 32`},
		},
		{
			name: "the data password is not needed where encryption is optional", needs: everything,
			environ: complete("BRIDGE_ACCOUNT_1_DATA_PASSWORD=", "BRIDGE_ACCOUNT_1_ENCRYPTION=optional"),
		},
		{
			name: "mistakes of a later account are not lost behind those of an earlier", needs: everything,
			environ: complete(append(account2("B"), "BRIDGE_ACCOUNT_1_RSA_BITS=x", "BRIDGE_ACCOUNT_2_RSA_BITS=y", "BRIDGE_ACCOUNT_10_RSA_BITS=z")...),
			want: []string{
				`BRIDGE_ACCOUNT_1_RSA_BITS: "x" is not a whole number`,
				`BRIDGE_ACCOUNT_2_RSA_BITS: "y" is not a whole number`,
				"BRIDGE_ACCOUNT_10_CLIENT_ID: not set",
				"BRIDGE_ACCOUNT_10_USERNAME: not set",
				"BRIDGE_ACCOUNT_10_PASSWORD: not set",
				"BRIDGE_ACCOUNT_10_DATA_PASSWORD: not set",
				"BRIDGE_ACCOUNT_10_REGULATORY_CLASS: not set",
				`BRIDGE_ACCOUNT_10_RSA_BITS: "z" is not a whole number`,
			},
		},
		{
			name: "telemetry", needs: everything,
			environ: complete("OTEL_TRACES_EXPORTER=zipkin", "OTEL_SDK_DISABLED=no way"),
			want: []string{
				`OTEL_SDK_DISABLED: "no way" is not true or false`,
				`OTEL_TRACES_EXPORTER: "zipkin" is none of otlp, none`,
			},
		},
		{
			name: "telemetry over gRPC", needs: everything,
			environ: complete("OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
			want:    []string{`OTEL_EXPORTER_OTLP_PROTOCOL: "grpc": only http/protobuf is spoken`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, warnings, err := loadSettings(tt.environ, tt.needs...)
			if diff := cmp.Diff(tt.want, mistakesOf(t, err)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}

func TestSettingsAreRead(t *testing.T) {
	t.Parallel()
	s, _, err := loadSettings(complete(append(account2("TESTTKG1"),
		"BRIDGE_WEBHOOK_ALLOWED_IPS=10.0.0.1, 2001:db8::/32", "BRIDGE_SHUTDOWN_DELAY=5s", "BRIDGE_ACCOUNT_2_RSA_BITS=2048",
		"BRIDGE_ARCHIVE_AFTER=36h", "BRIDGE_ACCOUNT_2_ARCHIVE=true", "BRIDGE_ACCOUNT_2_WEBHOOK_TYPES=final, cancelled",
		"BRIDGE_PUBLISH_PROGRESS=true", "BRIDGE_KAFKA_GROUP_INSTANCE_ID=bridge-0", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318")...), needKafka, roleWebhook, roleProcess)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range settingFields(&s) {
		if v := f.text(); v != "" && v != f.Default {
			got = append(got, f.Name+"="+v)
		}
	}
	want := []string{
		"BRIDGE_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092",
		"BRIDGE_KAFKA_GROUP_INSTANCE_ID=bridge-0",
		"BRIDGE_WEBHOOK_ALLOWED_IPS=10.0.0.1,2001:db8::/32",
		"BRIDGE_PUBLISH_PROGRESS=true",
		"BRIDGE_ARCHIVE_AFTER=36h",
		"BRIDGE_SHUTDOWN_DELAY=5s",
		"BRIDGE_ACCOUNT_1_CLIENT_ID=TESTGWG1",
		"BRIDGE_ACCOUNT_1_USERNAME=TESTGWG1.SCR",
		"BRIDGE_ACCOUNT_1_PASSWORD=canary-password",
		"BRIDGE_ACCOUNT_1_DATA_PASSWORD=canary-data-password",
		"BRIDGE_ACCOUNT_1_REGULATORY_CLASS=gwg",
		"BRIDGE_ACCOUNT_2_CLIENT_ID=TESTTKG1",
		"BRIDGE_ACCOUNT_2_USERNAME=u", "BRIDGE_ACCOUNT_2_PASSWORD=p", "BRIDGE_ACCOUNT_2_DATA_PASSWORD=d",
		"BRIDGE_ACCOUNT_2_REGULATORY_CLASS=tkg",
		"BRIDGE_ACCOUNT_2_RSA_BITS=2048",
		"BRIDGE_ACCOUNT_2_WEBHOOK_TYPES=final,cancelled", "BRIDGE_ACCOUNT_2_ARCHIVE=true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if !s.Telemetry.Traces {
		t.Error("an OTLP endpoint is set and traces are off")
	}
}

func TestTracesOnlyWhereAskedFor(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4318/v1/traces"
	tests := []struct {
		environ []string
		want    bool
	}{
		{nil, false},
		{[]string{"OTEL_TRACES_EXPORTER=otlp"}, true},
		{[]string{endpoint}, true},
		{[]string{endpoint, "OTEL_TRACES_EXPORTER=none"}, false},
		{[]string{endpoint, "OTEL_SDK_DISABLED=true"}, false},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, true},
		{[]string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, false},
	}
	for _, tt := range tests {
		s, _, err := loadSettings(complete(tt.environ...))
		if err != nil || s.Telemetry.Traces != tt.want {
			t.Errorf("%v: traces %v, error %v; want %v", tt.environ, s.Telemetry.Traces, err, tt.want)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, empty := file("good", "canary with blank \r\n"), file("empty", "\n")
	missing := filepath.Join(dir, "missing")
	environ := func(more ...string) []string {
		return complete(append([]string{"BRIDGE_ACCOUNT_1_PASSWORD="}, more...)...)
	}

	s, _, err := loadSettings(environ("BRIDGE_ACCOUNT_1_PASSWORD_FILE="+good), roleProcess)
	if err != nil || s.Accounts[0].Password != "canary with blank " {
		t.Errorf("password %q, error %v", string(s.Accounts[0].Password), err)
	}
	for path, want := range map[string]string{
		empty:   "BRIDGE_ACCOUNT_1_PASSWORD: BRIDGE_ACCOUNT_1_PASSWORD_FILE: " + empty + " is empty",
		missing: "BRIDGE_ACCOUNT_1_PASSWORD: BRIDGE_ACCOUNT_1_PASSWORD_FILE: open " + missing + ": no such file or directory",
	} {
		_, _, err := loadSettings(environ("BRIDGE_ACCOUNT_1_PASSWORD_FILE="+path), roleProcess)
		if diff := cmp.Diff([]string{want}, mistakesOf(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	_, _, err = loadSettings(complete("BRIDGE_ACCOUNT_1_PASSWORD_FILE="+good), roleProcess)
	if got := mistakesOf(t, err); !slices.Equal(got, []string{"BRIDGE_ACCOUNT_1_PASSWORD: set twice: also by BRIDGE_ACCOUNT_1_PASSWORD_FILE"}) {
		t.Errorf("both: %v", got)
	}
	// A user changes with its password, so it may stand beside it. It is no secret.
	user := file("user", "user-of-file\n")
	s, _, err = loadSettings(environ("BRIDGE_ACCOUNT_1_USERNAME=", "BRIDGE_ACCOUNT_1_USERNAME_FILE="+user, "BRIDGE_ACCOUNT_1_PASSWORD_FILE="+good), roleProcess)
	if err != nil || s.Accounts[0].Username != "user-of-file" || s.Files["BRIDGE_ACCOUNT_1_USERNAME"] != user {
		t.Errorf("user %q, error %v", s.Accounts[0].Username, err)
	}
	// Design 7: every secret, certificate and user has a file, and nothing else.
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}}}) {
		secretly := strings.Contains(f.Name, "PASSWORD") || slices.ContainsFunc([]string{"_KEY", "_SECRET", "_TOKEN"}, func(end string) bool {
			return strings.HasSuffix(f.Name, end)
		})
		filed := secretly || strings.HasSuffix(f.Name, "USERNAME") || strings.HasSuffix(f.Name, "OAUTH_CLIENT_ID") || f.PEM
		if secretly != f.Secret || filed != f.File {
			t.Errorf("%s: secret %v, file %v", f.Name, f.Secret, f.File)
		}
	}
}

// Kubernetes sets such variables for a service named bridge, or bridge-webhook.
func TestVariablesThatNothingReads(t *testing.T) {
	t.Parallel()
	_, warnings, err := loadSettings(complete(
		"BRIDGE_PORT=tcp://10.0.0.1:8080", "BRIDGE_SERVICE_HOST=10.0.0.1", "BRIDGE_SERVICE_PORT=8080",
		"BRIDGE_SERVICE_PORT_HTTP=8080", "BRIDGE_PORT_8080_TCP=tcp://10.0.0.1:8080", "BRIDGE_PORT_8080_TCP_ADDR=10.0.0.1",
		"BRIDGE_WEBHOOK_PORT_8080_TCP_PROTO=tcp", "BRIDGE_WEBHOOK_SERVICE_HOST=10.0.0.1", "BRIDGE_ACCOUNT_1_SERVICE_HOST=x",
		"BRIDGE_KAFKA_BROKER=kafka:9092", "BRIDGE_ACCOUNT_1_USERNAM=x", "BRIDGE_POLL_INTERVAL=5m", "BRIDGED=1",
		"BRIDGE_LOG_LEVEL_FILE=x",
	), needKafka, roleWebhook, roleProcess)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Variable+": "+w.Problem)
	}
	want := []string{
		"BRIDGE_ACCOUNT_1_USERNAM: no setting has this name; did you mean BRIDGE_ACCOUNT_1_USERNAME?",
		"BRIDGE_KAFKA_BROKER: no setting has this name; did you mean BRIDGE_KAFKA_BROKERS?",
		"BRIDGE_LOG_LEVEL_FILE: no setting has this name",
		"BRIDGE_POLL_INTERVAL: no setting has this name",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	// No setting of ours may be taken for a service's variable.
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}}}) {
		if serviceLink(f.Name) || serviceLink(f.Name+fileSuffix) {
			t.Errorf("%s looks like a variable of a Kubernetes service", f.Name)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	environ := complete(
		"BRIDGE_KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "BRIDGE_KAFKA_SASL_USERNAME=u", "BRIDGE_KAFKA_SASL_PASSWORD=canary-sasl",
		"BRIDGE_SCHEMA_REGISTRY_URL=http://registry:8081", "BRIDGE_SCHEMA_REGISTRY_USERNAME=u", "BRIDGE_SCHEMA_REGISTRY_PASSWORD=canary-registry",
		"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=u", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=canary-webhook",
	)
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		got := runMain(t, environ, args...)
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("%v: exit %d, stderr %q", args, got.code, got.stderr)
		}
		if strings.Contains(got.stdout, "canary") {
			t.Errorf("%v shows a secret:\n%s", args, got.stdout)
		}
		if n := strings.Count(got.stdout, mask); n != 5 {
			t.Errorf("%v: %d masked, want 5:\n%s", args, n, got.stdout)
		}
	}
	s, _, err := loadSettings(environ)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("settings", "kafka", s.Kafka.SASL.Password, "all", fmt.Sprintf("%+v", s))
	for what, text := range map[string]string{
		"%v": fmt.Sprintf("%v", s), "%+v": fmt.Sprintf("%+v", s), "%#v": fmt.Sprintf("%#v", s),
		"json": string(asJSON), "log": logged.String(),
	} {
		if strings.Contains(text, "canary") {
			t.Errorf("%s shows a secret: %s", what, text)
		}
	}
}

// What can be a secret in a URL is not shown, though it is a mistake there.
func TestURLsAreShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://registry.example:8081/path":              "https://registry.example:8081/path",
		"https://user:canary@registry.example":            "https://****@registry.example",
		"https://canary@registry.example":                 "https://****@registry.example",
		"https://id.example/token?key=canary&x=canary":    "https://id.example/token?key=****&x=****",
		"https://id.example/token?canary":                 "https://id.example/token?****",
		"https://id.example/token#canary":                 "https://id.example/token#****",
		"s3://bucket/prefix?region=eu-1&secret=canary":    "s3://bucket/prefix?region=eu-1&secret=****",
		"s3://bucket?endpoint=https://s3.example:9000":    "s3://bucket?endpoint=https://s3.example:9000",
		"s3://bucket?endpoint=https://u:canary@s3":        "s3://bucket?endpoint=https://****@s3",
		"s3://bucket?endpoint=https%3A%2F%2Fu:canary%40h": "s3://bucket?endpoint=https://****@h",
		"file:///var/records?create_dir=true":             "file:///var/records?create_dir=true",
		"user:canary@host":                                mask,
		"user/canary@host":                                mask,
		"https://user/canary@host":                        mask,
		"https://user:can/ary@host":                       mask,
		"https://user:%zcanary@host":                      mask,
		"canary":                                          mask,
	} {
		if got := shownURL(raw); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
	environ := complete(
		"BRIDGE_SCHEMA_REGISTRY_URL=https://one.example,https://u:canary@two.example", "BRIDGE_SCR_BASE_URL=https://u:canary@api.example",
		"BRIDGE_KAFKA_SASL_MECHANISM=OAUTHBEARER", "BRIDGE_KAFKA_SASL_OAUTH_TOKEN_URL=https://id.example?key=canary",
		"BRIDGE_RECORDS_URL=s3://bucket?region=eu-1&secret=canary",
	)
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		got := runMain(t, environ, args...)
		if got.code != exitUsage || strings.Contains(got.stdout+got.stderr, "canary") {
			t.Errorf("%v: %v", args, got)
		}
		if !strings.Contains(got.stdout, "https://one.example,https://****@two.example") {
			t.Errorf("%v hides too much: %s", args, got.stdout)
		}
	}
	// A comma in a password makes two of one URL.
	got := runMain(t, complete("BRIDGE_SCHEMA_REGISTRY_URL=https://u:13579,canary@one.example"), "config")
	if strings.Contains(got.stdout+got.stderr, "13579") || strings.Contains(got.stdout+got.stderr, "canary") {
		t.Errorf("half a password is shown: %v", got)
	}
}

func TestConfigShowsWhereValuesComeFrom(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runMain(t, complete("BRIDGE_ACCOUNT_1_PASSWORD=", "BRIDGE_ACCOUNT_1_PASSWORD_FILE="+path), "config", "--json")
	var shown []shownSetting
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []shownSetting{
		{"BRIDGE_KAFKA_BROKERS", "kafka-1:9092,kafka-2:9092", "environment"},
		{"BRIDGE_TOPIC_PREFIX", "postident.", "default"},
		{"BRIDGE_SCHEMA_REGISTRY_URL", "", ""},
		{"BRIDGE_ACCOUNT_1_PASSWORD", mask, "file"},
	} {
		if !slices.Contains(shown, want) {
			t.Errorf("%+v is not in\n%s", want, got.stdout)
		}
	}
	broken := runMain(t, []string{"BRIDGE_LOG_LEVEL=loud"}, "config", "--roles", "webhook")
	if broken.code != exitUsage || !strings.Contains(broken.stdout, "BRIDGE_TOPIC_PREFIX") ||
		!strings.Contains(broken.stderr, "3 mistakes in the settings") {
		t.Errorf("exit %d, stderr %s", broken.code, broken.stderr)
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}}}) {
		if !strings.HasSuffix(f.Desc, ".") || f.Section == "" {
			t.Errorf("%s: description %q, section %q", f.Name, f.Desc, f.Section)
		}
		if f.Default != "" && f.OneOf != "" && !slices.Contains(strings.Fields(f.OneOf), f.Default) {
			t.Errorf("%s: default %q is none of %s", f.Name, f.Default, f.OneOf)
		}
	}
}

func TestConfigurationPageIsFresh(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), configurationPage()); diff != "" {
		t.Errorf("docs/configuration.md is stale, run make generate (-file +now):\n%s", diff)
	}
}

// The parsers here take whatever an environment holds.
func FuzzSettings(f *testing.F) {
	f.Add("BRIDGE_KAFKA_BROKERS", "a:1,b:2", "BRIDGE_ACCOUNT_1_RSA_BITS", "2048")
	f.Add("BRIDGE_WEBHOOK_ALLOWED_IPS", "::ffff:10.0.0.1/100", "BRIDGE_SHUTDOWN_DELAY", "5s")
	f.Add("BRIDGE_ACCOUNT_0001_PASSWORD", "canary", "BRIDGE_KAFKA_TLS_CA", "-----BEGIN CERTIFICATE-----")
	f.Add("BRIDGE_SCR_BASE_URL", "https://a:b@c", "OTEL_SDK_DISABLED", "x")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		if strings.HasSuffix(name1, fileSuffix) || strings.HasSuffix(name2, fileSuffix) {
			t.Skip("reads files")
		}
		s, _, err := loadSettings([]string{name1 + "=" + value1, name2 + "=" + value2}, needKafka, roleProcess)
		if err == nil {
			t.Errorf("two variables are not enough, and %+v was taken", s)
		}
	})
}
