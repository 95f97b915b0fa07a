package counterpart

import (
	"testing"

	"postident-bridge/internal/testbed"
)

// SecuredKafka is one broker with TLS, SASL and ACLs; see testbed.SecuredKafka. What
// a test does as the super user goes by Kafka. If a verb fails, the test does.
type SecuredKafka struct {
	*Kafka

	// Secured is the address of the listener for SASL_SSL, host:port.
	Secured string

	broker *testbed.SecuredKafka
}

// StartSecuredKafka starts a broker without users. It ends with the test, and takes
// about 6 s and 400 MB.
func StartSecuredKafka(tb testing.TB) *SecuredKafka {
	tb.Helper()
	unlessShort(tb, reportKafka)
	broker, err := testbed.StartSecuredKafka(tb.Context())
	outcome(tb, reportKafka, err)
	tb.Cleanup(func() {
		if err := broker.Down(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	return &SecuredKafka{
		Kafka: &Kafka{Bootstrap: broker.Bootstrap, cluster: broker.Kafka}, Secured: broker.Secured, broker: broker,
	}
}

// CA is the certificate that the present one of the broker is checked by, PEM.
func (k *SecuredKafka) CA() string { return k.broker.CA() }

// WriteTool writes Kafka's kafka-acls.sh and admin.properties into a directory; see
// testbed.SecuredKafka.
func (k *SecuredKafka) WriteTool(tb testing.TB, dir, user, password string) {
	tb.Helper()
	if err := k.broker.WriteTool(dir, user, password); err != nil {
		tb.Fatal(err)
	}
}

// SetCertificate has the broker present a certificate of another authority from now
// on.
func (k *SecuredKafka) SetCertificate(tb testing.TB, by *testbed.Authority) {
	tb.Helper()
	if err := k.broker.SetCertificate(tb.Context(), by); err != nil {
		tb.Fatal(err)
	}
}

// SetUser makes a user with a password, or changes the password of one, for
// SCRAM-SHA-256 and SCRAM-SHA-512.
func (k *SecuredKafka) SetUser(tb testing.TB, name, password string) {
	tb.Helper()
	if err := k.broker.SetUser(tb.Context(), name, password); err != nil {
		tb.Fatal(err)
	}
}

// Allow adds ACLs. The broker goes by them a moment later.
func (k *SecuredKafka) Allow(tb testing.TB, acls ...testbed.ACL) {
	tb.Helper()
	if err := k.broker.Allow(tb.Context(), acls...); err != nil {
		tb.Fatal(err)
	}
}

// Disallow takes ACLs away, for which the same holds.
func (k *SecuredKafka) Disallow(tb testing.TB, acls ...testbed.ACL) {
	tb.Helper()
	if err := k.broker.Disallow(tb.Context(), acls...); err != nil {
		tb.Fatal(err)
	}
}
