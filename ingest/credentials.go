package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// credentials are what an account's webhooks must bring. They do not change: a new
// user or password makes new ones.
type credentials struct {
	now basicDigests
	// before is good until a time: the sender learns of a change at another moment
	// than we do. It is one pair as well: its user goes with its password only.
	before basicDigests
	until  time.Time // zero: there is none before
}

// basicDigests are those of a user and a password.
type basicDigests struct {
	username, password [sha256.Size]byte
	// authorization is the header that brings both as every sender writes it.
	authorization [sha256.Size]byte
}

func newBasicDigests(username, password string) basicDigests {
	return basicDigests{
		username: sha256.Sum256([]byte(username)),
		password: sha256.Sum256([]byte(password)),
		authorization: sha256.Sum256([]byte(
			"Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)))),
	}
}

// ChangeCredentials makes user name and password the ones that the account's webhooks
// must bring. The pair before is taken too for the grace period of the configuration,
// and none that is older. Safe while webhooks are served. It is an error for an
// account that does not exist or has no credentials, and for a pair that cannot be.
func (w *Webhook) ChangeCredentials(clientID, username, password string) error {
	acc := w.accounts[clientID]
	if acc == nil || acc.credentials.Load() == nil {
		return fmt.Errorf("change webhook credentials of %s: no account with credentials", clientID)
	}
	if username == "" || password == "" || strings.Contains(username, ":") {
		return fmt.Errorf("change webhook credentials of %s: user name or password is missing, or the user name has a colon (RFC 7617)", clientID)
	}
	next := &credentials{now: newBasicDigests(username, password)}
	if w.grace > 0 {
		next.before, next.until = acc.credentials.Load().now, w.now().Add(w.grace)
	}
	acc.credentials.Store(next)
	return nil
}

// admits compares the request's credentials with the account's at a time, in one
// that tells neither content nor length. Outdated are those that it takes only for the
// grace period.
func (a *account) admits(r *http.Request, at time.Time) (ok, outdated bool) {
	c := a.credentials.Load()
	if c == nil {
		return true, false
	}
	header := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	if c.now.match(r, header) {
		return true, false
	}
	outdated = at.Before(c.until) && c.before.match(r, header)
	return outdated, outdated
}

// match compares what a request brings; header is the digest of its Authorization.
func (d *basicDigests) match(r *http.Request, header [sha256.Size]byte) bool {
	// No decoding, where the header is as every sender writes it. What else may be
	// right is found below; that it took longer tells nothing but that the header is
	// not this one, and the answer tells that too.
	if subtle.ConstantTimeCompare(header[:], d.authorization[:]) == 1 {
		return true
	}
	username, password, ok := r.BasicAuth()
	u, p := sha256.Sum256([]byte(username)), sha256.Sum256([]byte(password))
	return ok && subtle.ConstantTimeCompare(u[:], d.username[:])&subtle.ConstantTimeCompare(p[:], d.password[:]) == 1
}
