package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"
)

// kafkaOptions turns the settings into what every Kafka client of the process
// has in common. The settings were checked before; an error here is one that
// only building the options can find.
func kafkaOptions(ctx context.Context, s kafkaSettings, logger *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.ClientID(s.ClientID),
		kgo.WithLogger(kslog.New(quietLogger(ctx, logger))),
	}
	if s.TLS.Enabled {
		conf, err := tlsConfig(s.TLS.CA, s.TLS.Cert, string(s.TLS.Key))
		if err != nil {
			return nil, fmt.Errorf("read BRIDGE_KAFKA_TLS_*: %w", err)
		}
		conf.ServerName = s.TLS.ServerName
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	if mechanism := saslMechanism(s.SASL); mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func saslMechanism(s saslSettings) sasl.Mechanism {
	user, password := s.Username, string(s.Password)
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	default: // not set; the settings allow nothing else
		return nil
	}
}

// tlsConfig trusts the certificates of ca, or those of the system where ca is
// empty, and presents cert with key where they are given.
func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	if cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return nil, fmt.Errorf("pair certificate and key: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
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
