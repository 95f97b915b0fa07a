package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/testbed"
)

// mounted is a Secret whose files are settings.
type mounted struct {
	*counterpart.MountedSecret
}

func mount(t *testing.T, content map[string]string) mounted {
	t.Helper()
	return mounted{counterpart.MountSecret(t, content)}
}

// environ names the files by VARIABLE=file.
func (m mounted) environ(files map[string]string) []string {
	var out []string
	for variable, name := range files {
		out = append(out, variable+fileSuffix+"="+m.Path(name))
	}
	return out
}

// authority is a certificate authority that fails the test.
type authority struct {
	*testbed.Authority
	t *testing.T
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	made, err := testbed.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return authority{made, t}
}

func (a authority) issue(name string) (cert, key string) {
	a.t.Helper()
	cert, key, err := a.Issue(name)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// guarded is a broker in this process that asks for TLS with a client's certificate.
// Its certificates can change, and its connections can be cut.
type guarded struct {
	*kfake.Cluster
	t      *testing.T
	config atomic.Pointer[tls.Config]

	mu   sync.Mutex
	open []net.Conn // guarded by mu
}

func startGuarded(t *testing.T, more ...kfake.Opt) *guarded {
	t.Helper()
	g := &guarded{t: t}
	var err error
	g.Cluster, err = kfake.NewCluster(append(more,
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			listener, err := net.Listen(network, address)
			return &cutListener{listener, g}, err
		}),
		kfake.TLS(&tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.config.Load(), nil },
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// present has new connections see a certificate of server, and asks them for one of
// client.
func (g *guarded) present(server, client authority) {
	g.t.Helper()
	cert, key := server.issue("broker")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		g.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(client.CA))
	g.config.Store(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
}

// cut ends every connection, so that whoever had one has to log in again.
func (g *guarded) cut() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	cut := len(g.open)
	for _, c := range g.open {
		_ = c.Close()
	}
	g.open = nil
	return cut
}

func (g *guarded) environ(more ...string) []string {
	return append(more, "BRIDGE_KAFKA_BROKERS="+strings.Join(g.ListenAddrs(), ","), "BRIDGE_KAFKA_TLS_ENABLED=true")
}

type cutListener struct {
	net.Listener
	g *guarded
}

func (l *cutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.g.mu.Lock()
		l.g.open = append(l.g.open, conn)
		l.g.mu.Unlock()
	}
	return conn, err
}

// hooksUnderWay sends webhooks without a pause, each with the login of its moment.
type hooksUnderWay struct {
	login atomic.Pointer[[2]string] // user and password
	sent  atomic.Int64
	stop  chan struct{}
	wg    sync.WaitGroup

	mu  sync.Mutex
	bad map[string]int // guarded by mu: answers that are not 200, and how many
}

// sendHooks sends from four senders until end.
func sendHooks(t *testing.T, bridge *program, clientID, user, password string) *hooksUnderWay {
	t.Helper()
	h := &hooksUnderWay{stop: make(chan struct{}), bad: make(map[string]int)}
	h.bring(user, password)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 5 * time.Second}
	for sender := range 4 {
		h.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-h.stop:
					return
				default:
				}
				h.send(client, "http://"+bridge.where.Webhook+"/webhooks/"+clientID, fmt.Sprintf("CASE%d%06d", sender, i))
			}
		})
	}
	t.Cleanup(func() {
		h.end()
		client.CloseIdleConnections()
	})
	return h
}

// bring has webhooks come with another login.
func (h *hooksUnderWay) bring(user, password string) { h.login.Store(&[2]string{user, password}) }

func (h *hooksUnderWay) send(client *http.Client, url, caseID string) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"caseId":"`+caseID+`"}`))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	login := h.login.Load()
	req.SetBasicAuth(login[0], login[1])
	defer h.sent.Add(1)
	resp, err := client.Do(req)
	if err != nil {
		h.note(err.Error())
		return
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		h.note(resp.Status)
	}
}

func (h *hooksUnderWay) note(outcome string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bad[outcome]++
}

// more waits until so many were answered from now on.
func (h *hooksUnderWay) more(t *testing.T, n int64) {
	t.Helper()
	want := h.sent.Load() + n
	eventually(t, "more webhooks are answered", func() bool { return h.sent.Load() >= want })
}

// end stops the senders and returns what was not answered 200.
func (h *hooksUnderWay) end() map[string]int {
	select {
	case <-h.stop:
	default:
		close(h.stop)
	}
	h.wg.Wait()
	return h.bad
}
