// Package login gets what a Kafka client logs in with where that is no password:
// tokens of OAuth, and credentials of AWS.
package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Endpoint is an OAuth token endpoint that is asked with client credentials
// (RFC 6749, 4.4). It keeps a token for the first four fifths of its life, as
// Kafka's own client does. Safe for concurrent use.
type Endpoint struct {
	URL      string
	ClientID string
	Secret   func() string // asked before each request, because secrets change
	Scopes   []string
	Client   *http.Client     // with a time-out: who waits for a token waits that long
	Now      func() time.Time // nil means time.Now

	mu     sync.Mutex
	token  string    // guarded by mu
	renew  time.Time // guarded by mu: when to ask for another
	expiry time.Time // guarded by mu
}

// Token gives a token that is good now. One that has not expired is given again
// where the endpoint is away. The error is a *TokenError.
func (e *Endpoint) Token(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	began := now()
	if began.Before(e.renew) {
		return e.token, nil
	}
	cfg := clientcredentials.Config{
		ClientID: e.ClientID, ClientSecret: e.Secret(), TokenURL: e.URL, Scopes: e.Scopes,
		AuthStyle: oauth2.AuthStyleInHeader, // what every endpoint has to understand (RFC 6749, 2.3.1)
	}
	token, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, e.Client))
	if err != nil {
		if now().Before(e.expiry) {
			return e.token, nil
		}
		return "", tokenError(err)
	}
	e.token, e.renew, e.expiry = token.AccessToken, time.Time{}, token.Expiry
	if !token.Expiry.IsZero() { // else nobody knows how long it is good
		e.renew = began.Add(token.Expiry.Sub(began) * 4 / 5)
	}
	return e.token, nil
}

// TokenError says why a token endpoint gave none. It shows nothing of the request
// or the answer but the status and the error codes that RFC 6749 knows.
type TokenError struct {
	Status int    // of HTTP; 0: no answer came
	Code   string // "invalid_client" and the like, "" for none or one that is not known
	Err    error  // why no answer came, or what is wrong with it
}

// Error names the status, the code or the reason.
func (e *TokenError) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("ask for OAuth token: %v", e.Err)
	case e.Code != "":
		return fmt.Sprintf("ask for OAuth token: endpoint answered %d, %s", e.Status, e.Code)
	default:
		return fmt.Sprintf("ask for OAuth token: endpoint answered %d", e.Status)
	}
}

// Unwrap gives the reason.
func (e *TokenError) Unwrap() error { return e.Err }

// Temporary says that it may be otherwise soon, so that a Kafka client tries again
// by itself.
func (e *TokenError) Temporary() bool {
	return e.Status == 0 || e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

// tokenCodes are those of RFC 6749, 5.2.
var tokenCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

var errNoToken = errors.New("the answer is no token")

// tokenError keeps of an error of oauth2, which quotes the answer, what can be shown.
func tokenError(err error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		out := &TokenError{Status: answer.Response.StatusCode}
		if slices.Contains(tokenCodes, answer.ErrorCode) {
			out.Code = answer.ErrorCode
		}
		return out
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		return &TokenError{Err: network.Err}
	}
	return &TokenError{Err: errNoToken}
}
