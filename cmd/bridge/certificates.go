package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"postident-bridge/internal/rotate"
)

const (
	// dialTimeout bounds one connection to a broker, the handshake included, as the
	// Kafka client's own dialer does.
	dialTimeout = 10 * time.Second
	// handshakeTimeout bounds the handshake of an HTTP connection.
	handshakeTimeout = 10 * time.Second
)

// certificates are what TLS connections are made with. They may change while the
// process runs: connections that are open stay, new ones use the new.
type certificates struct {
	serverName string                          // "" for the host's
	roots      atomic.Pointer[x509.CertPool]   // nil for those of the system
	pair       atomic.Pointer[tls.Certificate] // nil for none
}

var errNoCertificate = errors.New("holds no certificate in PEM")

// trust takes the certificates of a PEM, or those of the system where it is empty.
func (c *certificates) trust(pem string) error {
	if pem == "" {
		c.roots.Store(nil)
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(pem)) {
		return errNoCertificate
	}
	c.roots.Store(roots)
	return nil
}

// present takes the certificate to show, and its key.
func (c *certificates) present(cert, key string) error {
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return fmt.Errorf("pair certificate and key: %w", err)
	}
	c.pair.Store(&pair)
	return nil
}

// config is that of a connection that is made now.
func (c *certificates) config() *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName, RootCAs: c.roots.Load()}
	if pair := c.pair.Load(); pair != nil {
		conf.Certificates = []tls.Certificate{*pair}
	}
	return conf
}

// dial opens a TLS connection with what is valid now. Whoever answers has to be the
// host of the address, unless a server name is set.
func (c *certificates) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := tls.Dialer{NetDialer: new(net.Dialer), Config: c.config()}
	return dialer.DialContext(ctx, network, address)
}

// httpTransport is an HTTP transport whose roots may change. Safe for concurrent use.
type httpTransport struct {
	current atomic.Pointer[http.Transport]
}

// newHTTPTransport trusts the certificates of a setting, as they are in its file.
func newHTTPTransport(watch *rotate.Watch, roots rotate.Setting) (*httpTransport, error) {
	t := new(httpTransport)
	if err := t.trust(roots.Value); err != nil {
		return nil, fmt.Errorf("read %s: %w", roots.Variable, err)
	}
	watch.Add(func(values []string) error { return t.trust(values[0]) }, roots)
	return t, nil
}

func (t *httpTransport) trust(pem string) error {
	var c certificates
	if err := c.trust(pem); err != nil {
		return err
	}
	before := t.current.Swap(&http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     c.config(),
		TLSHandshakeTimeout: handshakeTimeout,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     30 * time.Second,
	})
	if before != nil {
		before.CloseIdleConnections()
	}
	return nil
}

// RoundTrip sends a request over a connection that is trusted now.
func (t *httpTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

// CloseIdleConnections closes the connections that no request is using.
func (t *httpTransport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }
