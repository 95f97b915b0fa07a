package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"

	"postident-bridge/internal/login"
	"postident-bridge/internal/rotate"
)

// kafkaOptions turns the settings into what every Kafka client of the process
// has in common. The settings were checked before; an error here is one that
// only building the options can find. What stands in files is kept current by the
// watch: each new connection logs in with what is valid then.
func kafkaOptions(ctx context.Context, s *settings, watch *rotate.Watch, logger *slog.Logger) ([]kgo.Opt, error) {
	k := s.Kafka
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID(k.ClientID),
		kgo.WithLogger(kslog.New(quietLogger(ctx, logger))),
	}
	if k.TLS.Enabled {
		c, err := s.kafkaCertificates(watch)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(c.dial))
	}
	if k.SASL.Mechanism != "" {
		mechanism, err := s.saslMechanism(ctx, watch)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func (s *settings) kafkaCertificates(watch *rotate.Watch) (*certificates, error) {
	t := s.Kafka.TLS
	c := &certificates{serverName: t.ServerName}
	roots := s.file(envPrefix+"KAFKA_TLS_CA", t.CA)
	if err := c.trust(roots.Value); err != nil {
		return nil, fmt.Errorf("read %s: %w", roots.Variable, err)
	}
	watch.Add(func(values []string) error { return c.trust(values[0]) }, roots)
	if t.Cert == "" {
		return c, nil
	}
	cert, key := s.file(envPrefix+"KAFKA_TLS_CERT", t.Cert), s.file(envPrefix+"KAFKA_TLS_KEY", string(t.Key))
	if err := c.present(cert.Value, key.Value); err != nil {
		return nil, fmt.Errorf("read %s: %w", cert.Variable, err)
	}
	watch.Add(func(values []string) error { return c.present(values[0], values[1]) }, cert, key)
	return c, nil
}

// The ways to log in to Kafka.
const (
	saslPlain       = "PLAIN"
	saslScramSHA256 = "SCRAM-SHA-256"
	saslScramSHA512 = "SCRAM-SHA-512"
	saslOAuth       = "OAUTHBEARER"
	saslMSKIAM      = "AWS_MSK_IAM"
)

// saslMechanism is how to log in. The client asks it anew at each login.
func (s *settings) saslMechanism(ctx context.Context, watch *rotate.Watch) (sasl.Mechanism, error) {
	k := s.Kafka.SASL
	switch k.Mechanism {
	case saslPlain:
		login := s.saslLogin(watch)
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			user, password := login.Get()
			return plain.Auth{User: user, Pass: password}, nil
		}), nil
	case saslScramSHA256, saslScramSHA512:
		login := s.saslLogin(watch)
		auth := func(context.Context) (scram.Auth, error) {
			user, password := login.Get()
			return scram.Auth{User: user, Pass: password}, nil
		}
		if k.Mechanism == saslScramSHA256 {
			return scram.Sha256(auth), nil
		}
		return scram.Sha512(auth), nil
	case saslOAuth:
		return s.oauthMechanism(watch)
	case saslMSKIAM:
		return login.MSKIAM(ctx)
	default:
		return nil, fmt.Errorf("log in to Kafka: unknown mechanism %q", k.Mechanism)
	}
}

// saslLogin is the user of PLAIN and SCRAM with the password.
func (s *settings) saslLogin(watch *rotate.Watch) *rotate.Pair {
	k := s.Kafka.SASL
	return watch.Pair(s.file(envPrefix+"KAFKA_SASL_USERNAME", k.Username), s.file(envPrefix+"KAFKA_SASL_PASSWORD", string(k.Password)), nil)
}

// tokenTimeout bounds one request for a token; a new connection without a token
// waits for it.
const tokenTimeout = 10 * time.Second

func (s *settings) oauthMechanism(watch *rotate.Watch) (sasl.Mechanism, error) {
	o := s.Kafka.SASL.OAuth
	extensions, err := o.Extensions.pairs()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", oauthPrefix+"EXTENSIONS", err)
	}
	if o.TokenURL == "" {
		token := watch.Text(s.file(oauthPrefix+"TOKEN", string(o.Token)), checkToken)
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			return oauth.Auth{Token: token.Get(), Extensions: extensions}, nil
		}), nil
	}
	transport, err := newHTTPTransport(watch, s.file(oauthPrefix+"CA", o.CA))
	if err != nil {
		return nil, err
	}
	endpoint := &login.Endpoint{
		URL: o.TokenURL, Scopes: strings.Fields(o.Scope),
		Credentials: watch.Pair(s.file(oauthPrefix+"CLIENT_ID", o.ClientID), s.file(oauthPrefix+"CLIENT_SECRET", string(o.ClientSecret)), nil).Get,
		Client:      &http.Client{Transport: transport, Timeout: tokenTimeout},
	}
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := endpoint.Token(ctx)
		return oauth.Auth{Token: token, Extensions: extensions}, err
	}), nil
}

// quietLogger passes the Kafka client's informational messages (metadata
// updates, every step of a group) on only where the operator asked for debug.
func quietLogger(ctx context.Context, logger *slog.Logger) *slog.Logger {
	if logger.Enabled(ctx, slog.LevelDebug) {
		return logger
	}
	return slog.New(&warningsOnly{logger.Handler()})
}

// warningsOnly is a handler that drops what is below a warning.
type warningsOnly struct{ slog.Handler }

// Enabled reports whether a record of the level is passed on.
func (h *warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the limit on the handler that it returns.
func (h *warningsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &warningsOnly{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the limit on the handler that it returns.
func (h *warningsOnly) WithGroup(name string) slog.Handler {
	return &warningsOnly{h.Handler.WithGroup(name)}
}
