package testbed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SecuredKafka is one broker with a listener for SASL_SSL and an authorizer that
// denies what no ACL allows. Who comes by the plain listener of Kafka.Bootstrap
// is User:ANONYMOUS, the super user: the door of the test, and of what else the
// test runs. What is tried comes by Secured.
type SecuredKafka struct {
	*Kafka

	// Secured is the address of the listener for SASL_SSL, host:port, with the
	// mechanisms SCRAM-SHA-256 and SCRAM-SHA-512.
	Secured string

	authority *Authority
}

// securedListener is its name, as the properties of the broker have it too.
const securedListener = "SECURED"

// StartSecuredKafka starts a broker of that kind, with an authority of its own
// and no users.
func StartSecuredKafka(ctx context.Context) (*SecuredKafka, error) {
	dir, err := dataDir("", "kafka")
	if err != nil {
		return nil, err
	}
	k := &SecuredKafka{Kafka: &Kafka{Dir: dir}}
	fail := func(err error) (*SecuredKafka, error) { return nil, errors.Join(err, os.RemoveAll(dir)) }
	if k.authority, err = NewAuthority(); err != nil {
		return fail(err)
	}
	keystore, err := k.writeKeystore("broker", k.authority)
	if err != nil {
		return fail(err)
	}
	ports, err := FreePorts(ctx, 1)
	if err != nil {
		return fail(err)
	}
	k.Secured = fmt.Sprintf("127.0.0.1:%d", ports[0])
	const own = "listener.name.secured."
	const login = ".sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
	k.Kafka, err = StartKafka(ctx, KafkaOptions{
		Brokers: 1, Dir: dir,
		Listeners: [][]Listener{{{Name: securedListener, Port: ports[0], Advertised: ports[0], Protocol: "SASL_SSL"}}},
		Properties: []string{
			own + "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512",
			own + "scram-sha-256" + login, own + "scram-sha-512" + login,
			own + "ssl.keystore.type=PEM", own + "ssl.keystore.location=" + keystore,
			"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users=User:ANONYMOUS", "allow.everyone.if.no.acl.found=false",
		},
	})
	if err != nil {
		return fail(err)
	}
	return k, nil
}

// WriteTool writes a kafka-acls.sh, which does what that of Apache Kafka does, into a
// directory, and beside it admin.properties, by which the tool logs in as a user.
func (k *SecuredKafka) WriteTool(dir, user, password string) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.crt")
	properties := fmt.Sprintf(`security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";
ssl.truststore.type=PEM
ssl.truststore.location=%s
`, user, password, ca)
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{ca, k.CA(), 0o600},
		{filepath.Join(dir, "admin.properties"), properties, 0o600},
		{filepath.Join(dir, "kafka-acls.sh"), fmt.Sprintf("#!/bin/sh\nexec '%s' acls \"$@\"\n", filepath.Join(root, kafkaScript)), 0o700},
	} {
		if err := os.WriteFile(f.path, []byte(f.content), f.mode); err != nil {
			return fmt.Errorf("write Kafka's tool: %w", err)
		}
	}
	return nil
}

// CA is the certificate that the present one of the broker is checked by, PEM.
func (k *SecuredKafka) CA() string { return k.authority.CA }

// writeKeystore issues a certificate and writes it with its key as Kafka reads
// both.
func (k *SecuredKafka) writeKeystore(name string, by *Authority) (path string, err error) {
	cert, key, err := by.Issue("broker")
	if err != nil {
		return "", err
	}
	path = filepath.Join(k.Dir, name+".pem")
	if err := os.WriteFile(path, []byte(key+cert), 0o600); err != nil {
		return "", fmt.Errorf("write keystore: %w", err)
	}
	return path, nil
}

// SetCertificate has the broker present a certificate of another authority, for
// connections that are made from now on.
func (k *SecuredKafka) SetCertificate(ctx context.Context, by *Authority) error {
	keystore, err := k.writeKeystore(fmt.Sprintf("broker-%d", rand.Int64()), by) //nolint:gosec // a name that is not taken
	if err != nil {
		return err
	}
	return k.asSuperUser(func(client *kgo.Client) error {
		// By the listener's own name: the broker reads the file anew.
		changed, err := kadm.NewClient(client).AlterBrokerConfigs(ctx, []kadm.AlterConfig{
			{Op: kadm.SetConfig, Name: "listener.name.secured.ssl.keystore.location", Value: &keystore},
		}, 1)
		for _, c := range changed {
			err = errors.Join(err, c.Err)
		}
		if err != nil {
			return fmt.Errorf("set certificate of the broker: %w", err)
		}
		k.authority = by
		return nil
	})
}

// SetUser makes a user with a password, or changes the password of one, for both
// mechanisms. Connections that are open stay so.
func (k *SecuredKafka) SetUser(ctx context.Context, name, password string) error {
	return k.asSuperUser(func(client *kgo.Client) error {
		// One at a time: a request may name a user once.
		for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
			altered, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
				{User: name, Mechanism: mechanism, Iterations: 4096, Password: password},
			})
			if err = errors.Join(err, altered.Error()); err != nil {
				return fmt.Errorf("set user %s: %w", name, err)
			}
		}
		return nil
	})
}

// ACL lets a user do something with a resource.
type ACL struct {
	User      string
	Operation kmsg.ACLOperation
	Resource  kmsg.ACLResourceType
	Name      string // of the resource; that of the cluster is kafka-cluster
	Prefixed  bool   // Name is how the names of resources begin
}

func (a ACL) pattern() kmsg.ACLResourcePatternType {
	if a.Prefixed {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
}

// Allow adds ACLs. The broker goes by them a moment later.
func (k *SecuredKafka) Allow(ctx context.Context, acls ...ACL) error {
	req := kmsg.NewPtrCreateACLsRequest()
	for _, a := range acls {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = a.Resource, a.Name, a.pattern()
		c.Principal, c.Host = "User:"+a.User, "*"
		c.Operation, c.PermissionType = a.Operation, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	return k.asSuperUser(func(client *kgo.Client) error {
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return fmt.Errorf("create ACLs: %w", err)
		}
		for _, r := range resp.Results {
			err = errors.Join(err, kerr.ErrorForCode(r.ErrorCode))
		}
		if err != nil {
			return fmt.Errorf("create ACLs: %w", err)
		}
		return nil
	})
}

// Disallow takes ACLs away, for which the same holds. It is an error if there is
// none to take.
func (k *SecuredKafka) Disallow(ctx context.Context, acls ...ACL) error {
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, a := range acls {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = a.Resource, &a.Name, a.pattern()
		principal, host := "User:"+a.User, "*"
		f.Principal, f.Host = &principal, &host
		f.Operation, f.PermissionType = a.Operation, kmsg.ACLPermissionTypeAllow
		req.Filters = append(req.Filters, f)
	}
	return k.asSuperUser(func(client *kgo.Client) error {
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return fmt.Errorf("delete ACLs: %w", err)
		}
		for _, r := range resp.Results {
			err = errors.Join(err, kerr.ErrorForCode(r.ErrorCode))
			if len(r.MatchingACLs) == 0 {
				err = errors.Join(err, errors.New("there is none"))
			}
		}
		if err != nil {
			return fmt.Errorf("delete ACLs: %w", err)
		}
		return nil
	})
}

// asSuperUser lends do a client.
func (k *SecuredKafka) asSuperUser(do func(*kgo.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.Bootstrap, ",")...))
	if err != nil {
		return fmt.Errorf("open kafka client: %w", err)
	}
	defer client.Close()
	return do(client)
}
