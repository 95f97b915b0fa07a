package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// testCertificate is the one that net/http's test servers use for 127.0.0.1,
// which is its own issuer.
func testCertificate(t *testing.T) (pair tls.Certificate, asPEM string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	t.Cleanup(server.Close)
	pair = server.TLS.Certificates[0]
	return pair, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
}

func TestKafkaOverTLSWithSASL(t *testing.T) {
	t.Parallel()
	pair, ca := testCertificate(t)
	broker, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}),
		kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "u", "canary-plain"),
		kfake.Superuser("SCRAM-SHA-256", "u", "canary-256"),
		kfake.Superuser("SCRAM-SHA-512", "u", "canary-512"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := func(mechanism, password string) []string {
		return []string{
			"BRIDGE_KAFKA_BROKERS=" + strings.Join(broker.ListenAddrs(), ","),
			"BRIDGE_KAFKA_TLS_ENABLED=true", "BRIDGE_KAFKA_TLS_CA_FILE=" + caFile,
			"BRIDGE_KAFKA_SASL_MECHANISM=" + mechanism, "BRIDGE_KAFKA_SASL_USERNAME=u", "BRIDGE_KAFKA_SASL_PASSWORD=" + password,
		}
	}
	for mechanism, password := range map[string]string{"PLAIN": "canary-plain", "SCRAM-SHA-256": "canary-256", "SCRAM-SHA-512": "canary-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			if got := runMain(t, environ(mechanism, password), "topics", "apply", "--replication", "1"); got.code != exitDone {
				t.Errorf("exit %d: %s", got.code, got.stderr)
			}
			got := runMain(t, environ(mechanism, "canary-wrong"), "topics", "check", "--replication", "1")
			if got.code != exitFailed || got.stderr == "" || strings.Contains(got.stderr, "canary") {
				t.Errorf("wrong password: exit %d: %s", got.code, got.stderr)
			}
		})
	}
	untrusted := append(environ("PLAIN", "canary-plain"), "BRIDGE_KAFKA_TLS_CA_FILE=")
	if got := runMain(t, untrusted, "topics", "check"); got.code != exitFailed || !strings.Contains(got.stderr, "certificate") {
		t.Errorf("a certificate that nobody vouches for: exit %d: %s", got.code, got.stderr)
	}
}

func TestQuietLogger(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"debug": "debug info warn error", "info": "warn error", "warn": "warn error", "error": "error"} {
		var out bytes.Buffer
		ctx := context.Background()
		logger := quietLogger(ctx, newLogger(&out, logSettings{Level: level, Format: "text"})).With("a", 1).WithGroup("g")
		var got []string
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			out.Reset()
			if logger.Log(ctx, l, "m"); out.Len() > 0 {
				got = append(got, strings.ToLower(l.String()))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(strings.Fields(want)) {
			t.Errorf("level %s passes %v, want %s", level, got, want)
		}
	}
}
