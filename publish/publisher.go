package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/producer"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// Topics are the full names of the topics that the publisher reads and writes
// (design 3).
type Topics struct {
	Inbox      string
	CaseState  string
	Status     string
	DeadLetter string
	// Result is needed if any account has Results.
	Result string
}

// RecordStore keeps binary records: a claim.Store does. Put returns when the object
// will not be lost any more; a repeat is harmless. Its errors are claim's.
type RecordStore interface {
	Put(ctx context.Context, o claim.Object) (claim.Stored, error)
}

// Account is one SCR account whose cases are published.
type Account struct {
	// ClientID is the account's id; two accounts with one id are refused.
	ClientID string
	// RegulatoryClass goes into every event of the account.
	RegulatoryClass schemas.RegulatoryClass
	// WebhookTypes are the status types for which the sender has webhooks switched
	// on; nil: none. What a sweep sees first of these, and no webhook tells of
	// within Config.HookDue, is counted as a missed webhook (P4).
	WebhookTypes []schemas.StatusType
	// Read reads one case. It returns the error kinds of package scr, or the
	// context's error, and is called from many goroutines.
	Read func(ctx context.Context, caseID string) (scr.Case, error)
	// Results has a result go out with each final status, for the topic of results.
	Results bool
	// Records is where the binary records of final states are kept (P6); nil leaves
	// them at the source.
	Records RecordStore
	// ResultPDF says that ReadResult asks for the result PDF too, which shows in no
	// other read (guide 7.4.1).
	ResultPDF bool
	// ReadResult reads one case with all that the account may have of it, and is
	// needed for Results and Records; reads go by it instead of Read then. With binary
	// it hands the content of each record to store, one after the other, and ends with
	// the first error of it. It returns what Read returns, or that error, and is called
	// from many goroutines.
	ReadResult func(ctx context.Context, caseID string, binary bool, store func(context.Context, scr.RecordContent) error) (scr.Result, error)
	// Archive marks closed cases as archived at the source (guide 7.6); nil leaves
	// them as they are. Without an error all of them are archived, whether the
	// answer confirms them or not: it lists only those that were not before. It
	// returns the error kinds of package scr, or the context's error, and is called
	// from many goroutines, with archiveBatch cases at most.
	Archive func(ctx context.Context, caseIDs []string) (archived []string, err error)
}

// Config holds what a Publisher needs. Zero values take the defaults named at
// the fields.
type Config struct {
	// Kafka connects: seed brokers, TLS, SASL, client id, logger. Nothing about
	// producing, consuming or groups.
	Kafka  []kgo.Opt
	Topics Topics
	// Prefix begins the consumer group (<prefix>process) and the transactional
	// ids (<prefix>process-<partition>).
	Prefix   string
	Accounts []Account
	// Encoder frames the status events, ResultEncoder the results, which only
	// accounts with Results need. They do no I/O.
	Encoder       *schemas.StatusEncoder
	ResultEncoder *schemas.ResultEncoder
	// PublishProgress publishes the states that have no status type (guide 2.6).
	PublishProgress bool
	// ReadsPerAccount bounds the reads under way to one account in this process
	// (default 8). The guide names no rate limit (facts 2.15).
	ReadsPerAccount int
	// ReadDeadline is the longest a trigger waits in memory for its read, the
	// wait for a free slot included (default 20 s); past it the trigger becomes
	// a durable retry.
	ReadDeadline time.Duration
	// RecordsWait is how long the status event of a final state waits for its records
	// to be stored, from the first attempt that failed (default 15 minutes).
	RecordsWait time.Duration
	// RecordsAtOnce bounds the reads with records that are under way in this process
	// (default 2): each takes about three times the size of its answer in memory.
	RecordsAtOnce int
	// RecordsDeadline is the longest that reading a case with its records and storing
	// them may take, the wait for a turn included (default 2 minutes).
	RecordsDeadline time.Duration
	// ForgetAfter is the age at which the state of a closed case is forgotten
	// (default 217 days: source limit 150, inbox 7, dead letters 30, and 30 more).
	ForgetAfter time.Duration
	// FaultPauses are the pauses after the faults of a case; one fault more makes it
	// a dead letter (default eleven, 2 h 4 min together: more than the sender of the
	// hooks goes on for).
	FaultPauses []time.Duration
	// ArchiveAfter is how long the events of a closed case have been committed
	// before the case is archived (default 24 h), in accounts that have Archive.
	ArchiveAfter time.Duration
	// HookDue is how long the webhook of a change that a sweep saw first may take
	// to come (default 80 minutes: the sender's last retry comes after 75, guide 5).
	HookDue time.Duration
	// InstanceID switches static membership on (KIP-345); "" leaves it off. A
	// process that was killed and comes back within the session time-out goes on
	// with its partitions at once. A stop that was asked for gives them away all
	// the same. No two processes may have one id: the older is refused.
	InstanceID string

	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
	Now    func() time.Time

	retry    retryPolicy       // tests shorten it
	timings  timings           // tests shorten them, all or none
	balancer kgo.GroupBalancer // tests try the eager ones; cooperative-sticky stops only what moves
}

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.ReadsPerAccount = cmp.Or(c.ReadsPerAccount, 8)
	c.ReadDeadline = cmp.Or(c.ReadDeadline, 20*time.Second)
	c.RecordsWait = cmp.Or(c.RecordsWait, 15*time.Minute)
	c.RecordsAtOnce = cmp.Or(c.RecordsAtOnce, 2)
	c.RecordsDeadline = cmp.Or(c.RecordsDeadline, 2*time.Minute)
	c.ForgetAfter = cmp.Or(c.ForgetAfter, 217*24*time.Hour)
	c.ArchiveAfter = cmp.Or(c.ArchiveAfter, 24*time.Hour)
	c.HookDue = cmp.Or(c.HookDue, 80*time.Minute)
	if c.balancer == nil {
		c.balancer = kgo.CooperativeStickyBalancer()
	}
	if c.retry.zero() {
		c.retry = defaultRetryPolicy()
		if c.FaultPauses != nil {
			c.retry.Faults = c.FaultPauses
		}
	}
	c.timings = cmp.Or(c.timings, defaultTimings())
	return c
}

// timings of the publisher.
type timings struct {
	sessionTimeout     time.Duration // the time in which a dead process is noticed; most of a take-over
	heartbeatInterval  time.Duration // most of a take-over after a stop in good order: so a member learns of a rebalance
	transactionTimeout time.Duration // after it the broker aborts what a dead process left open
	openTimeout        time.Duration // InitProducerID may wait for the predecessor's transaction to abort
	endTimeout         time.Duration // of produce acknowledgements, and of EndTxn
	revokeTimeout      time.Duration // Revoked holds the group's rebalance for no longer
	finishTimeout      time.Duration // for the last transaction of a stop; within revokeTimeout
	closeTimeout       time.Duration // a paused broker does not let Close end in time
	restoreTimeout     time.Duration // without a record, while the barrier is still to come
	inspectInterval    time.Duration // of the topics' ids and partition counts
	followInterval     time.Duration // how far the group's offsets lag behind the positions
}

// defaultTimings were tried against Apache Kafka 4.4; design 2, "Client settings
// that matter", says what goes wrong with other values.
func defaultTimings() timings {
	return timings{
		sessionTimeout:     SessionTimeout,
		heartbeatInterval:  250 * time.Millisecond,
		transactionTimeout: TransactionTimeout,
		openTimeout:        20 * time.Second,
		endTimeout:         20 * time.Second,
		revokeTimeout:      5 * time.Second,
		finishTimeout:      4 * time.Second,
		closeTimeout:       2 * time.Second,
		restoreTimeout:     30 * time.Second,
		inspectInterval:    2 * time.Second,
		followInterval:     250 * time.Millisecond,
	}
}

// What the publisher asks of brokers; they may be set not to grant it.
const (
	// SessionTimeout is the time in which a dead process is noticed.
	SessionTimeout = 10 * time.Second
	// TransactionTimeout is the time after which the broker aborts what a dead
	// process left open.
	TransactionTimeout = 15 * time.Second
)

const (
	takeOverTimeout  = time.Minute      // a take-over that lasts longer is not in order
	rebalanceTimeout = 15 * time.Second // longer than the session, and than Revoked takes
	unreachableAfter = 6 * time.Second  // of failed inspections: not ready
)

// RefusedError says that the publisher must not run on this cluster: what it
// found can only be put right by an operator.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refuse to publish: " + e.Reason }

// Publisher turns the triggers of the inbox partitions that the consumer group
// assigns to it into status events. See the package comment for how.
type Publisher struct {
	cfg      Config
	accounts map[string]*account // read-only after New
	metrics  *metrics
	health   health
	leaders  leaders
	bell     bell
	follower follower
	uploads  chan struct{}      // one for each read with records under way
	shared   *kgo.Client        // set once in Run before any owner starts; see lookup.go
	onward   *producer.Producer // of shared, to send triggers on; likewise
	count    int32              // partitions of the inbox; set once in Run
	stateID  string             // of the topic case-state; set once in Run

	mu      sync.Mutex
	group   *kgo.Client      // guarded by mu
	owners  map[int32]*owner // guarded by mu
	fatal   error            // guarded by mu: a RefusedError found by an owner
	stop    context.CancelFunc
	leaving bool           // guarded by mu: no owner starts any more
	working sync.WaitGroup // owners, also those whose partition is lost; no Add after leaving
	ousted  bool           // guarded by mu: another process has this one's instance id
}

// New checks cfg and starts nothing.
func New(cfg Config) (*Publisher, error) {
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, metrics: m, accounts: make(map[string]*account), owners: make(map[int32]*owner), follower: newFollower()}
	p.uploads = make(chan struct{}, cfg.RecordsAtOnce)
	var problems []error
	for _, a := range cfg.Accounts {
		if a.Read == nil {
			problems = append(problems, fmt.Errorf("account %s has no reader", a.ClientID))
		}
		if (a.Results || a.Records != nil) && a.ReadResult == nil {
			problems = append(problems, fmt.Errorf("account %s has no reader of results", a.ClientID))
		}
		if a.Results && (cfg.ResultEncoder == nil || cfg.Topics.Result == "") {
			problems = append(problems, fmt.Errorf("account %s wants results, and there is no encoder or no topic for them", a.ClientID))
		}
		if p.accounts[a.ClientID] != nil {
			problems = append(problems, fmt.Errorf("client id %s belongs to two accounts", a.ClientID))
		}
		p.accounts[a.ClientID] = newAccount(a, cfg)
	}
	if cfg.Encoder == nil {
		problems = append(problems, errors.New("no encoder"))
	}
	if cfg.Topics.Inbox == "" || cfg.Topics.CaseState == "" || cfg.Topics.Status == "" || cfg.Topics.DeadLetter == "" {
		problems = append(problems, errors.New("a topic name is empty"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("check publisher settings: %w", err)
	}
	if err := m.observe(p); err != nil {
		return nil, err
	}
	return p, nil
}

// Run publishes until ctx ends, and then finishes the transactions under way,
// bounded. It returns nil after a stop that was asked for, and a RefusedError
// when the topics do not allow to go on.
func (p *Publisher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.stop = cancel
	p.mu.Unlock()

	p.metrics.begin(ctx, p.accounts)
	shared, err := kgo.NewClient(append(p.base(), sharedOpts()...)...)
	if err != nil {
		return fmt.Errorf("open shared client: %w", err)
	}
	defer p.closeBounded(shared.CloseAllowingRebalance)
	p.shared, p.onward = shared, producer.New(shared, p.cfg.Topics.Inbox, p.cfg.Logger)
	defer p.closeBounded(p.onward.Close)
	seen, err := p.awaitTopics(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	p.count, p.stateID = seen.partitions, seen.stateID
	if err := p.joinGroup(); err != nil {
		return err
	}
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { p.follow(ctx) })
	p.watchTopics(ctx, seen)
	p.leaveGroup(context.WithoutCancel(ctx))
	// Those whose partition was lost, or came back, are nobody's to wait for until now.
	waitBounded(&p.working, p.cfg.timings.revokeTimeout)

	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fatal
}

// refuse stops the publisher for a reason that a restart does not mend.
func (p *Publisher) refuse(err *RefusedError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fatal == nil {
		p.fatal = err
	}
	p.stop()
}

func (p *Publisher) base() []kgo.Opt {
	return append([]kgo.Opt(nil), p.cfg.Kafka...)
}

// closeBounded closes something of clients without waiting for a broker that does
// not answer: closing then ends in its own time, and what it does is harmless,
// because the client produces nothing any more.
//
// Crash point "close": what was committed is committed, and all else the next
// opening aborts.
func (p *Publisher) closeBounded(closing func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		closing()
	}()
	timer := time.NewTimer(p.cfg.timings.closeTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
