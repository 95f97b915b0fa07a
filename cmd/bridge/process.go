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
	"postident-bridge/internal/claim"
	"postident-bridge/internal/rotate"
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
		PasswordGrace:  s.Webhook.Grace,
		Logger:         logger,
		Meter:          tel.Meter,
		Tracer:         tel.Tracer,
	}
}

// watchWebhook has the webhook take users and passwords that change in their files.
func (s *settings) watchWebhook(webhook *ingest.Webhook, watch *rotate.Watch) {
	for _, a := range s.Accounts {
		watch.Add(func(values []string) error { return webhook.ChangeCredentials(a.ClientID, values[0], values[1]) },
			s.file(a.variable("WEBHOOK_USERNAME"), a.WebhookUsername), s.file(a.variable("WEBHOOK_PASSWORD"), string(a.WebhookPassword)))
	}
}

const (
	// storingTime is what reading a case with its records may take longer than the
	// read itself: for its turn, and the store.
	storingTime = time.Minute
	// storeCheckTime bounds the look at the store at start.
	storeCheckTime = 30 * time.Second
)

// processRole reads cases and publishes their changes. With a registry it needs
// the schema's id first, and waits for it: the registry may be away, or the
// schema not registered yet. Nothing else of the process waits with it.
type processRole struct {
	config   publish.Config // all but the encoders
	subject  string
	results  string            // the subject of results, "" where no account has any
	store    *claim.Store      // of records; nil where no account wants any
	registry *schemas.Registry // nil without one
	register bool
	logger   *slog.Logger

	mu        sync.Mutex
	publisher *publish.Publisher // guarded by mu; nil until the encoder is there
	waiting   error              // guarded by mu; why it is not, nil before the first try
}

// newProcessRole makes everything that needs no network.
func newProcessRole(ctx context.Context, s *settings, kafka []kgo.Opt, clients []*scr.Client, watch *rotate.Watch, tel *telemetry, logger *slog.Logger) (*processRole, error) {
	names := namesOfTopics(s.Topics.Prefix)
	r := &processRole{
		subject:  schemas.Subject(names.Status),
		register: s.Schemas.Register,
		logger:   logger,
		config: publish.Config{
			Kafka: kafka,
			Topics: publish.Topics{
				Inbox: names.Inbox, CaseState: names.CaseState, Status: names.Status, Result: names.Result, DeadLetter: names.DeadLetter,
			},
			Prefix:          s.Topics.Prefix,
			PublishProgress: s.Publish.Progress,
			RecordsWait:     s.Records.Wait,
			RecordsAtOnce:   s.Records.AtOnce,
			RecordsDeadline: s.SCR.ResultTimeout + storingTime,
			ArchiveAfter:    s.Archive.After,
			InstanceID:      s.Kafka.GroupInstanceID,
			Logger:          logger,
			Meter:           tel.Meter,
			Tracer:          tel.Tracer,
		},
	}
	if len(s.Schemas.Registry.URL) > 0 {
		registry, err := newRegistry(s, watch)
		if err != nil {
			return nil, err
		}
		r.registry = registry
	}
	if len(s.resultAccounts()) > 0 {
		r.results = schemas.Subject(names.Result)
	}
	var err error
	if r.store, err = s.openRecords(ctx); err != nil {
		return nil, err
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
		a.publishResults(&account, clients[i], r.store)
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
	buffers := scr.NewBuffers()
	clients := make([]*scr.Client, len(s.Accounts))
	for i, a := range s.Accounts {
		var err error
		if clients[i], err = a.newClient(s.SCR, keys, buffers, tel); err != nil {
			return nil, fmt.Errorf("account %s: %w", a.ClientID, err)
		}
	}
	return clients, nil
}

// watchClients has the clients of the accounts, in their order, use users and
// passwords that change in their files. The three go together: a request with one old
// and one new is refused, and accounts lock.
func (s *settings) watchClients(clients []*scr.Client, watch *rotate.Watch) {
	for i, a := range s.Accounts {
		watch.Add(func(values []string) error { return clients[i].ChangeCredentials(values[0], values[1], values[2]) },
			s.file(a.variable("USERNAME"), a.Username), s.file(a.variable("PASSWORD"), string(a.Password)),
			s.file(a.variable("DATA_PASSWORD"), string(a.DataPassword)))
	}
}

// newClient makes the account's client of the API. Accounts with keys of one
// size share a pair: it is the process's, made now, and never stored. All share the
// buffers.
func (a accountSettings) newClient(api scrSettings, keys map[int]*scr.Key, buffers *scr.Buffers, tel *telemetry) (*scr.Client, error) {
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
		BaseURL:        api.BaseURL,
		ClientID:       a.ClientID,
		Username:       a.Username,
		Password:       string(a.Password),
		DataPassword:   string(a.DataPassword),
		Access:         scr.Access(a.Access),
		Scope:          scr.Scope(a.Scope),
		Encryption:     scr.Encryption(a.Encryption),
		Key:            key,
		Buffers:        buffers,
		MaxResultBytes: int64(api.ResultMaxMiB) << 20,
		ResultTimeout:  api.ResultTimeout,
		AllowRSA15:     a.AllowRSA15,
		Meter:          tel.Meter,
		Tracer:         tel.Tracer,
	})
}

// Run waits for the schemas' ids, where there is a registry, and publishes until
// ctx ends.
func (r *processRole) Run(ctx context.Context) (err error) {
	if r.store != nil {
		defer func() { err = errors.Join(err, r.store.Close()) }()
		checked := make(chan struct{})
		go func() { defer close(checked); r.checkStore(ctx) }()
		defer func() { <-checked }()
	}
	config := r.config
	config.Encoder = schemas.NewSingleObjectStatusEncoder()
	if r.results != "" {
		config.ResultEncoder = schemas.NewSingleObjectResultEncoder()
	}
	if r.registry != nil {
		status, result, err := r.awaitSchemas(ctx)
		if err != nil {
			return err
		}
		config.Encoder = schemas.NewConfluentStatusEncoder(status)
		if r.results != "" {
			config.ResultEncoder = schemas.NewConfluentResultEncoder(result)
		}
	}
	publisher, err := publish.New(config)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.publisher = publisher
	r.mu.Unlock()
	return publisher.Run(ctx)
}

// checkStore says once, at start, whether the store of records works. Nothing waits
// for it: the status of a case goes out without its records if it has to (P6, P10).
func (r *processRole) checkStore(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, storeCheckTime)
	defer cancel()
	switch health, err := r.store.Check(bounded); {
	case ctx.Err() != nil: // stopped meanwhile
	case err != nil:
		r.logger.ErrorContext(ctx, "store of records does not work", slog.String("store", r.store.String()), slog.String("error", err.Error()))
	default:
		r.logger.InfoContext(ctx, "store of records works", slog.String("store", r.store.String()), slog.Bool("may_delete", health.Delete))
	}
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

// awaitSchemas asks the registry until it answers with the ids. Encoders need no
// registry after that. result is of no meaning where no account has results.
func (r *processRole) awaitSchemas(ctx context.Context) (status, result int, err error) {
	verbs := schemaVerbs{(*schemas.Registry).Check, (*schemas.Registry).CheckResult}
	if r.register {
		verbs = schemaVerbs{(*schemas.Registry).Register, (*schemas.Registry).RegisterResult}
	}
	if status, err = r.awaitSchema(ctx, r.subject, verbs.status); err != nil || r.results == "" {
		return status, 0, err
	}
	result, err = r.awaitSchema(ctx, r.results, verbs.result)
	return status, result, err
}

func (r *processRole) awaitSchema(ctx context.Context, subject string, ask schemaVerb) (id int, err error) {
	for attempt := 0; ; attempt++ {
		if id, err = ask(r.registry, ctx, subject); err == nil {
			r.logger.InfoContext(ctx, "schema found", slog.String("subject", subject), slog.Int("schema_id", id))
			return id, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		r.mu.Lock()
		r.waiting = err
		r.mu.Unlock()
		r.logger.WarnContext(ctx, "process role waits for the schema registry",
			slog.String("subject", subject), slog.String("error", err.Error()))
		if !pause(ctx, registryBackOff(attempt)) {
			return 0, ctx.Err()
		}
	}
}

// registryBackOff doubles from half a second to 15 s; the half of it is jitter,
// so that processes that started together do not ask together.
func registryBackOff(attempt int) time.Duration {
	d := min(500*time.Millisecond<<min(attempt, 5), 15*time.Second)
	return d/2 + rand.N(d/2) //nolint:gosec // jitter secures nothing
}
