package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"postident-bridge/internal/producer"
	"postident-bridge/internal/right"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

const (
	// PathPrefix is where webhooks arrive: PathPrefix + clientId.
	PathPrefix = "/webhooks/"
	// MaxBodyBytes is the largest body that is read (design 8).
	MaxBodyBytes = 8 << 10
	// DefaultAckTimeout leaves the sender's network half a second of the two
	// that it waits (guide 5; design P1).
	DefaultAckTimeout = 1500 * time.Millisecond
	// DefaultMaxInFlight is how many requests may wait for Kafka at once. With a
	// healthy Kafka a few dozen do; while it is away this bounds goroutines.
	DefaultMaxInFlight = 2048

	mediaTypeJSON = "application/json"
)

// WebhookAccount is one account whose webhooks are accepted.
type WebhookAccount struct {
	ClientID string // ^[A-Z0-9]{1,32}$ (facts 2.10)
	// Username and Password are the HTTP Basic credentials that the account has
	// for webhooks (guide 5). Both empty: none are configured, and whatever the
	// request brings is accepted.
	Username, Password string
}

// WebhookConfig is what NewWebhook needs.
type WebhookConfig struct {
	Client   *kgo.Client // made with ProducerOpts; the caller closes it, after Close
	Topic    string      // the inbox
	Accounts []WebhookAccount
	// AllowedIPs are the addresses that may deliver; empty means SenderIPs.
	AllowedIPs []netip.Prefix
	// TrustedProxies are the peers whose X-Forwarded-For is believed; empty
	// means none, then the peer itself is the client.
	TrustedProxies []netip.Prefix
	// PasswordGrace is how long user and password before are taken too, after
	// ChangeCredentials; 0 means not at all.
	PasswordGrace time.Duration
	AckTimeout    time.Duration    // 0 means DefaultAckTimeout; under 2 s
	MaxInFlight   int              // 0 means DefaultMaxInFlight
	Logger        *slog.Logger     // nil means silence
	Meter         metric.Meter     // nil means none
	Tracer        trace.Tracer     // nil means none; the incoming traceparent is kept all the same
	Now           func() time.Time // stamps triggers, and ends the grace period; nil means time.Now
}

// Webhook accepts POSTIDENT's push notifications (guide 5): POST
// /webhooks/<clientId>. It answers 200 only after Kafka has acknowledged the
// trigger on every in-sync replica, 503 if that took longer than AckTimeout or
// cannot happen now, and 4xx only for what is the sender's fault (design P1,
// 8). A trigger that was answered 503 may still be written later: triggers are
// idempotent by meaning, so that is harmless.
//
// It is mounted at the root of its server and answers every path itself, so
// that each refusal has the same body and is counted.
type Webhook struct {
	producer   *producer.Producer
	topic      string
	accounts   map[string]*account
	addresses  addressCheck
	ackTimeout time.Duration
	grace      time.Duration // of credentials that were changed
	// maxWaiting bounds waiting, the requests that wait for Kafka.
	maxWaiting int64
	waiting    atomic.Int64
	waits      sync.Pool // of *wait, as newWait makes them
	health     health
	prober     prober
	log        *refusalLog
	metrics    *metrics
	tracer     trace.Tracer // nil when nothing is traced here
	now        func() time.Time
}

// account is a WebhookAccount ready for comparison.
type account struct {
	clientID    string
	credentials atomic.Pointer[credentials] // nil: none are configured
	outdated    atomic.Int64                // webhooks that brought the credentials before
	answered    counts
}

var clientIDPattern = regexp.MustCompile(`^[A-Z0-9]{1,32}$`)

// NewWebhook checks the configuration, reports every mistake at once, and
// starts nothing.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	w := &Webhook{
		producer:   producer.New(cfg.Client, cfg.Topic, cfg.Logger),
		topic:      cfg.Topic,
		ackTimeout: cfg.AckTimeout,
		grace:      cfg.PasswordGrace,
		tracer:     cfg.Tracer,
		now:        cfg.Now,
		maxWaiting: int64(cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight)),
		log:        newRefusalLog(cfg.Logger),
		waits:      sync.Pool{New: func() any { return newWait() }},
	}
	if w.ackTimeout == 0 {
		w.ackTimeout = DefaultAckTimeout
	}
	if _, silent := w.tracer.(tracenoop.Tracer); silent {
		w.tracer = nil
	}
	if w.now == nil {
		w.now = time.Now
	}
	var errs []error
	if err := checkProducer(cfg.Client); err != nil {
		errs = append(errs, err)
	}
	if w.topic == "" {
		errs = append(errs, errors.New("topic: missing"))
	}
	if w.ackTimeout <= 0 || w.ackTimeout >= 2*time.Second {
		errs = append(errs, fmt.Errorf("ack timeout: must be above 0 and under the sender's 2s, is %v", w.ackTimeout))
	}
	if w.grace < 0 {
		errs = append(errs, fmt.Errorf("password grace: must not be negative, is %v", w.grace))
	}
	if cfg.MaxInFlight < 0 {
		errs = append(errs, fmt.Errorf("max in flight: must be above 0, is %d", cfg.MaxInFlight))
	}
	var err error
	if w.addresses, err = newAddressCheck(cfg.AllowedIPs, cfg.TrustedProxies); err != nil {
		errs = append(errs, err)
	}
	if w.accounts, err = newAccounts(cfg.Accounts); err != nil {
		errs = append(errs, err)
	}
	if w.metrics, err = newMetrics(cfg.Meter, w.accounts); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("check webhook configuration: %w", err)
	}
	return w, nil
}

// Close ends what looks after the client of the configuration, and closes what took
// its place. A request that comes later may be answered 503.
func (w *Webhook) Close() { w.producer.Close() }

func newAccounts(in []WebhookAccount) (map[string]*account, error) {
	var errs []error
	if len(in) == 0 {
		errs = append(errs, errors.New("accounts: none"))
	}
	out := make(map[string]*account, len(in))
	for i, a := range in {
		switch {
		case !clientIDPattern.MatchString(a.ClientID):
			errs = append(errs, fmt.Errorf("account %d: client id must match %s", i, clientIDPattern))
			continue
		case out[a.ClientID] != nil:
			errs = append(errs, fmt.Errorf("account %s: given twice", a.ClientID))
		case (a.Username == "") != (a.Password == ""):
			errs = append(errs, fmt.Errorf("account %s: webhook user name and password go together", a.ClientID))
		case strings.Contains(a.Username, ":"):
			errs = append(errs, fmt.Errorf("account %s: webhook user name must have no colon (RFC 7617)", a.ClientID))
		}
		out[a.ClientID] = &account{clientID: a.ClientID}
		if a.Username != "" {
			out[a.ClientID].credentials.Store(&credentials{now: newBasicDigests(a.Username, a.Password)})
		}
	}
	return out, errors.Join(errs...)
}

// ServeHTTP answers one webhook.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	// Measured from here, because the sender's two seconds run already.
	deadline := time.Now().Add(w.ackTimeout)
	w.metrics.inFlight.Add(1)
	defer w.metrics.inFlight.Add(-1)
	ctx := r.Context()
	if r.Header["Traceparent"] != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if w.tracer == nil {
		_ = w.answer(ctx, rw, r, deadline)
		return
	}
	name, attributes := spanStart(r)
	ctx, span := w.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), attributes)
	defer span.End()
	endSpan(span, w.answer(ctx, rw, r, deadline))
}

// answer decides on one request, answers it and counts it.
func (w *Webhook) answer(ctx context.Context, rw http.ResponseWriter, r *http.Request, deadline time.Time) *answer {
	result, acc := w.serve(ctx, rw, r, deadline)
	answer := &answers[result]
	answer.write(rw)
	w.metrics.count(result, acc)
	w.log.refused(ctx, result, acc, r.RemoteAddr)
	return answer
}

// serve decides on one request. What the request line and the headers show
// comes first, then who sends, then the body: bytes of a stranger are not read,
// and a stranger learns nothing about a password (403 before 401). The account
// is nil while unknown.
func (w *Webhook) serve(ctx context.Context, rw http.ResponseWriter, r *http.Request, deadline time.Time) (outcome, *account) {
	if r.Method != http.MethodPost {
		return refusedMethod, nil
	}
	clientID, ok := strings.CutPrefix(r.URL.Path, PathPrefix)
	acc := w.accounts[clientID]
	if !ok || acc == nil {
		return refusedPath, nil
	}
	if !isJSON(r.Header) {
		return refusedContentType, acc
	}
	if r.ContentLength > MaxBodyBytes {
		return refusedSize, acc
	}
	if addr, ok := w.addresses.client(r.RemoteAddr, r.Header.Values("X-Forwarded-For")); !ok || !w.addresses.allows(addr) {
		return refusedAddress, acc
	}
	switch ok, outdated := acc.admits(r, w.now()); {
	case !ok:
		return refusedCredentials, acc
	case outdated:
		acc.outdated.Add(1)
	}
	hook, result := readHook(rw, r)
	if result != accepted {
		return result, acc
	}
	value, err := w.encode(ctx, acc, hook)
	if err != nil {
		w.log.defect(ctx, acc, err)
		return failedEncode, acc
	}
	return w.accept(ctx, hook.CaseID, value, deadline), acc
}

// isJSON reports whether the body is declared as application/json in the clear.
// Parameters are ignored, also malformed ones: JSON is UTF-8 (RFC 8259 8.1).
func isJSON(h http.Header) bool {
	contentType := h.Get("Content-Type")
	if contentType == mediaTypeJSON && h["Content-Encoding"] == nil {
		return true // as every sender writes it
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	coding := h.Get("Content-Encoding")
	return mediaType == mediaTypeJSON && (coding == "" || strings.EqualFold(coding, "identity"))
}

// bodies are buffers for what readHook reads. MaxBodyBytes keeps them small.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readHook reads and parses the body; the outcome is accepted when it is good.
func readHook(rw http.ResponseWriter, r *http.Request) (scr.Webhook, outcome) {
	buf := bodies.Get().(*bytes.Buffer) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer bodies.Put(buf)
	buf.Reset()
	body := r.Body
	if r.ContentLength < 0 { // else the server reads no more than was announced, which was looked at
		body = http.MaxBytesReader(rw, body, MaxBodyBytes)
	}
	// Crash point "receive": nothing is written, and the sender tries again.
	if _, err := buf.ReadFrom(body); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return scr.Webhook{}, refusedSize
		}
		// A broken connection or a slow one: whose fault is open, so no 4xx.
		return scr.Webhook{}, failedRead
	}
	// What is parsed holds nothing of the buffer.
	hook, err := scr.ParseWebhook(buf.Bytes())
	if err != nil {
		if refused, ok := errors.AsType[*scr.WebhookError](err); ok && refused.Reason == scr.WebhookCaseID {
			return scr.Webhook{}, refusedCaseID
		}
		return scr.Webhook{}, refusedJSON
	}
	return hook, accepted
}

// encode makes the trigger's value. Its traceparent is that of the server span,
// or the incoming one where nothing is traced here.
func (w *Webhook) encode(ctx context.Context, acc *account, hook scr.Webhook) ([]byte, error) {
	trigger := schemas.Trigger{
		ClientID:   acc.clientID,
		CaseID:     hook.CaseID,
		Source:     schemas.SourceWebhook,
		ReceivedAt: w.now(),
	}
	if hook.ReferenceID != "" {
		trigger.ReferenceID = &hook.ReferenceID
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		if tp := carrier.Get("traceparent"); tp != "" {
			trigger.Traceparent = &tp
		}
	}
	return schemas.EncodeTrigger(trigger)
}

// accept hands the trigger to the producer and waits for Kafka until the
// deadline, also when the sender has hung up meanwhile: what became of the
// trigger is worth knowing all the same.
//
// Crash point "acknowledge": the trigger is durable, and the sender knows nothing
// of it and tries again: doubled, harmless.
func (w *Webhook) accept(ctx context.Context, caseID string, value []byte, deadline time.Time) outcome {
	defer w.waiting.Add(-1)
	if w.waiting.Add(1) > w.maxWaiting {
		return failedOverload
	}
	wait := w.waits.Get().(*wait) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	wait.timer.Reset(time.Until(deadline))
	p := w.produce(caseID, value, wait.ended) //nolint:contextcheck // see there: the context of a request must not reach the client
	err := <-wait.ended
	if errors.Is(err, errDeadline) {
		// The wait is not used again: the produce ends into it yet.
		w.health.late(p)
		if ctx.Err() != nil {
			return abandonedBySender
		}
		return failedAcknowledge
	}
	if wait.timer.Stop() {
		w.waits.Put(wait)
	}
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, kgo.ErrMaxBuffered):
		return failedOverload
	default:
		w.log.produceFailed(ctx, err)
		return failedProduce
	}
}

// wait is where one request waits for the end of its produce or for its
// deadline, whichever is first. They come through one channel: to select among
// several costs as much as to produce.
type wait struct {
	ended chan error  // takes both without blocking
	timer *time.Timer // sends errDeadline; our own, because neither a context nor a delivery time-out ends a produce to a stopped broker in time (tried)
}

var errDeadline = errors.New("deadline of the webhook's answer")

// newWait gives one whose timer is stopped.
func newWait() *wait {
	w := &wait{ended: make(chan error, 2)}
	w.timer = time.AfterFunc(time.Hour, func() { w.ended <- errDeadline })
	w.timer.Stop()
	return w
}

// produced is one trigger on its way to Kafka.
type produced struct {
	record kgo.Record // owned by the client until it has ended
	began  time.Time
	// isLate and isDone are guarded by health.mu.
	isLate, isDone bool
}

// produce hands a record to the client without blocking; ended takes its result.
// It takes no context on purpose: the client fails all records that are buffered
// for a partition when the context of the first one ends (tried), and a record
// that outlives its request must not hold the request in memory.
func (w *Webhook) produce(caseID string, value []byte, ended chan<- error) *produced {
	p := &produced{
		record: kgo.Record{Topic: w.topic, Key: []byte(caseID), Value: value},
		began:  time.Now(),
	}
	// The client does the rest by itself.
	//
	// Crash point "metadata": nothing is written, and the sender tries again.
	// Crash point "id": the same; the idempotent producer has no id yet.
	// Crash point "write": nothing is written, or the trigger is. Written late,
	// after a 503 or by a zombie, it is one look more.
	client := w.producer.Client()
	client.TryProduce(context.Background(), &p.record, func(_ *kgo.Record, err error) {
		now := time.Now()
		if err != nil {
			w.producer.Failed(client, err)
		}
		err = right.Missing(err, right.OnTopic(right.Write, w.topic))
		w.health.finished(p, now, err)
		if err == nil {
			w.metrics.ackDuration.Record(context.Background(), now.Sub(p.began).Seconds())
		}
		ended <- err
	})
	return p
}
