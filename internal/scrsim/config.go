package scrsim

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

// Config is what New needs. The zero value of everything but Accounts is usable.
type Config struct {
	// Accounts are the clientIds the simulator knows, at least one.
	Accounts []Account
	// Seed determines plans, case ids and canaries: the same seed and the same
	// calls give the same ones.
	Seed uint64
	// TimeScale is how much faster simulated time runs; 0 means 1, the sender's
	// real timing.
	TimeScale float64
	// Start is the simulated time at New; zero means the real time.
	Start time.Time
	// Ties lets several changes of a case fall into one second, as the API's
	// resolution of one second allows. Without it each change of a case has a
	// second of its own, if need be ahead of the clock.
	Ties bool
	// Walk lets cases that a client starts (POST /cases) walk by themselves; nil
	// leaves them to Advance.
	Walk *Pacing
	// ListLimit is the most cases that a list answer holds; 0 means the guide's
	// 1,000 (7.5.1).
	ListLimit int
	// HookConcurrency bounds the webhooks that are under way at once; 0 means 64.
	HookConcurrency int
	// HookTransport sends the webhooks; nil means a transport of the simulator's
	// own.
	HookTransport http.RoundTripper
}

// Access is what a credential may read (guide 9).
type Access string

// The two kinds of access: a client reads results, a partner only status.
const (
	AccessClient  Access = "client"
	AccessPartner Access = "partner"
)

// Encryption is how an account treats the x-scr headers (guide 7.8).
type Encryption string

// EncryptionRequired refuses a read without a key, EncryptionOptional answers
// it in plain JSON, EncryptionOff answers every read so, whatever it sends.
const (
	EncryptionRequired Encryption = "required"
	EncryptionOptional Encryption = "optional"
	EncryptionOff      Encryption = "off"
)

// Account is one clientId with the settings that Deutsche Post keeps for it.
type Account struct {
	ClientID string              `json:"clientId"`
	Class    scr.RegulatoryClass `json:"class"`
	// Methods are the identification methods on offer; empty means those that
	// the class is known to use (facts 3).
	Methods     []string     `json:"methods,omitempty"`
	Credentials []Credential `json:"credentials"`
	// Encryption defaults to EncryptionRequired, as in production.
	Encryption Encryption `json:"encryption,omitempty"`
	Webhook    Webhook    `json:"webhook,omitzero"`
	Wire       Wire       `json:"wire,omitzero"`
	// Records says which records cases of the account have, and how large.
	Records Records `json:"records,omitzero"`
	// DrivingLicence has method photo check the driving licence whatever the class;
	// class Mobility always does (guide 8.6.7).
	DrivingLicence bool `json:"drivingLicence,omitempty"`
	// Validity is the simulated time in which a case can be finished; 0 means 90
	// days. An open case is closed when it ends.
	Validity Duration `json:"validity,omitempty"`
	// Retention is the simulated time after which a case is deleted; 0 means 150
	// days (guide 7.6).
	Retention Duration `json:"retention,omitempty"`
}

// Credential is one user of an account. Each has a data password of its own
// (facts 1.15).
type Credential struct {
	Username     string `json:"username"`
	Password     string `json:"password"`
	DataPassword string `json:"dataPassword,omitempty"`
	// Access defaults to AccessClient.
	Access Access `json:"access,omitempty"`
}

// String names the user and no secret.
func (c Credential) String() string { return "credential " + c.Username }

// GoString is String: %#v must not show the secrets either.
func (c Credential) GoString() string { return c.String() }

// LogValue implements slog.LogValuer.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String names the account and no secret.
func (a Account) String() string { return "simulated account " + a.ClientID }

// GoString is String: %#v must not show the secrets either.
func (a Account) GoString() string { return a.String() }

// LogValue implements slog.LogValuer.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Webhook is the account's webhook configuration (guide 5).
type Webhook struct {
	// URL and PartnerURL are given as webHookUrl and webHookUrlPartner to the
	// cases that the simulator starts itself; "" sends none. A case that a client
	// starts uses the URLs of its own request.
	URL        string `json:"url,omitempty"`
	PartnerURL string `json:"partnerUrl,omitempty"`
	// Types are the status types that are switched on; nil means all four.
	Types []scr.StatusType `json:"types,omitempty"`
	// ReferenceID puts the referenceId into the body.
	ReferenceID bool `json:"referenceId,omitempty"`
	// Username and Password are sent as Basic authentication unless both are "".
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// NoAutoIDReview sends none for autoid's review pending, as guide 4.1 reads
	// (facts C5).
	NoAutoIDReview bool `json:"noAutoIdReview,omitempty"`
	// NoOffline sends none for Basic Offline cases: nobody started them, so
	// nobody named a URL.
	NoOffline bool `json:"noOffline,omitempty"`
}

// Pacing says how a case walks by itself. All durations are real time.
type Pacing struct {
	// Dwell is how long a state lasts on average: each lasts between half and
	// one and a half of it.
	Dwell Duration `json:"dwell,omitempty"`
	// UntilSeen keeps a state for which a webhook was sent at least until an
	// unfaulted answer has shown it.
	UntilSeen bool `json:"untilSeen,omitempty"`
	// AfterSeen is how much longer UntilSeen keeps a state once it was seen: what a
	// list showed is published later than what was read.
	AfterSeen Duration `json:"afterSeen,omitempty"`
	// MaxDwell is the most that UntilSeen adds to Dwell; 0 means 30 s.
	MaxDwell Duration `json:"maxDwell,omitempty"`
}

const (
	defaultListLimit       = 1000
	defaultHookConcurrency = 64
	defaultValidity        = 90 * 24 * time.Hour
	defaultRetention       = 150 * 24 * time.Hour
	defaultMaxDwell        = 30 * time.Second
)

// DefaultMethods returns the methods that a class is known to use (facts 3):
// the Standard class takes Basic, too, for guide 8.6.8 has a rule for it.
func DefaultMethods(class scr.RegulatoryClass) []string {
	switch class {
	case scr.ClassGwG, scr.ClassTKG:
		return []string{scr.MethodBasic, scr.MethodEID, scr.MethodVideo}
	case scr.ClassEIDAS:
		return []string{scr.MethodBasic, scr.MethodVideo}
	case scr.ClassStandard:
		return []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodPhoto}
	case scr.ClassMobility:
		return []string{scr.MethodPhoto}
	default:
		return nil
	}
}

// ExampleAccounts returns one account of each class, together offering all five
// methods, with credentials that nobody should use elsewhere; the GwG account
// has a partner, too. Webhooks go to hooks + "/webhooks/" + clientId; with
// hooks "" there are none.
func ExampleAccounts(hooks string) []Account {
	classes := []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility}
	ids := []string{"SIMGWG01", "SIMTKG01", "SIMEIDAS", "SIMSTD01", "SIMMOB01"}
	accounts := make([]Account, len(classes))
	for i, class := range classes {
		a := Account{ClientID: ids[i], Class: class, Credentials: []Credential{{
			Username: ids[i] + ".SCR", Password: "sim-password-" + ids[i], DataPassword: "sim-data-" + ids[i],
		}}}
		if hooks != "" {
			a.Webhook = Webhook{
				URL: hooks + "/webhooks/" + ids[i], ReferenceID: true,
				Username: ids[i] + ".HOOK", Password: "sim-hook-" + ids[i],
			}
		}
		accounts[i] = a
	}
	accounts[0].Credentials = append(accounts[0].Credentials, Credential{
		Username: ids[0] + ".PARTNER", Password: "sim-partner-" + ids[0], DataPassword: "sim-partner-data-" + ids[0],
		Access: AccessPartner,
	})
	return accounts
}

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	setDefault(&c.TimeScale, 1)
	setDefault(&c.ListLimit, defaultListLimit)
	setDefault(&c.HookConcurrency, defaultHookConcurrency)
	accounts := make([]Account, len(c.Accounts))
	for i, a := range c.Accounts {
		accounts[i] = a.withDefaults()
	}
	c.Accounts = accounts
	return c
}

func (a Account) withDefaults() Account {
	if len(a.Methods) == 0 {
		a.Methods = DefaultMethods(a.Class)
	}
	a.Credentials = slices.Clone(a.Credentials)
	for i := range a.Credentials {
		setDefault(&a.Credentials[i].Access, AccessClient)
	}
	setDefault(&a.Encryption, EncryptionRequired)
	setDefault(&a.Validity, Duration(defaultValidity))
	setDefault(&a.Retention, Duration(defaultRetention))
	if a.Webhook.Types == nil {
		a.Webhook.Types = []scr.StatusType{scr.Notification, scr.Preliminary, scr.Final, scr.Cancelled}
	}
	setDefault(&a.Wire.Alg, jose.RSA_OAEP_256)
	setDefault(&a.Wire.Enc, jose.A256GCM)
	setDefault(&a.Wire.JWEContentType, "application/json")
	setDefault(&a.Wire.KeyRefusal, http.StatusBadRequest)
	setDefault(&a.Wire.PartnerRefusal, http.StatusForbidden)
	setDefault(&a.Wire.Bounds, BoundsLower)
	small := SmallRecords()
	setDefault(&a.Records.PDF, small.PDF)
	setDefault(&a.Records.Image, small.Image)
	return a
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

var clientIDPattern = regexp.MustCompile(`^[A-Z0-9]{1,32}$`)

// check reports every mistake at once, after the defaults.
func (c Config) check() error {
	var errs []error
	if len(c.Accounts) == 0 {
		errs = append(errs, errors.New("accounts: none given"))
	}
	if !(c.TimeScale > 0) || c.ListLimit < 0 || c.HookConcurrency < 0 {
		errs = append(errs, errors.New("time scale, list limit, hook concurrency: must be positive"))
	}
	seen := make(map[string]bool)
	for _, a := range c.Accounts {
		if seen[a.ClientID] {
			errs = append(errs, fmt.Errorf("account %q: given twice", a.ClientID))
		}
		seen[a.ClientID] = true
		if err := a.check(); err != nil {
			errs = append(errs, fmt.Errorf("account %q: %w", a.ClientID, err))
		}
	}
	return errors.Join(errs...)
}

func (a Account) check() error {
	var errs []error
	if !clientIDPattern.MatchString(a.ClientID) {
		errs = append(errs, errors.New("clientId: want 1 to 32 of A-Z and 0-9"))
	}
	if DefaultMethods(a.Class) == nil {
		errs = append(errs, fmt.Errorf("class: %q is none of the guide", a.Class))
	}
	for _, m := range a.Methods {
		if _, ok := endings[m]; !ok {
			errs = append(errs, fmt.Errorf("methods: %q is none of the guide", m))
		}
	}
	if len(a.Credentials) == 0 {
		errs = append(errs, errors.New("credentials: none given"))
	}
	for _, u := range []string{a.Webhook.URL, a.Webhook.PartnerURL} {
		if err := checkHookURL(u); err != nil {
			errs = append(errs, fmt.Errorf("webhook: %w", err))
		}
	}
	return errors.Join(append(errs, a.checkChoices()...)...)
}

// checkChoices checks the settings that name one of several.
func (a Account) checkChoices() []error {
	var errs []error
	for _, c := range a.Credentials {
		if c.Access != AccessClient && c.Access != AccessPartner {
			errs = append(errs, fmt.Errorf("access: %q is neither client nor partner", c.Access))
		}
	}
	if !slices.Contains([]Encryption{EncryptionRequired, EncryptionOptional, EncryptionOff}, a.Encryption) {
		errs = append(errs, fmt.Errorf("encryption: %q is none of required, optional, off", a.Encryption))
	}
	if !slices.Contains([]Bounds{BoundsLower, BoundsBoth, BoundsNone}, a.Wire.Bounds) {
		errs = append(errs, fmt.Errorf("bounds: %q is none of lower, both, none", a.Wire.Bounds))
	}
	if !slices.Contains(keyAlgorithms, a.Wire.Alg) {
		errs = append(errs, fmt.Errorf("alg: %q is not supported", a.Wire.Alg))
	}
	if !slices.Contains(contentEncryptions, a.Wire.Enc) {
		errs = append(errs, fmt.Errorf("enc: %q is not supported", a.Wire.Enc))
	}
	if !(a.Wire.UnknownFields >= 0 && a.Wire.UnknownFields <= 1) {
		errs = append(errs, fmt.Errorf("unknown fields: %v is not from 0 to 1", a.Wire.UnknownFields))
	}
	errs = append(errs, a.Records.check()...)
	for _, t := range a.Webhook.Types {
		if !slices.Contains([]scr.StatusType{scr.Notification, scr.Preliminary, scr.Final, scr.Cancelled}, t) {
			errs = append(errs, fmt.Errorf("webhook types: %q is none of the guide", t))
		}
	}
	return errs
}

// maxURL is the longest webhook URL (facts 2.4).
const maxURL = 500

// checkHookURL accepts "" and what guide 5 accepts, and plain http besides: a
// receiver under test seldom has a certificate.
func checkHookURL(raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("url is not an absolute http or https URL")
	}
	if u.RawQuery != "" || u.ForceQuery {
		return errors.New("url must not have query parameters")
	}
	if len(raw) > maxURL {
		return fmt.Errorf("url is longer than %d", maxURL)
	}
	return nil
}
