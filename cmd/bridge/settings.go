package main

import (
	"log/slog"
	"net/netip"
	"time"
)

// envPrefix stands before every variable of the bridge.
const envPrefix = "BRIDGE_"

// settings is everything the environment says, and the source of
// docs/configuration.md. The tags:
//
//	env, envPrefix, envDefault  as caarlos0/env reads them
//	desc                        the meaning, for the documentation
//	oneof                       the values allowed, separated by blanks
//	need                        what cannot do without it: kafka, registry, records or a role
//	file                        may be given as <variable>_FILE (every secret may): pem for
//	                            certificates, which are not shown, or text
//	url                         URLs, of which user, password and options are not shown
//	section                     the heading of a group in the documentation
type settings struct {
	Kafka    kafkaSettings    `envPrefix:"KAFKA_" section:"Kafka"`
	Topics   topicSettings    `section:"Topics"`
	Schemas  schemaSettings   `envPrefix:"SCHEMA_" section:"Schema registry"`
	SCR      scrSettings      `envPrefix:"SCR_" section:"SCR-Ident API"`
	Webhook  webhookSettings  `envPrefix:"WEBHOOK_" section:"Webhooks"`
	Admin    adminSettings    `envPrefix:"ADMIN_" section:"Administration"`
	Poll     pollSettings     `envPrefix:"POLL_" section:"Sweeps"`
	Publish  publishSettings  `envPrefix:"PUBLISH_" section:"Publishing"`
	Records  recordsSettings  `envPrefix:"RECORDS_" section:"Records"`
	Archive  archiveSettings  `envPrefix:"ARCHIVE_" section:"Archiving"`
	Log      logSettings      `envPrefix:"LOG_" section:"Logging"`
	Shutdown shutdownSettings `envPrefix:"SHUTDOWN_" section:"Stopping"`

	// Files are the variables that were read from files, each with its path.
	Files map[string]string `env:"-"`

	// Telemetry comes from the OTEL_* variables that OpenTelemetry defines.
	Telemetry telemetrySettings `env:"-"`

	// Accounts in the order of their numbers. They are read apart, because the
	// numbers need neither start at a given one nor be without gaps.
	Accounts []accountSettings `env:"-"`
}

type kafkaSettings struct {
	Brokers         list         `env:"BROKERS" need:"kafka" desc:"The brokers to start from, as host:port, separated by commas."`
	ClientID        string       `env:"CLIENT_ID" envDefault:"postident-bridge" desc:"The client id that brokers see in their logs, quotas and metrics."`
	GroupInstanceID string       `env:"GROUP_INSTANCE_ID" desc:"Makes the process role a static member of its consumer group (group.instance.id, KIP-345): after a kill, a process that is back within 10 s goes on with its partitions at once, where others would wait that long to take them over. A stop that was asked for hands over at once with or without it. Every process needs one of its own, e.g. the name of a StatefulSet's pod; of two with the same the older stops with an error."`
	TLS             tlsSettings  `envPrefix:"TLS_"`
	SASL            saslSettings `envPrefix:"SASL_"`
}

type tlsSettings struct {
	Enabled    bool   `env:"ENABLED" envDefault:"false" desc:"Speak TLS to the brokers."`
	CA         string `env:"CA" file:"pem" desc:"The certificates to trust, PEM. Without it, those of the system."`
	Cert       string `env:"CERT" file:"pem" desc:"The client's certificate, PEM, for brokers that ask for one."`
	Key        secret `env:"KEY" desc:"The private key of the client's certificate, PEM."`
	ServerName string `env:"SERVER_NAME" desc:"The name to expect in the brokers' certificates, where it is not the host's."`
}

type saslSettings struct {
	Mechanism string        `env:"MECHANISM" oneof:"PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER AWS_MSK_IAM" desc:"How to log in. Without it, not at all. PLAIN and OAUTHBEARER send password or token as they are: use them with TLS only. AWS_MSK_IAM takes its credentials where AWS's own programs find them: the environment, the role of a service account, a container or an instance; the region is that in the brokers' names, or AWS_REGION."`
	Username  string        `env:"USERNAME" file:"text" desc:"The user, for PLAIN and SCRAM."`
	Password  secret        `env:"PASSWORD" desc:"The user's password."`
	OAuth     oauthSettings `envPrefix:"OAUTH_"`
}

// oauthSettings are those of OAUTHBEARER.
type oauthSettings struct {
	TokenURL     string `env:"TOKEN_URL" url:"true" desc:"The token endpoint that gives tokens for OAUTHBEARER, by client credentials (RFC 6749, 4.4). A token is kept for four fifths of its life."`
	ClientID     string `env:"CLIENT_ID" file:"text" desc:"The client that asks for tokens."`
	ClientSecret secret `env:"CLIENT_SECRET" desc:"Its secret, sent by HTTP Basic authentication."`
	Scope        string `env:"SCOPE" desc:"The scopes to ask for, separated by blanks."`
	CA           string `env:"CA" file:"pem" desc:"The certificates to trust at the token endpoint, PEM. Without it, those of the system."`
	Token        secret `env:"TOKEN" desc:"The token itself, instead of an endpoint: in a file that somebody renews, such as Kubernetes' projected token of a service account."`
	Extensions   list   `env:"EXTENSIONS" desc:"What the broker wants to know besides (RFC 7628), as name=value, separated by commas; e.g. logicalCluster=lkc-…,identityPoolId=pool-… for Confluent Cloud."`
}

type topicSettings struct {
	Prefix string `env:"TOPIC_PREFIX" envDefault:"postident." desc:"Stands before every topic, and before the consumer group and the transactional ids. Two bridges on one cluster need two prefixes."`
}

type schemaSettings struct {
	Registry registrySettings `envPrefix:"REGISTRY_"`
	Register bool             `env:"REGISTER" envDefault:"false" desc:"Let the process role register missing schemas at start. Otherwise it waits until 'bridge schemas register' has done so."`
}

type registrySettings struct {
	URL      list   `env:"URL" need:"registry" url:"true" desc:"A registry with Confluent's API; several addresses of one registry are separated by commas. With it, public events are written in Confluent's wire format; without it, in Avro single-object encoding."`
	Username string `env:"USERNAME" file:"text" desc:"The user, where the registry asks for one."`
	Password secret `env:"PASSWORD" desc:"The user's password."`
	CA       string `env:"CA" file:"pem" desc:"The certificates to trust, PEM. Without it, those of the system."`
}

type scrSettings struct {
	BaseURL string `env:"BASE_URL" envDefault:"https://postident.deutschepost.de" url:"true" desc:"The host of the API; the bridge adds /api/scr/v1. The test environment has another host: Deutsche Post names it."`
	// The answer with everything: what client and class may have of a case.
	ResultMaxMiB  int           `env:"RESULT_MAX_MIB" envDefault:"128" desc:"The largest answer that is read of a case with its result or its records, in MiB, 1 to 1,024: encrypted, and again decrypted. A PDF of 20 MB and six images of 2 MB make 55 MiB. A larger one is refused: its case is tried again, and the status goes out without its records."`
	ResultTimeout time.Duration `env:"RESULT_TIMEOUT" envDefault:"2m" desc:"How long reading such an answer may take. Storing its records has a minute more."`
}

type webhookSettings struct {
	Addr           string   `env:"ADDR" envDefault:":8080" desc:"Where webhooks are taken, at the path /webhooks/<clientId>. Plain HTTP: TLS ends before the bridge."`
	AllowedIPs     prefixes `env:"ALLOWED_IPS" envDefault:"165.72.200.13,199.40.127.49,156.137.9.65" desc:"The addresses or networks that may send webhooks, separated by commas. The default are the sender's three of the guide, section 5."`
	TrustedProxies prefixes `env:"TRUSTED_PROXIES" desc:"The addresses or networks of the proxies in front, separated by commas. Only from them X-Forwarded-For is believed."`
	// A change at the sender and one in a file are never at the same moment.
	Grace time.Duration `env:"ROTATION_GRACE" envDefault:"5m" desc:"How long webhooks may still bring user and password before, after those of an account changed in their files. Kept in memory: a process that starts knows the new ones only. 0 for not at all."`
}

type adminSettings struct {
	Addr string `env:"ADDR" envDefault:":9090" desc:"Where /livez, /readyz and /metrics are served. Not for the public."`
}

type pollSettings struct {
	Closed    time.Duration `env:"CLOSED_EVERY" envDefault:"1m" desc:"How often the cases are listed that were closed since the last time. 0 leaves one request a day, which keeps the account in use: Deutsche Post switches accounts off that are not used for 120 days."`
	Open      time.Duration `env:"OPEN_EVERY" envDefault:"5m" desc:"How often all open cases are listed: the only way to see a change inside an open case that no webhook tells of. 0 for never."`
	Reconcile time.Duration `env:"RECONCILE_EVERY" envDefault:"24h" desc:"How often every visible case is listed, archived ones too, spread over three quarters of the time. 0 for never."`
	Overlap   time.Duration `env:"OVERLAP" envDefault:"5m" desc:"How far a list of closed cases goes back behind the last one, for what shows late. By how much the API's clock is behind is added."`
	Past      time.Duration `env:"PAST" envDefault:"3600h" desc:"How far back cases are visible: the account's limit of storage, 150 days at most."`
}

type publishSettings struct {
	Progress bool `env:"PROGRESS" envDefault:"false" desc:"Publish states without a status type too (started; incomplete of basic, eid and video), as progress. The API sends no webhook for them."`
}

type recordsSettings struct {
	URL    string        `env:"URL" need:"records" url:"true" desc:"Where binary records are kept, of accounts that ask for it: file:///directory, s3://bucket?region=… or azblob://container, each with an optional prefix. docs/records.md has the forms, and where credentials come from."`
	Wait   time.Duration `env:"WAIT" envDefault:"15m" desc:"How long the status event of a final state waits for its records, from the first look at the case that failed. Then it goes out marked as pending, and an event records-available follows."`
	AtOnce int           `env:"AT_ONCE" envDefault:"2" desc:"How many cases a process reads with their records at a time. Each takes about three times the size of its answer in memory: plan 150 MB for a case of 40 MB."`
}

type archiveSettings struct {
	After time.Duration `env:"AFTER" envDefault:"24h" desc:"How long the events of a closed case have been on their topic before the case is archived at the source, in accounts that ask for it."`
}

type logSettings struct {
	Level  string `env:"LEVEL" envDefault:"info" oneof:"debug info warn error" desc:"The lowest level that is logged. debug includes the Kafka client's own messages."`
	Format string `env:"FORMAT" envDefault:"json" oneof:"json text" desc:"The format of the log on standard error."`
}

type shutdownSettings struct {
	Delay   time.Duration `env:"DELAY" envDefault:"0s" desc:"How long to go on serving, but not ready, after the signal to stop, so that load balancers can notice."`
	Timeout time.Duration `env:"TIMEOUT" envDefault:"20s" desc:"The longest that finishing what was begun may take after that."`
}

// accountSettings is one account of the API, BRIDGE_ACCOUNT_<n>_*.
type accountSettings struct {
	// Number is the <n> of its variables.
	Number string `env:"-"`

	ClientID        string `env:"CLIENT_ID" need:"webhook poll process" desc:"The clientId, as the API's paths have it: capital letters and digits."`
	Username        string `env:"USERNAME" file:"text" need:"poll process" desc:"The API user. Often, not always, it begins with the clientId."`
	Password        secret `env:"PASSWORD" need:"poll process" desc:"The API user's password."`
	DataPassword    secret `env:"DATA_PASSWORD" desc:"The password that signs the bridge's public key (guide 7.8). Needed by the roles poll and process unless ENCRYPTION is optional."`
	RegulatoryClass string `env:"REGULATORY_CLASS" oneof:"gwg tkg eidas standard mobility" need:"process" desc:"The account's class (guide 3). It tags the events."`
	Access          string `env:"ACCESS" envDefault:"client" oneof:"client partner" desc:"What the account may read: client everything, partner the status only (guide 9)."`
	Scope           string `env:"SCOPE" envDefault:"all" oneof:"all primary" desc:"Which identifications of a case are read: all, or the most progressed one. With primary, an attempt that was given up for another method is missed."`
	Payload         string `env:"PAYLOAD" envDefault:"status" oneof:"status result" desc:"What is published: status events only, or a result with each final status as well, which is personal data, on a topic of its own. A result holds what the class allows (guide 3, 8). Partners have none."`
	Records         string `env:"RECORDS" envDefault:"off" oneof:"off images all" desc:"Which binary records of final states are kept in the store of BRIDGE_RECORDS_URL: none, all but the result PDF, or all. Only what the class allows is asked for."`
	UnknownFields   string `env:"UNKNOWN_FIELDS" envDefault:"drop" oneof:"drop keep" desc:"What becomes of fields of a result that the bridge does not know: dropped and counted by path, or kept as JSON in the result. No class has been laid down for them."`
	Encryption      string `env:"ENCRYPTION" envDefault:"required" oneof:"required optional" desc:"required refuses an answer that is not encrypted; optional is for accounts of the test environment."`
	RSABits         int    `env:"RSA_BITS" envDefault:"3072" oneof:"2048 3072 4096" desc:"The size of the key pair, made at start and kept in memory. One read costs 1, 5 or 15 ms of it."`
	AllowRSA15      bool   `env:"ALLOW_RSA15" envDefault:"false" desc:"Accept answers encrypted with RSA1_5, which is open to padding oracles."`
	WebhookTypes    list   `env:"WEBHOOK_TYPES" desc:"The status types for which Deutsche Post has webhooks switched on, separated by commas: notification, preliminary, final, cancelled. What a sweep sees first of these, and no webhook tells of within 80 minutes, is counted as a missed webhook. Without it none is expected, and none is missed."`
	Archive         bool   `env:"ARCHIVE" envDefault:"false" desc:"Mark closed cases as archived at the source (guide 7.6) once their events are published, so that lists stay short. Partners cannot."`
	WebhookUsername string `env:"WEBHOOK_USERNAME" file:"text" desc:"The user that the sender's webhooks must name. Without user and password, the sender's address is the only check."`
	WebhookPassword secret `env:"WEBHOOK_PASSWORD" desc:"The password that the sender's webhooks must bring."`
}

// variable returns the name of one of the account's variables.
func (a accountSettings) variable(suffix string) string {
	return accountPrefix(a.Number) + suffix
}

func accountPrefix(number string) string { return envPrefix + "ACCOUNT_" + number + "_" }

// secret is a value that is never shown.
type secret string

// mask stands where a secret is set.
const mask = "****"

// String hides the secret from every formatted text.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString hides the secret from %#v.
func (s secret) GoString() string { return s.String() }

// LogValue hides the secret from logs.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON.
func (s secret) MarshalText() ([]byte, error) { //nolint:unparam // the interface asks for an error
	return []byte(s.String()), nil
}

// list is a setting with several values, separated by commas.
type list []string

// prefixes is a list of networks; a single address is the network of itself.
type prefixes []netip.Prefix
