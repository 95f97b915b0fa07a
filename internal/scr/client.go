package scr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Client reads the cases of one account. It is safe for concurrent use and
// holds nothing that changes but the connections of its transport and the names
// of unknown fields that its metric shows.
type Client struct {
	http         *http.Client
	clientID     string
	casesURL     string // up to and with the slash before the caseId
	suffix       string // after the caseId
	header       http.Header
	key          *Key
	encryption   Encryption
	allowRSA15   bool
	maxBodyBytes int64
	timeout      time.Duration
	now          func() time.Time
	telemetry    telemetry
}

// NewClient checks cfg, reporting every mistake at once, and makes a client. It
// connects to nothing.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	c := &Client{
		clientID:     cfg.ClientID,
		suffix:       endpoint(cfg.Access, cfg.Scope),
		header:       requestHeader(cfg),
		key:          cfg.Key,
		encryption:   cfg.Encryption,
		allowRSA15:   cfg.AllowRSA15,
		maxBodyBytes: cfg.MaxBodyBytes,
		timeout:      cfg.Timeout,
		now:          cfg.Now,
	}
	if c.maxBodyBytes == 0 {
		c.maxBodyBytes = DefaultMaxBodyBytes
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
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
	c.casesURL = base.JoinPath(basePath, cfg.ClientID, "cases").String() + "/"
	c.telemetry, err = newTelemetry(cfg, base, basePath+"/{clientId}/cases/{caseId}"+c.suffix)
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
	target := c.casesURL + caseID + c.suffix
	ctx, span := c.telemetry.start(ctx, target)
	defer span.End()
	body, err := c.get(ctx, span, target)
	if err != nil {
		endWith(span, err)
		return Case{}, err
	}
	found, err := c.decode(ctx, body, caseID)
	if err != nil {
		endWith(span, err)
		return Case{}, err
	}
	return found, nil
}

var errOtherCase = errors.New("another case than asked for")

// decode turns the body of a good answer into the case that was asked for.
func (c *Client) decode(ctx context.Context, body []byte, caseID string) (Case, error) {
	plain, err := c.open(trimSpace(body))
	if err == nil {
		var found Case
		if found, err = ParseCase(plain); err == nil {
			if found.CaseID == caseID {
				c.telemetry.unknown.count(ctx, unknownFields(plain))
				return found, nil
			}
			err = &RejectedError{Reason: RejectedCase, Err: errOtherCase}
		}
	}
	if rejected, ok := errors.AsType[*RejectedError](err); ok {
		rejected.Status = http.StatusOK
	}
	return Case{}, err
}

// open returns the JSON of an answer. Plain JSON is refused where encryption is
// required: whoever sends it has not shown to know our key (downgrade).
func (c *Client) open(body []byte) ([]byte, error) {
	switch kindOf(body) {
	case bodyJWE:
		if c.key == nil {
			return nil, &RejectedError{Reason: RejectedDecrypt, Err: errNoKey}
		}
		return decrypt(body, c.key, c.allowRSA15, c.maxBodyBytes)
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

// endpoint is what follows the caseId in the path (guide 7.4.1, 7.4.2, 9.3).
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

// requestHeader is the same for every read of the account, so it is made once.
// Content-Type is mandatory on every request (guide 7.2.5), though the samples
// of GET lack it (facts C16), and so are the x-scr headers in production (facts
// C17). There is no Accept: what type a JWE comes as is not documented.
func requestHeader(cfg ClientConfig) http.Header {
	h := http.Header{}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(cfg.Username+":"+cfg.Password)))
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "postident-bridge")
	if cfg.Key != nil {
		h.Set(HeaderAlg, AlgRSAOAEP256)
		h.Set(HeaderKey, cfg.Key.header())
		h.Set(HeaderKeyHash, KeyHash(cfg.Key.public, cfg.DataPassword))
	}
	return h
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
