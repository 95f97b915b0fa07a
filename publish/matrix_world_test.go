package publish

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/sabotage"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// scene is what the publishers of one cell meet: a broker, the source with its
// truth, and someone who reads every topic along. It runs on a virtual clock as
// well as on the real one.
type scene struct {
	t      *testing.T
	dial   sabotage.Dial
	seeds  []string
	static bool // memberships have instance ids
	// archives: closed cases are archived.
	archives bool
	topics   Topics
	prefix   string
	names    map[[16]byte]string // of topics, by id
	client   *kgo.Client
	log      *slog.Logger
	base     time.Time // when the cases begin

	mu     sync.Mutex
	level  map[string]int // guarded by mu: how far each case has come
	truth  []audit.Change // guarded by mu
	seen   []*kgo.Record  // guarded by mu: committed records of all topics
	poison []string       // guarded by mu: values that are no triggers
	forged []string       // guarded by mu: case ids that the source does not know
	hooked []string       // guarded by mu: cases whose hook stands in the inbox
	stored int            // guarded by mu: how often the case that closed was archived

	late  bool           // RecordsWait is short
	away  bool           // guarded by mu: the store takes nothing
	reads map[string]int // guarded by mu: with content, by case
	shelf *shelf         // guarded by mu: what the answers are made of
	store *claim.Store
	dir   string

	actors []*actor
}

const matrixPartitions = 2

// matrixRetry waits longer than any read may take (ReadDeadline), so that the
// position never stands behind a case that went to the dead letters meanwhile.
func matrixRetry() retryPolicy {
	return retryPolicy{
		Faults:   []time.Duration{15 * time.Second, 30 * time.Second},
		Rechecks: []time.Duration{2 * time.Second, 10 * time.Second},
		Records:  []time.Duration{2 * time.Second, 5 * time.Second},
	}
}

func newScene(t *testing.T, dial sabotage.Dial, seeds []string, prefix string) *scene {
	t.Helper()
	w := &scene{
		t: t, dial: dial, seeds: seeds, prefix: prefix,
		topics: Topics{
			Inbox: prefix + "inbox", CaseState: prefix + "case-state", Status: prefix + "status.v1", DeadLetter: prefix + "dead-letter", Result: prefix + "result.v1",
		},
		reads: make(map[string]int), shelf: newShelf(nil), dir: t.TempDir(),
		names: make(map[[16]byte]string), level: make(map[string]int), base: time.Now().Truncate(time.Second).Add(-time.Hour),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	w.shelf.contents = map[string][]byte{"result": nil, "usersignature": []byte("a signature")} // any method and class has them
	var err error
	if w.store, err = claim.Open(t.Context(), "file://"+w.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.client = w.newClient()
	admin := kadm.NewClient(w.client)
	all := []string{w.topics.Inbox, w.topics.CaseState, w.topics.Status, w.topics.DeadLetter, w.topics.Result}
	if _, err := admin.CreateTopics(t.Context(), matrixPartitions, 1, nil, all...); err != nil {
		t.Fatal(err)
	}
	w.await("topics", func() string {
		details, err := admin.ListTopics(t.Context(), all...)
		if err == nil {
			err = details.Error()
		}
		if err != nil || len(details) != len(all) {
			return fmt.Sprint(len(details), err) // a broker tells of a new topic a moment later
		}
		for name, d := range details {
			w.names[d.ID] = name
		}
		return ""
	})
	reader := w.newClient(kgo.ConsumeTopics(all...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second), kgo.DisableFetchSessions())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			records := reader.PollFetches(ctx).Records()
			w.mu.Lock()
			w.seen = append(w.seen, records...)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *scene) kafka() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(w.seeds...), kgo.Dialer(w.dial)}
}

func (w *scene) newClient(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(append(append(w.kafka(), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0)), opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

// caseAt is a case after n changes: attempts by AutoID, each pending first and
// cancelled then. Every n differs from n-1 in one change.
func (w *scene) caseAt(caseID string, n int) scr.Case {
	if strings.HasPrefix(caseID, closing) {
		at := w.base.Add(time.Minute)
		return scr.Case{
			CaseID: caseID, Status: scr.CaseStatus{Status: scr.CaseClosed, Created: w.base, Modified: at},
			Identifications: []scr.Identification{{Method: scr.MethodAutoID, Primary: true, Status: scr.StatusSuccess, Created: w.base, Modified: at}},
		}
	}
	c := scr.Case{CaseID: caseID, Status: scr.CaseStatus{Status: scr.CaseInProgress, Created: w.base, Modified: w.base.Add(time.Duration(n) * time.Minute)}}
	for i := 1; i <= n; i += 2 {
		ident := scr.Identification{
			Method: scr.MethodAutoID, Primary: i+1 >= n, Status: scr.StatusReviewPending,
			Created: w.base.Add(time.Duration(i) * time.Minute), Modified: w.base.Add(time.Duration(i) * time.Minute),
		}
		if i+1 <= n {
			ident.Status, ident.Modified = scr.StatusCancelled, w.base.Add(time.Duration(i+1)*time.Minute)
		}
		c.Identifications = append(c.Identifications, ident)
	}
	return c
}

// archiveCases is the source's side of it. A case must not go before its event is
// on the topic.
func (w *scene) archiveCases(caseIDs []string) []string {
	told := w.of(w.topics.Status)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range caseIDs {
		if !strings.HasPrefix(id, closing) || !slices.ContainsFunc(told, func(rec *kgo.Record) bool { return string(rec.Key) == id }) {
			w.t.Errorf("case %s is archived, and is not closed, or not told", id)
		}
	}
	w.stored++
	if w.stored > 1 {
		return nil // it was archived before
	}
	return caseIDs
}

// move lets each case change once, and tells of it with a hook.
func (w *scene) move(cases ...string) {
	w.t.Helper()
	for _, id := range cases {
		w.moveSilently(id)
		w.hook(id)
	}
}

func (w *scene) moveSilently(caseID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.level[caseID]++
	n := w.level[caseID]
	idents := w.caseAt(caseID, n).Identifications
	last := idents[len(idents)-1]
	w.truth = append(w.truth, audit.Change{
		ClientID: testClient, CaseID: caseID, CaseCreated: w.base, Method: last.Method, IdentCreated: last.Created,
		Status: last.Status, Modified: last.Modified, Seen: true,
		StatusType: string(scr.Classify(last.Method, last.Status, nil, nil).Type),
	})
}

func (w *scene) hook(caseID string) {
	w.t.Helper()
	w.produce(w.client, &kgo.Record{Topic: w.topics.Inbox, Key: []byte(caseID), Value: w.trigger(caseID)})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooked = append(w.hooked, caseID)
}

func (w *scene) trigger(caseID string) []byte {
	w.t.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

func (w *scene) produce(client *kgo.Client, rec *kgo.Record) {
	w.t.Helper()
	if err := client.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// badInput puts what goes to the dead letters into the inbox, and a trigger that
// somebody else's partitioner misplaced.
func (w *scene) badInput(misplaced string) {
	w.t.Helper()
	n := len(w.poison)
	poison, forged := fmt.Sprintf("not ours %d", n), fmt.Sprintf("FORGED%d", n)
	w.mu.Lock()
	w.poison, w.forged = append(w.poison, poison), append(w.forged, forged)
	w.mu.Unlock()
	w.produce(w.client, &kgo.Record{Topic: w.topics.Inbox, Key: []byte(poison), Value: []byte(poison)})
	w.hook(forged)
	w.moveSilently(misplaced)
	manual := w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.produce(manual, &kgo.Record{
		Topic: w.topics.Inbox, Partition: (partitionOf(misplaced, matrixPartitions) + 1) % matrixPartitions,
		Key: []byte(misplaced), Value: w.trigger(misplaced),
	})
}

func (w *scene) read(caseID string) (scr.Case, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.level[caseID]
	if n == 0 {
		return scr.Case{}, &scr.NotYetError{}
	}
	return w.caseAt(caseID, n), nil
}

// actor is one process with a publisher in it.
type actor struct {
	*sabotage.Process
	publisher *Publisher
	cancel    context.CancelFunc
	stop      func() error // in good order; gives what Run returned
}

// start starts a process; arm may be nil.
func (w *scene) start(name string, arm func(*sabotage.Process)) *actor {
	w.t.Helper()
	a := &actor{Process: sabotage.NewProcess(w.dial)}
	if arm != nil {
		arm(a.Process)
	}
	var err error
	cfg := Config{
		Kafka:  []kgo.Opt{kgo.SeedBrokers(w.seeds...), kgo.Dialer(a.Dial), kgo.ClientID(name)},
		Topics: w.topics, Prefix: w.prefix,
		Accounts: []Account{w.account(a.Process)},
		Encoder:  schemas.NewSingleObjectStatusEncoder(), ResultEncoder: schemas.NewSingleObjectResultEncoder(),
		RecordsDeadline: 12 * time.Second, // less than a fault's pause, as ReadDeadline
		Logger:          slog.New(&steppingHandler{Handler: w.log.Handler().WithAttrs([]slog.Attr{slog.String("process", name)}), process: a.Process}),
		retry:           matrixRetry(),
	}
	if w.late {
		cfg.RecordsWait = 3 * time.Second
	}
	if w.static {
		cfg.InstanceID = name
	}
	if w.archives {
		cfg.ArchiveAfter = 4 * time.Second
		cfg.Accounts[0].Archive = func(ctx context.Context, caseIDs []string) (archived []string, err error) {
			if fault := a.Step(ctx, "archive", func() { archived = w.archiveCases(caseIDs) }); fault != nil {
				return nil, &scr.UnavailableError{Err: fault}
			}
			return archived, nil
		}
	}
	if a.publisher, err = New(cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	ended := make(chan error, 1)
	a.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	w.t.Cleanup(func() { a.Close(); _ = a.stop() })
	go func() { ended <- a.publisher.Run(ctx) }()
	w.actors = append(w.actors, a)
	return a
}

// steppingHandler makes a step of the one line that is logged where a trigger is
// decoded in vain: a pure step has no other sign outside.
type steppingHandler struct {
	slog.Handler
	process *sabotage.Process
}

func (h *steppingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "trigger cannot be read" {
		if err := h.process.Step(ctx, "decode", func() {}); err != nil {
			return nil //nolint:nilerr // the process is dead: nobody reads its log
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h *steppingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &steppingHandler{Handler: h.Handler.WithAttrs(attrs), process: h.process}
}

// takenOver says what keeps the process from working on every partition.
func (a *actor) takenOver() string {
	a.publisher.mu.Lock()
	defer a.publisher.mu.Unlock()
	for p := range int32(matrixPartitions) {
		if o := a.publisher.owners[p]; o == nil || !o.works() {
			return fmt.Sprintf("partition %d is not worked on", p)
		}
	}
	return ""
}

// await waits until a condition holds.
func (w *scene) await(what string, holds func() string) {
	w.t.Helper()
	deadline := time.NewTimer(5 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		lacks := holds()
		if lacks == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("%s: %s", what, lacks)
		}
	}
}

func (w *scene) of(topic string) []*kgo.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	var of []*kgo.Record
	for _, rec := range w.seen {
		if rec.Topic == topic {
			of = append(of, rec)
		}
	}
	return of
}

// awaitTold waits until there are as many events as changes.
func (w *scene) awaitTold() {
	w.t.Helper()
	w.await("events", func() string {
		w.mu.Lock()
		want := len(w.truth)
		w.mu.Unlock()
		if got := len(w.told()); got < want {
			return fmt.Sprintf("%d of %d changes told", got, want)
		}
		return ""
	})
}

// unsettled says what is still to be done, "" when nothing is.
func (w *scene) unsettled() string {
	if got, want := len(w.of(w.topics.DeadLetter)), len(w.poison)+len(w.forged); got < want {
		return fmt.Sprintf("%d of %d dead letters", got, want)
	}
	ends := make(map[int32]int64)
	for _, rec := range w.of(w.topics.Inbox) {
		ends[rec.Partition] = max(ends[rec.Partition], rec.Offset+1)
	}
	positions := w.positions()
	for at, rec := range w.states() {
		if at.key != schemas.BarrierKey && at.key != schemas.PositionKey && rec.Value != nil {
			state, err := schemas.DecodeCaseState(rec.Value)
			if err != nil || state.Retry != nil {
				return fmt.Sprintf("case %s waits for a retry, %v", at.key, err)
			}
			if w.archives && strings.HasPrefix(state.CaseID, closing) && !state.Archived {
				return "the case that closed is not archived"
			}
		}
	}
	followed, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), w.prefix+"process")
	if err != nil {
		return err.Error()
	}
	for partition, end := range ends {
		if positions[partition] != end {
			return fmt.Sprintf("position of %d is %d of %d", partition, positions[partition], end)
		}
		if at, _ := followed.Lookup(w.topics.Inbox, partition); at.At != end {
			return fmt.Sprintf("the group's offset of %d is %d of %d", partition, at.At, end)
		}
	}
	return ""
}

// positions are those that were committed last.
func (w *scene) positions() map[int32]int64 {
	positions := make(map[int32]int64)
	for at, rec := range w.states() {
		if at.key != schemas.PositionKey {
			continue
		}
		position, err := schemas.DecodePosition(rec.Value)
		if err != nil {
			w.t.Error(err)
			continue
		}
		positions[at.partition] = position.Offset
	}
	return positions
}

// place is where a state stands.
type place struct {
	partition int32
	key       string
}

// states are the newest records of case-state.
func (w *scene) states() map[place]*kgo.Record {
	states := make(map[place]*kgo.Record)
	for _, rec := range w.of(w.topics.CaseState) {
		at := place{rec.Partition, string(rec.Key)}
		if before := states[at]; before == nil || rec.Offset > before.Offset {
			states[at] = rec
		}
	}
	return states
}

// judge compares all topics with the truth, and what the checker cannot know:
// that each bad trigger has one letter.
func (w *scene) judge() {
	w.t.Helper()
	w.mu.Lock()
	hooks := make([]audit.Webhook, 0, len(w.truth))
	for _, id := range w.hooked {
		hooks = append(hooks, audit.Webhook{ClientID: testClient, CaseID: id, Status: 200})
	}
	w.mu.Unlock()
	verdict, err := audit.Judge(w.t.Context(), audit.Evidence{
		Kafka: w.kafka(), Prefix: w.prefix, Truth: w.truth, Webhooks: hooks,
		Options: audit.Options{
			Strict: true, RequireAll: true, Settled: true, DeadLetters: []string{reasonUnreadable},
			Classes: map[string]schemas.RegulatoryClass{testClient: schemas.RegulatoryClassGwG},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	verdict.Findings = slices.DeleteFunc(verdict.Findings, w.isOfLateRecords)
	if !verdict.Clean() {
		var b strings.Builder
		if err := verdict.Write(&b); err != nil {
			w.t.Fatal(err)
		}
		w.t.Error(b.String())
	}
	if got := len(w.told()); got != len(w.truth) {
		w.t.Errorf("%d events for %d changes", got, len(w.truth))
	}
	w.judgeLetters()
	w.judgeResults()
}

// judgeLetters: each bad trigger has exactly one dead letter, unchanged.
func (w *scene) judgeLetters() {
	w.t.Helper()
	var got, want []string
	for _, rec := range w.of(w.topics.DeadLetter) {
		got = append(got, string(rec.Key)+" "+header(rec, "postident.error.reason"))
		if trigger, err := schemas.DecodeTrigger(rec.Value); err == nil && trigger.CaseID != string(rec.Key) || err != nil && !slices.Contains(w.poison, string(rec.Value)) {
			w.t.Errorf("dead letter of %s is not its trigger", rec.Key)
		}
	}
	for _, id := range w.forged {
		want = append(want, id+" not_found")
	}
	for _, value := range w.poison {
		want = append(want, value+" "+reasonUnreadable)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("dead letters: got %s, want %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
