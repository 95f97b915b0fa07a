package schemas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// registryTimeout bounds one request to the registry where RegistryConfig says
// nothing.
const registryTimeout = 10 * time.Second

// compatibilityAllVersions asks the registry to compare with every version of
// a subject.
const compatibilityAllVersions = -2

// RegistryConfig says where the schema registry is and how to speak to it.
type RegistryConfig struct {
	// URLs are tried in order when one does not answer; at least one, http or
	// https, without credentials in it (they would show in errors).
	URLs []string
	// Username and Password are sent as basic auth when Username is set.
	Username, Password string
	// CurrentLogin gives both before each request, where they may change; nil means
	// Username and Password.
	CurrentLogin func() (username, password string)
	// HTTPClient carries TLS settings and proxies; nil means the default.
	HTTPClient *http.Client
	// Timeout bounds each request, unless HTTPClient has a time-out of its
	// own; 0 means 10 s.
	Timeout time.Duration
}

// Registry speaks to a schema registry (the Confluent REST API). It is used
// when schemas are registered or checked and when a decoder meets a new id,
// never while webhooks are accepted or events encoded. Safe for concurrent use.
type Registry struct {
	client *sr.Client
}

// NewRegistry checks the settings; it sends nothing.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("check registry: no URL")
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("check registry: time-out %s is negative", cfg.Timeout)
	}
	for _, raw := range cfg.URLs {
		if err := checkRegistryURL(raw); err != nil {
			return nil, err
		}
	}
	opts := []sr.ClientOpt{
		sr.URLs(append([]string(nil), cfg.URLs...)...),
		sr.HTTPClient(cfg.httpClient()),
		sr.UserAgent("postident-bridge"),
	}
	switch {
	case cfg.Username == "":
	case cfg.CurrentLogin == nil:
		opts = append(opts, sr.BasicAuth(cfg.Username, cfg.Password))
	default:
		opts = append(opts, sr.PreReq(func(r *http.Request) error {
			r.SetBasicAuth(cfg.CurrentLogin())
			return nil
		}))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("create registry client: %w", err)
	}
	return &Registry{client: client}, nil
}

// checkRegistryURL never puts the URL into its error: it may hold a password.
func checkRegistryURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "":
		return errors.New("check registry: a URL cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("check registry: a URL is neither http nor https")
	case u.User != nil:
		return errors.New("check registry: a URL holds credentials; give them as username and password")
	}
	return nil
}

func (cfg RegistryConfig) httpClient() *http.Client {
	var client http.Client
	if cfg.HTTPClient != nil {
		client = *cfg.HTTPClient
	}
	if client.Timeout == 0 {
		client.Timeout = cfg.Timeout
	}
	if client.Timeout == 0 {
		client.Timeout = registryTimeout
	}
	return &client
}

// Subject is the subject of a topic's values under TopicNameStrategy.
func Subject(topic string) string { return topic + "-value" }

// StatusChangedSchema is today's schema of the status topic's values, as it is
// registered: the .avsc file without its white space.
func StatusChangedSchema() (string, error) { return registeredSchema(recordStatusChanged) }

// IdentificationResultSchema is today's schema of the result topic's values, as
// StatusChangedSchema.
func IdentificationResultSchema() (string, error) {
	return registeredSchema(recordIdentificationResult)
}

func registeredSchema(record string) (string, error) {
	text, err := today.ReadFile(record + ".avsc")
	if err != nil {
		return "", fmt.Errorf("read schema %s: %w", record, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("read schema %s: %w", record, err)
	}
	return compact.String(), nil
}

// NotRegisteredError says that the subject does not hold today's schema, but
// would take it.
type NotRegisteredError struct {
	Subject string
}

// Error names the subject.
func (e *NotRegisteredError) Error() string {
	return fmt.Sprintf("subject %s does not hold this release's schema", e.Subject)
}

// IncompatibleError says that the subject holds a schema that today's does not
// go together with: it was written by someone else, or its compatibility level
// asks for more than FULL_TRANSITIVE between releases of the bridge.
type IncompatibleError struct {
	Subject string
	Reasons []string // the registry's words
}

// Error names the subject and the registry's reasons.
func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("subject %s is incompatible with this release's schema: %s", e.Subject, strings.Join(e.Reasons, "; "))
}

// Register sets the subject's compatibility to FULL_TRANSITIVE, registers
// today's StatusChanged and returns its id. It can be repeated: a schema that
// is there already keeps its id. A schema that the registry refuses gives an
// *IncompatibleError.
func (r *Registry) Register(ctx context.Context, subject string) (id int, err error) {
	return r.register(ctx, subject, recordStatusChanged)
}

// RegisterResult registers today's IdentificationResult, as Register.
func (r *Registry) RegisterResult(ctx context.Context, subject string) (id int, err error) {
	return r.register(ctx, subject, recordIdentificationResult)
}

func (r *Registry) register(ctx context.Context, subject, record string) (id int, err error) {
	schema, err := schemaOf(record)
	if err != nil {
		return 0, err
	}
	// Level first: were the schema registered first and this process to stop
	// here, the next release could be registered under a weaker rule. The
	// other way round, the next run finds the level set and goes on.
	if err := r.ensureFullTransitive(ctx, subject); err != nil {
		return 0, err
	}
	id, err = r.client.RegisterSchema(ctx, subject, schema, -1, -1)
	if err != nil {
		if refused := incompatible(subject, err); refused != nil {
			return 0, refused
		}
		return 0, fmt.Errorf("register schema under %s: %w", subject, err)
	}
	return id, nil
}

// ensureFullTransitive writes only where the level differs: reading it needs
// fewer rights.
func (r *Registry) ensureFullTransitive(ctx context.Context, subject string) error {
	for _, have := range r.client.Compatibility(ctx, subject) {
		if have.Err == nil && have.Level == sr.CompatFullTransitive {
			return nil
		}
		// An error here is mostly that no level is set for the subject yet;
		// what is really wrong shows in the write.
	}
	for _, set := range r.client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFullTransitive}, subject) {
		if set.Err != nil {
			return fmt.Errorf("set compatibility of %s: %w", subject, set.Err)
		}
	}
	return nil
}

// Check returns the id of today's StatusChanged under the subject and changes
// nothing. Where it is not there, the error is a *NotRegisteredError, or an
// *IncompatibleError if it could not be registered either.
func (r *Registry) Check(ctx context.Context, subject string) (id int, err error) {
	return r.check(ctx, subject, recordStatusChanged)
}

// CheckResult returns the id of today's IdentificationResult, as Check.
func (r *Registry) CheckResult(ctx context.Context, subject string) (id int, err error) {
	return r.check(ctx, subject, recordIdentificationResult)
}

func (r *Registry) check(ctx context.Context, subject, record string) (id int, err error) {
	schema, err := schemaOf(record)
	if err != nil {
		return 0, err
	}
	found, err := r.client.LookupSchema(ctx, subject, schema)
	switch {
	case err == nil:
		return found.ID, nil
	case isRegistryError(err, sr.ErrSubjectNotFound):
		return 0, &NotRegisteredError{Subject: subject}
	case !isRegistryError(err, sr.ErrSchemaNotFound):
		return 0, fmt.Errorf("look up schema under %s: %w", subject, err)
	}
	result, err := r.client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, compatibilityAllVersions, schema)
	if err != nil {
		return 0, fmt.Errorf("check compatibility with %s: %w", subject, err)
	}
	if !result.Is {
		return 0, &IncompatibleError{Subject: subject, Reasons: result.Messages}
	}
	return 0, &NotRegisteredError{Subject: subject}
}

// SchemaByID returns the text of an Avro schema that stands alone. It fits
// NewStatusDecoder and NewResultDecoder, which cache the answers.
func (r *Registry) SchemaByID(ctx context.Context, id int) (string, error) {
	schema, err := r.client.SchemaByID(ctx, id)
	if err != nil {
		return "", fmt.Errorf("read schema %d: %w", id, err)
	}
	if schema.Type != sr.TypeAvro || len(schema.References) > 0 {
		return "", fmt.Errorf("read schema %d: not an Avro schema that stands alone", id)
	}
	return schema.Schema, nil
}

func schemaOf(record string) (sr.Schema, error) {
	text, err := registeredSchema(record)
	if err != nil {
		return sr.Schema{}, err
	}
	return sr.Schema{Schema: text, Type: sr.TypeAvro}, nil
}

func isRegistryError(err error, want *sr.Error) bool {
	var response *sr.ResponseError
	return errors.As(err, &response) && response.ErrorCode == want.Code
}

// incompatible gives the typed error if the registry refused the schema: 409,
// with the same or a longer error code.
func incompatible(subject string, err error) error {
	var response *sr.ResponseError
	if !errors.As(err, &response) || response.StatusCode != http.StatusConflict {
		return nil
	}
	return &IncompatibleError{Subject: subject, Reasons: []string{response.Error()}}
}
