package scr

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Access says which endpoints an account may read.
type Access string

// The accesses. The zero value counts as AccessClient.
const (
	AccessClient  Access = "client"
	AccessPartner Access = "partner" // status endpoints only (guide 9.3)
)

// Scope says which identifications of a case are read.
type Scope string

// The scopes. The zero value counts as ScopeAll. ScopePrimary misses an attempt
// that was cancelled before the user changed the method (facts 3.2).
const (
	ScopeAll     Scope = "all"
	ScopePrimary Scope = "primary"
)

// Encryption says whether a plain JSON answer is taken.
type Encryption string

// The encryptions. The zero value counts as EncryptionRequired.
// EncryptionOptional is for the test environment (guide 7.8).
const (
	EncryptionRequired Encryption = "required"
	EncryptionOptional Encryption = "optional"
)

// Limits of a read where ClientConfig leaves them zero. DefaultTimeout is half of
// the publisher's deadline for a read, which has the wait for a free slot in it:
// a slow API has to show as its own timeout, not as the caller's end.
const (
	DefaultMaxBodyBytes = 8 << 20
	DefaultTimeout      = 10 * time.Second
)

// Limits of a list where ClientConfig leaves them zero. A list holds at most 1,000
// cases and no binary data (guide 7.5.1); a full case without is about 6 kB, and
// in a JWE a third more. DefaultMaxListBytes leaves each eight times that.
// DefaultListTimeout lets such a list of 8 MB come over a line of 150 kB/s; whoever
// needs more can ask for less of the past at once.
const (
	DefaultMaxListBytes = 64 << 20
	DefaultListTimeout  = time.Minute
)

// Limits of a read of a result with content where ClientConfig leaves them zero. A PDF of 20 MB
// and six images of 2 MB are 43 MB in base64 and, in a JWE, 57 MB; DefaultMaxResultBytes
// leaves twice that. DefaultResultTimeout lets 57 MB come over a line of 500 kB/s.
const (
	DefaultMaxResultBytes = 128 << 20
	DefaultResultTimeout  = 2 * time.Minute
)

// maxMaxBodyBytes is beyond any answer.
const maxMaxBodyBytes = 1 << 30

// basePath is the path of the API below the host (guide 7.2.3, facts 2.11).
const basePath = "/api/scr/v1"

// ClientConfig sets up a Client for one account. It holds credentials: printing
// or logging it shows none.
type ClientConfig struct {
	// BaseURL is scheme and host, with a prefix of the path where a gateway asks
	// for one. The client adds /api/scr/v1. The API itself is HTTPS only (guide
	// 7.2.1); plain HTTP is taken for simulators.
	BaseURL  string
	ClientID string // ^[A-Z0-9]{1,32}$ (facts 2.10)
	// Username is often not the client id (facts 2.10). It has no colon.
	Username string
	Password string
	// DataPassword keys the hash of the public key (facts 1.4). Needed with Key.
	DataPassword string
	Access       Access
	Scope        Scope
	Encryption   Encryption
	// Key opens the answers. Without it, which only EncryptionOptional allows, no
	// x-scr headers are sent and the answer comes as plain JSON (guide 7.8).
	Key *Key
	// Transport defaults to one of the client's own, which goes by the usual
	// proxy variables.
	Transport http.RoundTripper
	// MaxBodyBytes limits the answer, and again what is in it once decrypted.
	// Zero means DefaultMaxBodyBytes; more than 1 GiB is refused.
	MaxBodyBytes int64
	// Timeout limits one read, from connecting to the last byte. Zero means
	// DefaultTimeout.
	Timeout time.Duration
	// MaxListBytes and ListTimeout are the same for what is about many cases: a
	// list, and archiving. Zero means DefaultMaxListBytes and DefaultListTimeout.
	MaxListBytes int64
	ListTimeout  time.Duration
	// MaxResultBytes and ResultTimeout are the same for a result with the content of
	// records; one without has the limits of a single read. Zero means DefaultMaxResultBytes and DefaultResultTimeout.
	MaxResultBytes int64
	ResultTimeout  time.Duration
	// Buffers are what results with the content of records are read into. Clients may
	// share them; nil means that the client has its own.
	Buffers *Buffers
	// LockFor is how long the client sends nothing once its credentials were
	// refused: meanwhile every call ends at once with an *UnauthorisedError. Then
	// one request goes out at a time, at most one in that time, until one is
	// answered. Zero means DefaultLockFor, less than zero never.
	LockFor time.Duration
	// AllowRSA15 takes answers with alg RSA1_5, which is open to padding oracles.
	AllowRSA15 bool
	Meter      metric.Meter     // nil means none
	Tracer     trace.Tracer     // nil means none
	Now        func() time.Time // nil means time.Now
}

// String names the account and no secret.
func (c ClientConfig) String() string { return "scr account " + c.ClientID }

// GoString is String: %#v must not show the secrets either.
func (c ClientConfig) GoString() string { return c.String() }

// LogValue implements slog.LogValuer.
func (c ClientConfig) LogValue() slog.Value {
	return slog.GroupValue(slog.String("client_id", c.ClientID))
}

// validate reports every mistake at once. No message quotes a value that can
// hold a secret, and BaseURL can.
func (c ClientConfig) validate() error {
	var errs []error
	check := func(ok bool, message string) {
		if !ok {
			errs = append(errs, errors.New(message))
		}
	}
	check(validBaseURL(c.BaseURL), "base URL: want http(s)://host[:port][/prefix] without user, query or fragment")
	check(validClientID(c.ClientID), "client id: want 1 to 32 of A-Z and 0-9")
	check(c.Username != "", "user name: missing")
	check(!strings.Contains(c.Username, ":"), "user name: has a colon, which Basic authentication forbids")
	check(c.Password != "", "password: missing")
	switch c.Access {
	case "", AccessClient, AccessPartner:
	default:
		errs = append(errs, fmt.Errorf("access %q: want client or partner", c.Access))
	}
	switch c.Scope {
	case "", ScopeAll, ScopePrimary:
	default:
		errs = append(errs, fmt.Errorf("scope %q: want all or primary", c.Scope))
	}
	switch c.Encryption {
	case "", EncryptionRequired:
		check(c.Key != nil, "key: missing, and encryption is required")
	case EncryptionOptional:
	default:
		errs = append(errs, fmt.Errorf("encryption %q: want required or optional", c.Encryption))
	}
	check(c.Key == nil || c.DataPassword != "", "data password: missing, and a key is set")
	check(c.MaxBodyBytes >= 0 && c.MaxBodyBytes <= maxMaxBodyBytes, "body limit: want 0 to 1 GiB")
	check(c.MaxListBytes >= 0 && c.MaxListBytes <= maxMaxBodyBytes, "body limit of lists: want 0 to 1 GiB")
	check(c.MaxResultBytes >= 0 && c.MaxResultBytes <= maxMaxBodyBytes, "body limit of results: want 0 to 1 GiB")
	check(c.Timeout >= 0, "timeout: negative")
	check(c.ListTimeout >= 0, "timeout of lists: negative")
	check(c.ResultTimeout >= 0, "timeout of results: negative")
	return errors.Join(errs...)
}

func validBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func validClientID(s string) bool {
	return len(s) >= 1 && len(s) <= 32 &&
		!strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}
