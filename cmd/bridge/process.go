package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/scr"
	"postident-bridge/publish"
	"postident-bridge/schemas"
)

// webhookConfig turns the settings into what the webhook needs.
func (s *settings) webhookConfig(client *kgo.Client, tel *telemetry, logger *slog.Logger) ingest.WebhookConfig {
	accounts := make([]ingest.WebhookAccount, len(s.Accounts))
	for i, a := range s.Accounts {
		accounts[i] = ingest.WebhookAccount{
			ClientID: a.ClientID, Username: a.WebhookUsername, Password: string(a.WebhookPassword),
		}
	}
	return ingest.WebhookConfig{
		Client:         client,
		Topic:          namesOfTopics(s.Topics.Prefix).Inbox,
		Accounts:       accounts,
		AllowedIPs:     []netip.Prefix(s.Webhook.AllowedIPs),
		TrustedProxies: []netip.Prefix(s.Webhook.TrustedProxies),
		Logger:         logger,
		Meter:          tel.Meter,
		Tracer:         tel.Tracer,
	}
}

// processRole reads cases and publishes their changes. With a registry it needs
// the schema's id first, and waits for it: the registry may be away, or the
// schema not registered yet. Nothing else of the process waits with it.
type processRole struct {
	config   publish.Config // all but the encoder
	subject  string
	registry *schemas.Registry // nil without one
	register bool
	logger   *slog.Logger

	mu        sync.Mutex
	publisher *publish.Publisher // guarded by mu; nil until the encoder is there
	waiting   error              // guarded by mu; why it is not, nil before the first try
}

// newProcessRole makes everything that needs no network.
func newProcessRole(s *settings, kafka []kgo.Opt, clients []*scr.Client, tel *telemetry, logger *slog.Logger) (*processRole, error) {
	names := namesOfTopics(s.Topics.Prefix)
	r := &processRole{
		subject:  schemas.Subject(names.Status),
		register: s.Schemas.Register,
		logger:   logger,
		config: publish.Config{
			Kafka: kafka,
			Topics: publish.Topics{
				Inbox: names.Inbox, CaseState: names.CaseState, Status: names.Status, DeadLetter: names.DeadLetter,
			},
			Prefix:          s.Topics.Prefix,
			PublishProgress: s.Publish.Progress,
			ArchiveAfter:    s.Archive.After,
			InstanceID:      s.Kafka.GroupInstanceID,
			Logger:          logger,
			Meter:           tel.Meter,
			Tracer:          tel.Tracer,
		},
	}
	if len(s.Schemas.Registry.URL) > 0 {
		registry, err := newRegistry(s.Schemas.Registry)
		if err != nil {
			return nil, err
		}
		r.registry = registry
	}
	for i, a := range s.Accounts {
		account := publish.Account{
			ClientID:        a.ClientID,
			RegulatoryClass: schemas.RegulatoryClass(a.RegulatoryClass),
			WebhookTypes:    a.statusTypes(),
			Read:            clients[i].Case,
		}
		if a.Archive {
			account.Archive = clients[i].Archive
		}
		r.config.Accounts = append(r.config.Accounts, account)
	}
	return r, nil
}

// statusTypes are the status types for which the account's webhooks are on.
func (a accountSettings) statusTypes() []schemas.StatusType {
	types := make([]schemas.StatusType, len(a.WebhookTypes))
	for i, t := range a.WebhookTypes {
		types[i] = schemas.StatusType(t)
	}
	return types
}

// pollerConfig turns the settings into what the poller needs.
func (s *settings) pollerConfig(kafka []kgo.Opt, clients []*scr.Client, tel *telemetry, logger *slog.Logger) ingest.PollerConfig {
	names := namesOfTopics(s.Topics.Prefix)
	accounts := make([]ingest.PollAccount, len(s.Accounts))
	for i, a := range s.Accounts {
		accounts[i] = ingest.PollAccount{ClientID: a.ClientID, List: clients[i].Cases}
	}
	return ingest.PollerConfig{
		Kafka:    kafka,
		Inbox:    names.Inbox,
		Cursor:   names.PollCursor,
		Group:    s.Topics.Prefix + "poll",
		Accounts: accounts,
		Plan: ingest.SweepPlan{
			Closed: s.Poll.Closed, Open: s.Poll.Open, Reconcile: s.Poll.Reconcile, Overlap: s.Poll.Overlap, Past: s.Poll.Past,
		},
		Logger: logger,
		Meter:  tel.Meter,
	}
}

// newClients makes the clients of the accounts, in their order.
func (s *settings) newClients(tel *telemetry) ([]*scr.Client, error) {
	keys := make(map[int]*scr.Key)
	clients := make([]*scr.Client, len(s.Accounts))
	for i, a := range s.Accounts {
		var err error
		if clients[i], err = a.newClient(s.SCR.BaseURL, keys, tel); err != nil {
			return nil, fmt.Errorf("account %s: %w", a.ClientID, err)
		}
	}
	return clients, nil
}

// newClient makes the account's client of the API. Accounts with keys of one
// size share a pair: it is the process's, made now, and never stored.
func (a accountSettings) newClient(baseURL string, keys map[int]*scr.Key, tel *telemetry) (*scr.Client, error) {
	var key *scr.Key
	if a.DataPassword != "" {
		if keys[a.RSABits] == nil {
			made, err := scr.NewKey(a.RSABits)
			if err != nil {
				return nil, err
			}
			keys[a.RSABits] = made
		}
		key = keys[a.RSABits]
	}
	return scr.NewClient(scr.ClientConfig{
		BaseURL:      baseURL,
		ClientID:     a.ClientID,
		Username:     a.Username,
		Password:     string(a.Password),
		DataPassword: string(a.DataPassword),
		Access:       scr.Access(a.Access),
		Scope:        scr.Scope(a.Scope),
		Encryption:   scr.Encryption(a.Encryption),
		Key:          key,
		AllowRSA15:   a.AllowRSA15,
		Meter:        tel.Meter,
		Tracer:       tel.Tracer,
	})
}

// Run waits for the schema's id, where there is a registry, and publishes until
// ctx ends.
func (r *processRole) Run(ctx context.Context) error {
	encoder, err := r.awaitEncoder(ctx)
	if err != nil {
		return err
	}
	config := r.config
	config.Encoder = encoder
	publisher, err := publish.New(config)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.publisher = publisher
	r.mu.Unlock()
	return publisher.Run(ctx)
}

// Ready returns nil when the role publishes, or why it does not (design: P10).
func (r *processRole) Ready(ctx context.Context) error {
	r.mu.Lock()
	publisher, waiting := r.publisher, r.waiting
	r.mu.Unlock()
	switch {
	case publisher != nil:
		return publisher.Ready(ctx)
	case waiting != nil:
		return fmt.Errorf("waiting for the schema registry: %w", waiting)
	default:
		return errors.New("starting")
	}
}

// awaitEncoder asks the registry until it answers with an id. The encoder needs
// no registry after that.
func (r *processRole) awaitEncoder(ctx context.Context) (*schemas.StatusEncoder, error) {
	if r.registry == nil {
		return schemas.NewSingleObjectStatusEncoder(), nil
	}
	for attempt := 0; ; attempt++ {
		id, err := r.schemaID(ctx)
		if err == nil {
			r.logger.InfoContext(ctx, "schema found", slog.String("subject", r.subject), slog.Int("schema_id", id))
			return schemas.NewConfluentStatusEncoder(id), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.mu.Lock()
		r.waiting = err
		r.mu.Unlock()
		r.logger.WarnContext(ctx, "process role waits for the schema registry",
			slog.String("subject", r.subject), slog.String("error", err.Error()))
		if !pause(ctx, registryBackOff(attempt)) {
			return nil, ctx.Err()
		}
	}
}

func (r *processRole) schemaID(ctx context.Context) (int, error) {
	if r.register {
		return r.registry.Register(ctx, r.subject)
	}
	return r.registry.Check(ctx, r.subject)
}

// registryBackOff doubles from half a second to 15 s; the half of it is jitter,
// so that processes that started together do not ask together.
func registryBackOff(attempt int) time.Duration {
	d := min(500*time.Millisecond<<min(attempt, 5), 15*time.Second)
	return d/2 + rand.N(d/2) //nolint:gosec // jitter secures nothing
}
