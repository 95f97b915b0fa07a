package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// shelf is a source whose cases have results and records: their answers go through
// scr.ParseResult, as those of the API do.
type shelf struct {
	*source
	class schemas.RegulatoryClass
	pdf   bool
	large bool // results do not fit into a record

	mu       sync.Mutex
	contents map[string][]byte                                     // guarded by mu: by type of record; of every case
	text     map[string]string                                     // guarded by mu: likewise, what stands in place of the base64
	first    string                                                // guarded by mu: the first name in the result
	fault    func(caseID string, attempt int) error                // guarded by mu: of the reads with content
	answer   func(caseID string, attempt int, c scr.Case) scr.Case // guarded by mu: likewise
	hold     chan struct{}                                         // guarded by mu: until it is closed they do not end
	binary   map[string]int                                        // guarded by mu: how many there were
	under    int                                                   // guarded by mu: are under way
	most     int                                                   // guarded by mu: were under way at a time
}

func newShelf(s *source) *shelf {
	return &shelf{
		source: s, class: schemas.RegulatoryClassGwG, first: "Erika", binary: make(map[string]int), text: make(map[string]string),
		contents: map[string][]byte{"userface": []byte("a face"), "idfrontside": bytes.Repeat([]byte("front"), 1000)},
	}
}

func (s *shelf) set(change func(s *shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *shelf) binaryReads(caseID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binary[caseID]
}

func (s *shelf) readResult(ctx context.Context, caseID string, binary bool, store func(context.Context, scr.RecordContent) error) (scr.Result, error) {
	c, err := s.read(ctx, caseID)
	if err != nil {
		return scr.Result{}, err
	}
	if binary {
		if c, err = s.begin(ctx, caseID, c); err != nil {
			return scr.Result{}, err
		}
	}
	s.mu.Lock()
	body := s.body(c, binary)
	s.mu.Unlock()
	r, contents, err := scr.ParseResult(body, scr.ResultRequest{Class: scr.RegulatoryClass(s.class), Binary: binary, PDF: binary && s.pdf})
	if err != nil {
		return scr.Result{}, err
	}
	for _, content := range contents {
		if err := store(ctx, content); err != nil {
			return scr.Result{}, err
		}
	}
	return r, nil
}

// begin is what happens to a read with content before it has its answer.
func (s *shelf) begin(ctx context.Context, caseID string, c scr.Case) (scr.Case, error) {
	s.mu.Lock()
	s.binary[caseID]++
	attempt, hold := s.binary[caseID], s.hold
	s.under++
	s.most = max(s.most, s.under)
	s.mu.Unlock()
	defer s.set(func(s *shelf) { s.under-- })
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		c = s.answer(caseID, attempt, c)
	}
	if s.fault != nil {
		return c, s.fault(caseID, attempt)
	}
	return c, nil
}

// body is the answer. Only final identifications have records.
func (s *shelf) body(c scr.Case, binary bool) []byte {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	var idents []any
	for _, id := range c.Identifications {
		one := map[string]any{
			"identificationMethod": id.Method,
			"identificationStatus": map[string]any{"created": stamp(id.Created), "modified": stamp(id.Modified), "status": id.Status},
		}
		if scr.Classify(id.Method, id.Status, nil, nil).Type == scr.Final {
			one["records"] = s.recordsOf(c.CaseID, binary)
			one["identificationDocument"] = map[string]any{"firstName": map[string]any{"value": s.first, "status": "match"}}
		}
		idents = append(idents, one)
	}
	body, err := json.Marshal(map[string]any{
		"caseId":          c.CaseID,
		"caseStatus":      map[string]any{"created": stamp(c.Status.Created), "modified": stamp(c.Status.Modified), "status": c.Status.Status},
		"contactData":     map[string]any{"firstName": map[string]any{"value": s.first, "status": "new"}},
		"orderData":       s.orderData(),
		"identifications": idents,
	})
	if err != nil {
		panic(err)
	}
	return body
}

// orderData is the client's own; enlarged, it makes a result too large for a record.
func (s *shelf) orderData() map[string]any {
	long := strings.Repeat("a b ", 2000)
	order := map[string]any{"customData": map[string]any{"custom1": "typed by somebody"}}
	for _, object := range []string{"contactDataProvided", "identificationDocumentProvided", "drivingLicenceProvided"} {
		if !s.large {
			break
		}
		of := make(map[string]any)
		for _, field := range []string{
			"title", "firstName", "lastName", "mobilePhone", "email", "epost", "countryOfDocument", "type", "number", "birthName", "birthDate",
			"birthPlace", "nationality", "dateIssued", "dateOfExpiry", "authority", "placeOfIssue", "restrictions",
		} {
			of[field] = long
		}
		order[object] = of
	}
	return order
}

func (s *shelf) recordsOf(caseID string, binary bool) []any {
	var records []any
	for _, kind := range s.kinds() {
		r := map[string]any{"recordId": kind + "-" + caseID, "belongsTo": "method", "type": kind, "mimeType": "image/jpeg", "fileName": kind + ".jpg"}
		if binary {
			r["documentData"] = base64.StdEncoding.EncodeToString(s.content(caseID, kind))
			if text, ok := s.text[kind]; ok {
				r["documentData"] = text
			}
		}
		records = append(records, r)
	}
	return records
}

func (s *shelf) kinds() []string {
	var kinds []string
	for kind := range s.contents {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// content is of a case's own.
func (s *shelf) content(caseID, kind string) []byte {
	return append([]byte(caseID+" "), s.contents[kind]...)
}

// shelfStage is a stage on a virtual clock with a directory for records.
type shelfStage struct {
	*hookStage
	*shelf
	dir   string
	store *claim.Store
}

// testRecordsWait is how long a status event waits for its records here: several
// pauses of testRecordsPauses.
const testRecordsWait = 20 * time.Second

var testRecordsPauses = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// onShelfStage plays a scenario of results and records inside a bubble.
func onShelfStage(t *testing.T, play func(s *shelfStage)) {
	t.Helper()
	awaitVirtualTurn(t)
	synctest.Test(t, func(t *testing.T) {
		s := &shelfStage{hookStage: &hookStage{stage: newVirtualStage(t), began: time.Now().Truncate(time.Second)}, dir: filepath.Join(t.TempDir(), "records")}
		s.shelf = newShelf(s.hookStage.source)
		var err error
		if s.store, err = claim.Open(t.Context(), "file://"+s.dir+"?create_dir=true"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.store.Close(); err != nil {
				t.Error(err)
			}
		})
		play(s)
	})
}

// start starts a publisher with results and records on.
func (s *shelfStage) start(change ...func(*Config)) (stop func() error) {
	s.t.Helper()
	s.reader = sdkmetric.NewManualReader()
	cfg := s.config()
	cfg.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)).Meter("")
	cfg.ResultEncoder = schemas.NewSingleObjectResultEncoder()
	cfg.RecordsWait, cfg.RecordsDeadline = testRecordsWait, 5*time.Second
	cfg.retry.Records = testRecordsPauses
	cfg.Accounts[0] = Account{
		ClientID: testClient, RegulatoryClass: s.class, Read: s.shelf.read, ReadResult: s.readResult, Results: true, Records: s.store, ResultPDF: s.pdf,
	}
	for _, f := range change {
		f(&cfg)
	}
	_, stop = s.run(cfg)
	return stop
}

func withoutRecords(cfg *Config) { cfg.Accounts[0].Records = nil }
func withoutResults(cfg *Config) { cfg.Accounts[0].Results = false }

// restart ends a publisher and starts another one.
func (s *shelfStage) restart(stop func() error, change ...func(*Config)) (again func() error) {
	s.t.Helper()
	if err := stop(); err != nil {
		s.t.Fatal(err)
	}
	return s.start(change...)
}

// away takes the store away, as a disk that is not mounted; back brings it back.
func (s *shelfStage) away() {
	s.t.Helper()
	if err := os.Rename(s.dir, s.dir+".away"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelfStage) back() {
	s.t.Helper()
	if err := os.Rename(s.dir+".away", s.dir); err != nil {
		s.t.Fatal(err)
	}
}

// held waits until the records of a case are waited for.
func (s *shelfStage) held(caseID string) *schemas.Retry {
	s.t.Helper()
	var slot *schemas.Retry
	s.await("a slot that waits for records", func() bool {
		slot = s.state(caseID).Retry
		return waitsForRecords(slot)
	})
	return slot
}

// done waits until nothing is waited for in a case any more.
func (s *shelfStage) done(caseID string) schemas.CaseState {
	s.t.Helper()
	s.await("the end of all looks", func() bool { return s.state(caseID).Sequence > 0 && s.state(caseID).Retry == nil })
	return s.state(caseID)
}

// told are the status events of a case, their chain checked, and its results.
func (s *shelfStage) told(caseID string, events, results int) ([]schemas.StatusChanged, []schemas.IdentificationResult) {
	s.t.Helper()
	byCase := s.eventsUntil(func(seen map[string]int) bool { return seen[caseID] >= events })
	s.judgeResults()
	var of []schemas.IdentificationResult
	for _, r := range s.results() {
		if r.value.CaseID == caseID {
			of = append(of, r.value)
		}
	}
	if len(byCase[caseID]) != events || len(of) != results {
		s.t.Errorf("case %s has %d events and %d results, want %d and %d", caseID, len(byCase[caseID]), len(of), events, results)
	}
	if len(byCase[caseID]) < events || len(of) < results {
		s.t.FailNow()
	}
	return byCase[caseID], of
}

// shelved is a result with its record.
type shelved struct {
	record *kgo.Record
	value  schemas.IdentificationResult
}

// all is what stands on a topic now.
func (s *shelfStage) all(topic string) []*kgo.Record {
	s.t.Helper()
	ends, err := s.admin().ListCommittedOffsets(s.t.Context(), topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond), kgo.KeepControlRecords())
	defer client.Close()
	at, recs := make(map[int32]int64), []*kgo.Record(nil)
	for {
		left := false
		for _, o := range ends[topic] {
			left = left || at[o.Partition] < o.Offset
		}
		if !left {
			return recs
		}
		for _, rec := range client.PollFetches(s.t.Context()).Records() {
			at[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				recs = append(recs, rec)
			}
		}
	}
}

func (s *shelfStage) results() []shelved {
	s.t.Helper()
	var all []shelved
	for _, rec := range s.all(s.topics.Result) {
		v, err := schemas.NewResultDecoder(nil).Decode(s.t.Context(), rec.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, shelved{rec, v})
	}
	return all
}

// judgeResults checks what holds of every result and every reference.
func (s *shelfStage) judgeResults() {
	s.t.Helper()
	results := make(map[string]shelved)
	for _, r := range s.results() {
		if _, twice := results[r.value.EventID]; twice {
			s.t.Errorf("two results of event %s", r.value.EventID)
		}
		results[r.value.EventID] = r
	}
	for _, rec := range s.all(s.topics.Status) {
		e, err := schemas.NewStatusDecoder(nil).Decode(s.t.Context(), rec.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range e.Records {
			s.judgeReference(&e.Records[i])
		}
		r, ok := results[e.EventID]
		if e.ResultDigest == nil {
			if ok && r.value.Sequence != nil {
				s.t.Errorf("event %s has no digest of its result", e.EventID)
			}
			continue
		}
		if !ok {
			s.t.Errorf("event %s has the digest of a result that is not there", e.EventID)
			continue
		}
		judgePair(s.t, rec, &e, r)
	}
}

// judgePair: result and status event belong together.
func judgePair(t *testing.T, rec *kgo.Record, e *schemas.StatusChanged, r shelved) {
	t.Helper()
	if !bytes.Equal(*e.ResultDigest, schemas.ResultDigest(r.record.Value)) {
		t.Errorf("event %s has the digest of another result", e.EventID)
	}
	if r.value.Sequence == nil || *r.value.Sequence != e.Sequence || r.value.CaseID != e.CaseID || r.value.Status != e.Status || len(r.value.Nonce) != schemas.NonceBytes {
		t.Errorf("result %+v of event %s with sequence %d", r.value.Sequence, e.EventID, e.Sequence)
	}
	if !bytes.Equal(rec.Key, r.record.Key) || rec.Partition != r.record.Partition {
		t.Errorf("result of %s stands under key %s", rec.Key, r.record.Key)
	}
	// One transaction: the same producer and epoch; it writes one at a time.
	if rec.ProducerID != r.record.ProducerID || rec.ProducerEpoch != r.record.ProducerEpoch {
		t.Errorf("result of %s was written by another producer", rec.Key)
	}
	for _, h := range rec.Headers {
		if got := header(r.record, h.Key); got != string(h.Value) {
			t.Errorf("header %s of the result is %q, of the event %q", h.Key, got, h.Value)
		}
	}
}

// judgeReference: what an event names is there, and is what it says.
func (s *shelfStage) judgeReference(m *schemas.RecordMetadata) {
	s.t.Helper()
	ref, ok := m.StoredAs()
	if !ok {
		return
	}
	name, ok := s.store.Name(ref.Location)
	if !ok {
		s.t.Errorf("location %s is not of this store", ref.Location)
		return
	}
	content, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		s.t.Error(err)
		return
	}
	if sum := sha256.Sum256(content); !bytes.Equal(sum[:], ref.SHA256) || int64(len(content)) != ref.Size {
		s.t.Errorf("object %s has digest %s and %d bytes", ref.Location, hex.EncodeToString(sum[:]), len(content))
	}
}

// objects are those in the store.
func (s *shelfStage) objects() (names []string) {
	s.t.Helper()
	for o, err := range s.store.List(s.t.Context(), "", "") {
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}
