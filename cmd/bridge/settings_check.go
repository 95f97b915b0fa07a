package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// checkField checks one setting by its tags: that it is there if it is needed,
// and that its value is one of those allowed.
func (l *loader) checkField(f field, needs []string) {
	value := f.text()
	if value == "" {
		for n := range strings.FieldsSeq(f.Need) {
			if slices.Contains(needs, n) {
				l.wrong(f.Name, "not set")
				return
			}
		}
		return
	}
	if allowed := strings.Fields(f.OneOf); len(allowed) > 0 && !slices.Contains(allowed, value) {
		l.wrong(f.Name, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

// clientIDPattern follows the guide's samples: capital letters and digits
// (facts 2.10). The clientId is a part of paths, keys and topics' records.
var clientIDPattern = regexp.MustCompile(`^[A-Z0-9]{1,32}$`)

// topicPrefixPattern is what Kafka allows in a topic's name; the length leaves
// room for the longest name behind it (249 in all).
var topicPrefixPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

// instanceIDPattern is what Kafka's own clients allow: the rule of topics' names.
var instanceIDPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// checkTogether checks what one field's tags cannot say.
func (l *loader) checkTogether(s settings, needs []string) {
	l.checkKafka(s.Kafka)
	if !topicPrefixPattern.MatchString(s.Topics.Prefix) {
		l.wrong(envPrefix+"TOPIC_PREFIX", "%q is no beginning of a topic's name: letters, digits, '.', '_', '-', at most 200", s.Topics.Prefix)
	}
	for _, u := range s.Schemas.Registry.URL {
		l.checkURL(envPrefix+"SCHEMA_REGISTRY_URL", u)
	}
	l.checkPair(envPrefix+"SCHEMA_REGISTRY_USERNAME", s.Schemas.Registry.Username,
		envPrefix+"SCHEMA_REGISTRY_PASSWORD", string(s.Schemas.Registry.Password))
	l.checkBasicUser(envPrefix+"SCHEMA_REGISTRY_USERNAME", s.Schemas.Registry.Username)
	l.checkRoots(envPrefix+"SCHEMA_REGISTRY_CA", s.Schemas.Registry.CA)
	l.checkURL(envPrefix+"SCR_BASE_URL", s.SCR.BaseURL)
	if s.SCR.ResultMaxMiB < 1 || s.SCR.ResultMaxMiB > maxResultMiB {
		l.wrong(envPrefix+"SCR_RESULT_MAX_MIB", "must be 1 to %d", maxResultMiB)
	}
	l.checkDuration(envPrefix+"SCR_RESULT_TIMEOUT", s.SCR.ResultTimeout)
	l.checkDuration(envPrefix+"SHUTDOWN_TIMEOUT", s.Shutdown.Timeout)
	l.checkDuration(envPrefix+"ARCHIVE_AFTER", s.Archive.After)
	l.checkRecords(s, needs)
	if s.Poll.Past < time.Minute {
		l.wrong(envPrefix+"POLL_PAST", "must be a minute at least")
	}
	l.checkAddr(envPrefix+"WEBHOOK_ADDR", s.Webhook.Addr)
	l.checkAddr(envPrefix+"ADMIN_ADDR", s.Admin.Addr)
	if s.Webhook.Addr == s.Admin.Addr && !strings.HasSuffix(s.Admin.Addr, ":0") {
		l.wrong(envPrefix+"ADMIN_ADDR", "%q is also BRIDGE_WEBHOOK_ADDR", s.Admin.Addr)
	}
	owner := make(map[string]string) // clientId -> the variable that has it
	for _, a := range s.Accounts {
		l.checkAccount(a, owner, needs)
	}
}

// maxResultMiB is what scr.ClientConfig takes.
const maxResultMiB = 1 << 10

// webhookTypes are the status types that have webhooks (guide 2.6).
var webhookTypes = []string{
	string(schemas.StatusTypeNotification), string(schemas.StatusTypePreliminary), string(schemas.StatusTypeFinal), string(schemas.StatusTypeCancelled),
}

func (l *loader) checkRecords(s settings, needs []string) {
	l.checkDuration(envPrefix+"RECORDS_WAIT", s.Records.Wait)
	if s.Records.AtOnce < 1 {
		l.wrong(envPrefix+"RECORDS_AT_ONCE", "must be at least 1")
	}
	if s.Records.URL != "" {
		if err := claim.ValidateURL(s.Records.URL); err != nil {
			l.wrong(envPrefix+"RECORDS_URL", "%v", err)
		}
		return
	}
	for _, a := range s.Accounts {
		if a.Records != recordsOff && slices.Contains(needs, roleProcess) {
			l.wrong(envPrefix+"RECORDS_URL", "not set, though %s is %s", a.variable("RECORDS"), a.Records)
			return
		}
	}
}

func (l *loader) checkAccount(a accountSettings, owner map[string]string, needs []string) {
	name := a.variable("CLIENT_ID")
	if a.ClientID != "" {
		if !clientIDPattern.MatchString(a.ClientID) {
			l.wrong(name, "%q is no clientId: capital letters and digits, at most 32", a.ClientID)
		}
		if other, taken := owner[a.ClientID]; taken {
			// Sequence, chain and state are per clientId: two accounts would write
			// each other's.
			l.wrong(name, "%q is also the clientId of %s", a.ClientID, other)
		} else {
			owner[a.ClientID] = name
		}
	}
	if a.Encryption == "required" && a.DataPassword == "" && (slices.Contains(needs, rolePoll) || slices.Contains(needs, roleProcess)) {
		l.wrong(a.variable("DATA_PASSWORD"), "not set")
	}
	if a.Access == "partner" {
		l.checkPartner(a)
	}
	if a.UnknownFields == unknownKept && a.Payload != payloadResult {
		l.wrong(a.variable("UNKNOWN_FIELDS"), "keeps them in results, and %s is not %s", a.variable("PAYLOAD"), payloadResult)
	}
	for i, t := range a.WebhookTypes {
		if !slices.Contains(webhookTypes, t) {
			l.wrong(a.variable("WEBHOOK_TYPES"), "%q is none of %s", t, strings.Join(webhookTypes, ", "))
		} else if slices.Contains(a.WebhookTypes[:i], t) {
			l.wrong(a.variable("WEBHOOK_TYPES"), "%q stands there twice", t)
		}
	}
	l.checkBasicUser(a.variable("USERNAME"), a.Username)
	l.checkBasicUser(a.variable("WEBHOOK_USERNAME"), a.WebhookUsername)
	l.checkPair(a.variable("WEBHOOK_USERNAME"), a.WebhookUsername, a.variable("WEBHOOK_PASSWORD"), string(a.WebhookPassword))
}

// checkPartner reports what a partner's access does not give (guide 9).
func (l *loader) checkPartner(a accountSettings) {
	if a.Archive {
		l.wrong(a.variable("ARCHIVE"), "a partner cannot archive")
	}
	if a.Payload == payloadResult {
		l.wrong(a.variable("PAYLOAD"), "a partner has no results")
	}
	if a.Records != recordsOff {
		l.wrong(a.variable("RECORDS"), "a partner has no records")
	}
}

func (l *loader) checkKafka(k kafkaSettings) {
	for _, b := range k.Brokers {
		if !validBroker(b) {
			l.wrong(envPrefix+"KAFKA_BROKERS", "%q is not host:port", b)
		}
	}
	if id := k.GroupInstanceID; id != "" && (!instanceIDPattern.MatchString(id) || strings.Trim(id, ".") == "") {
		l.wrong(envPrefix+"KAFKA_GROUP_INSTANCE_ID", "%q is no instance id: letters, digits, '.', '_', '-', at most 249, not only dots", id)
	}
	t := k.TLS
	l.checkRoots(envPrefix+"KAFKA_TLS_CA", t.CA)
	l.checkPair(envPrefix+"KAFKA_TLS_CERT", t.Cert, envPrefix+"KAFKA_TLS_KEY", string(t.Key))
	if t.Cert != "" && t.Key != "" {
		if _, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key)); err != nil {
			l.wrong(envPrefix+"KAFKA_TLS_CERT", "not a pair with BRIDGE_KAFKA_TLS_KEY: %v", err)
		}
	}
	if !t.Enabled && (t.CA != "" || t.Cert != "" || t.ServerName != "") {
		l.wrong(envPrefix+"KAFKA_TLS_ENABLED", "other BRIDGE_KAFKA_TLS_ variables are set; set it to true or leave them out")
	}
	l.checkSASL(k.SASL)
}

func validBroker(broker string) bool {
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return host != "" && err == nil && n > 0
}

// checkPair reports the half that is missing of what makes sense only together.
func (l *loader) checkPair(nameA, a, nameB, b string) {
	switch {
	case a == "" && b != "":
		l.wrong(nameA, "not set, though %s is", nameB)
	case a != "" && b == "":
		l.wrong(nameB, "not set, though %s is", nameA)
	}
}

func (l *loader) checkBasicUser(name, user string) {
	if err := checkBasicUser(user); err != nil {
		l.wrong(name, "%v", err)
	}
}

// checkBasicUser says what is wrong with a user name of HTTP Basic authentication.
func checkBasicUser(user string) error {
	if strings.Contains(user, ":") {
		return errColonInUser
	}
	return nil
}

var errColonInUser = errors.New("has a colon, which HTTP Basic authentication forbids in a user name (RFC 7617)")

// checkURL does not show the value: it may hold a password.
func (l *loader) checkURL(name, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.wrong(name, "not an http or https URL")
	case u.User != nil:
		l.wrong(name, "holds user or password; they have variables of their own")
	case u.RawQuery != "" || u.Fragment != "":
		l.wrong(name, "holds a query or fragment")
	}
}

func (l *loader) checkRoots(name, pem string) {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		l.wrong(name, "holds no certificate in PEM")
	}
}

func (l *loader) checkDuration(name string, d time.Duration) {
	if d <= 0 {
		l.wrong(name, "must be longer than nothing")
	}
}

func (l *loader) checkAddr(name, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		l.wrong(name, "%q is not [host]:port", addr)
	}
}
