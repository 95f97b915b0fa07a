package scr

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
)

// Client reads and archives the cases of one account. It is safe for concurrent
// use and holds nothing that changes but the connections of its transport, the
// names of unknown fields that its metric shows, its credentials, and whether they were
// refused.
type Client struct {
	http       *http.Client
	clientID   string
	access     Access
	casesURL   string // without a slash at its end
	suffix     string // after the caseId, and of lists
	headers    atomic.Pointer[headers]
	key        *Key
	encryption Encryption
	allowRSA15 bool
	single     limits
	many       limits // of lists, and of what is about many cases
	buffers    *Buffers
	whole      limits // of results with the content of records
	now        func() time.Time
	lock       lock
	telemetry  telemetry

	caseRoute, listRoute, archiveRoute *route
}

// limits are those of one exchange.
type limits struct {
	bytes   int64 // of the answer
	timeout time.Duration
}

// NewClient checks cfg, reporting every mistake at once, and makes a client. It
// connects to nothing.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	suffix := endpoint(cfg.Access, cfg.Scope)
	c := &Client{
		clientID:   cfg.ClientID,
		access:     cfg.Access,
		suffix:     suffix,
		key:        cfg.Key,
		encryption: cfg.Encryption,
		allowRSA15: cfg.AllowRSA15,
		single:     limits{cmp.Or(cfg.MaxBodyBytes, DefaultMaxBodyBytes), cmp.Or(cfg.Timeout, DefaultTimeout)},
		many:       limits{cmp.Or(cfg.MaxListBytes, DefaultMaxListBytes), cmp.Or(cfg.ListTimeout, DefaultListTimeout)},
		whole:      limits{cmp.Or(cfg.MaxResultBytes, DefaultMaxResultBytes), cmp.Or(cfg.ResultTimeout, DefaultResultTimeout)},
		buffers:    cmp.Or(cfg.Buffers, NewBuffers()),
		now:        cfg.Now,
		lock:       lock{pause: cmp.Or(cfg.LockFor, DefaultLockFor)},

		caseRoute:    newRoute(httpconv.RequestMethodGet, "/{caseId}"+suffix),
		listRoute:    newRoute(httpconv.RequestMethodGet, suffix),
		archiveRoute: newRoute(httpconv.RequestMethodPatch, "/archive"),
	}
	c.headers.Store(newHeaders(cfg.Username, cfg.Password, cfg.Key, cfg.DataPassword))
	if c.now == nil {
		c.now = time.Now
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport()
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirect would take the credentials and the key to another place. The
		// guide knows none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, errors.New("configure client: malformed base URL") // its own error quotes the URL
	}
	c.casesURL = base.JoinPath(basePath, cfg.ClientID, "cases").String()
	c.telemetry, err = newTelemetry(cfg, base)
	if err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	return c, nil
}

// String names the account and no secret.
func (c *Client) String() string { return "scr client " + c.clientID }

// GoString is String: %#v must not show the credentials either.
func (c *Client) GoString() string { return c.String() }

// CloseIdleConnections closes the connections that no read is using. The client
// stays usable.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// ChangeCredentials makes the next requests bring these; an empty data password is one
// that the account has none of. Requests under way that are refused with those
// before are sent once more. A client that sends nothing because its credentials were
// refused sends the next request as its probe, without waiting any longer.
func (c *Client) ChangeCredentials(username, password, dataPassword string) error {
	switch {
	case username == "" || password == "" || c.key != nil && dataPassword == "":
		return errNoCredentials
	case strings.Contains(username, ":"):
		return errColonInUser
	}
	c.headers.Store(newHeaders(username, password, c.key, dataPassword))
	c.lock.renew(c.now())
	return nil
}

var (
	errNoCredentials = errors.New("change credentials: one that is needed is missing")
	errColonInUser   = errors.New("change credentials: the user name has a colon, which Basic authentication forbids")
)

// Case reads one case, with all identifications unless the scope is primary
// (guide 7.4, 9.3). Apart from the context's own error, which it returns when
// the caller's context ends the read, every error is a *UnavailableError, a
// *NotYetError, an *UnauthorisedError or a *RejectedError, to be told apart with
// errors.As. None holds credentials or anything of the answer's content. Case
// tries once: when to try again is for the caller, who knows the account. Fields
// that no source knows are dropped and counted by path (guide 8.1).
func (c *Client) Case(ctx context.Context, caseID string) (Case, error) {
	if !ValidCaseID(caseID) {
		// It would go into the path of the URL as it stands.
		return Case{}, &RejectedError{Reason: RejectedCase, Err: errNoCaseID}
	}
	target := c.casesURL + "/" + caseID + c.suffix
	ctx, span := c.telemetry.start(ctx, c.caseRoute, target)
	defer span.End()
	r := request{route: c.caseRoute, target: target, limits: c.single}
	var answer wholeBody
	if _, err := c.do(ctx, span, r, &answer); err != nil {
		endWith(span, err)
		return Case{}, err
	}
	found, err := c.decode(ctx, answer.Bytes(), caseID)
	if err != nil {
		endWith(span, err)
		return Case{}, err
	}
	return found, nil
}

var errOtherCase = errors.New("another case than asked for")

// decode turns the body of a good answer into the case that was asked for.
func (c *Client) decode(ctx context.Context, body []byte, caseID string) (Case, error) {
	plain, err := c.open(body, c.single.bytes)
	if err == nil {
		var found Case
		var unknown []string
		if found, unknown, err = parseCase(plain); err == nil {
			if found.CaseID == caseID {
				c.telemetry.unknown.count(ctx, unknown)
				return found, nil
			}
			err = &RejectedError{Reason: RejectedCase, Err: errOtherCase}
		}
	}
	return Case{}, answered(err)
}

// answered adds to an error about the body of an answer that it was a 200.
func answered(err error) error {
	if rejected, ok := errors.AsType[*RejectedError](err); ok {
		rejected.Status = http.StatusOK
	}
	return err
}

// open returns the JSON of an answer to a read, of limit bytes at most. Plain JSON
// is refused where encryption is required: whoever sends it has not shown to know
// our key (downgrade).
func (c *Client) open(body []byte, limit int64) ([]byte, error) {
	body = trimSpace(body)
	switch kindOf(body) {
	case bodyJWE:
		if c.key == nil {
			return nil, &RejectedError{Reason: RejectedDecrypt, Err: errNoKey}
		}
		return decrypt(body, c.key, c.allowRSA15, limit)
	case bodyJSON:
		if c.encryption != EncryptionOptional {
			return nil, &RejectedError{Reason: RejectedPlain}
		}
		return body, nil
	case bodyOther:
	}
	return nil, &RejectedError{Reason: RejectedJSON, Err: errNeither}
}

var (
	errNoKey   = errors.New("encrypted, and the client has no key")
	errNeither = errors.New("neither JSON nor JWE")
)

// endpoint is what follows the caseId in the path, and cases in that of a list
// (guide 7.4.1, 7.4.2, 7.5, 9.3). What a partner may list is said twice (facts
// C15); status data is what partners can read.
func endpoint(access Access, scope Scope) string {
	suffix := ""
	if access == AccessPartner {
		suffix = "/status"
	}
	if scope != ScopePrimary {
		suffix += "/full"
	}
	return suffix
}

// headers are those of every request of the account with its credentials, made once.
type headers struct {
	read  http.Header
	other http.Header
}

// newHeaders makes them. Content-Type is mandatory on every request (guide 7.2.5),
// though the samples of GET lack it (facts C16). There is no Accept: what type a JWE
// comes as is not documented. Reads bring the key, too. In production it is mandatory
// (facts C17); the answers to reads alone are encrypted (facts 1.9).
func newHeaders(username, password string, key *Key, dataPassword string) *headers {
	h := http.Header{}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "postident-bridge")
	read := h.Clone()
	if key != nil {
		read.Set(HeaderAlg, AlgRSAOAEP256)
		read.Set(HeaderKey, key.header())
		read.Set(HeaderKeyHash, KeyHash(key.public, dataPassword))
	}
	return &headers{read: read, other: h}
}

// newTransport is net/http's default with room for the parallel reads of the
// publisher's workers, which all go to one host.
func newTransport() http.RoundTripper {
	const idlePerHost = 32
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := shared.Clone()
	own.MaxIdleConnsPerHost = idlePerHost
	own.MaxResponseHeaderBytes = 256 << 10
	return own
}
