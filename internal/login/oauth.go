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
	URL         string
	Credentials func() (id, secret string) // asked before each request, because they change
	Scopes      []string
	Client      *http.Client     // with a time-out, which bounds each request
	Now         func() time.Time // nil means time.Now

	mu      sync.Mutex
	token   string    // guarded by mu
	renew   time.Time // guarded by mu: when to ask for another
	expiry  time.Time // guarded by mu
	request *request  // guarded by mu: the one under way, nil for none
}

const (
	// renewAgain is how long a token that is still good is given without another
	// try, after a request for the next one began.
	renewAgain = 30 * time.Second
	// renewPatience is how long whoever begins that request waits for it: a good
	// endpoint has answered by then, and a token that has its life before it is
	// better than one that has not.
	renewPatience = time.Second
)

// request is one under way to the endpoint. All who need a token wait for the same.
type request struct {
	done  chan struct{} // closed when the others are set
	token string
	err   error // a *TokenError
}

// Token gives a token that is good now. While the endpoint is away or does not
// answer, one that has not expired is given, and nobody but whoever asks for the next
// waits, for a second; a failed request is repeated 30 s later at the earliest.
// Without such a token all wait for the endpoint, as long as their contexts last. The
// error is a *TokenError.
func (e *Endpoint) Token(ctx context.Context) (string, error) {
	e.mu.Lock()
	now := e.now()
	good := now.Before(e.expiry)
	if good && now.Before(e.renew) {
		defer e.mu.Unlock()
		return e.token, nil
	}
	r, token, began := e.request, e.token, e.request == nil
	if began {
		r = &request{done: make(chan struct{})}
		// Whatever comes of it, also for an owner that goes away: the request is of
		// all who wait.
		e.request, e.renew = r, now.Add(renewAgain)
		go e.ask(context.WithoutCancel(ctx), r, now)
	}
	e.mu.Unlock()
	if !good {
		select {
		case <-r.done:
			return r.token, r.err
		case <-ctx.Done():
			return "", &TokenError{Err: ctx.Err()}
		}
	}
	if began {
		patience, cancel := context.WithTimeout(ctx, renewPatience)
		defer cancel()
		select {
		case <-r.done:
			if r.err == nil {
				return r.token, nil
			}
		case <-patience.Done():
		}
	}
	return token, nil
}

func (e *Endpoint) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// ask sends a request and tells what came of it.
func (e *Endpoint) ask(ctx context.Context, r *request, began time.Time) {
	id, secret := e.Credentials()
	cfg := clientcredentials.Config{
		ClientID: id, ClientSecret: secret, TokenURL: e.URL, Scopes: e.Scopes,
		AuthStyle: oauth2.AuthStyleInHeader, // what every endpoint has to understand (RFC 6749, 2.3.1)
	}
	token, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, e.Client))
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(r.done)
	e.request = nil
	if err != nil {
		r.err = tokenError(err)
		return
	}
	r.token = token.AccessToken
	e.token, e.renew, e.expiry = token.AccessToken, time.Time{}, token.Expiry
	if !token.Expiry.IsZero() { // else nobody knows how long it is good
		e.renew = began.Add(token.Expiry.Sub(began) * 4 / 5)
	}
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
