package counterpart_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/testbed"
)

// tries connects as a user by the secured listener and writes to a topic once.
func tries(t *testing.T, k *counterpart.SecuredKafka, ca, password, topic string) error {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		t.Fatal("the CA is no PEM")
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(k.Secured), kgo.DialTLSConfig(&tls.Config{RootCAs: roots}),
		kgo.SASL(scram.Auth{User: "writer", Pass: password}.AsSha512Mechanism()),
		kgo.RecordDeliveryTimeout(10*time.Second), kgo.RecordRetries(3), kgo.UnknownTopicRetries(1),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		return err
	}
	return client.ProduceSync(t.Context(), &kgo.Record{Topic: topic}).FirstErr()
}

func TestSecuredKafkaLetsInWhoMay(t *testing.T) {
	t.Parallel()
	k := counterpart.StartSecuredKafka(t)
	const topic = "secured"
	createTopic(t, newClient(t, k.Kafka), topic, 1)
	k.SetUser(t, "writer", "first")
	write := testbed.ACL{User: "writer", Operation: kmsg.ACLOperationWrite, Resource: kmsg.ACLResourceTypeTopic, Name: "sec", Prefixed: true}

	until := func(what, ca, password string, good func(error) bool) {
		t.Helper()
		var err error
		for range 100 { // the broker takes a change over a moment after it is made
			if err = tries(t, k, ca, password, topic); good(err) {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-t.Context().Done():
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	passes := func(err error) bool { return err == nil }
	denied := func(err error) bool { return errors.Is(err, kerr.TopicAuthorizationFailed) }
	refused := func(err error) bool { return errors.Is(err, kerr.SaslAuthenticationFailed) }

	until("no right yet", k.CA(), "first", denied)
	k.Allow(t, write)
	until("a right", k.CA(), "first", passes)
	k.Disallow(t, write)
	until("the right is gone", k.CA(), "first", denied)
	k.Allow(t, write)
	until("a wrong password", k.CA(), "second", refused)
	k.SetUser(t, "writer", "second")
	until("another password", k.CA(), "second", passes)
	until("the old password", k.CA(), "first", refused)

	before := k.CA()
	authority, err := testbed.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	k.SetCertificate(t, authority)
	until("another authority", k.CA(), "second", passes)
	until("the old authority", before, "second", func(err error) bool {
		_, ok := errors.AsType[*tls.CertificateVerificationError](err)
		return ok
	})
}
