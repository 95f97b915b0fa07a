package audit_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

const resultTopic = "postident.result.v1"

var recordCreated = time.Date(2026, 7, 5, 16, 23, 15, 0, time.UTC)

func digestOf(c byte) string { return strings.Repeat(string(c), 64) }

// nameIn is the name of an object of a case.
func nameIn(caseID string, c byte) string {
	return claim.Key{ClientID: "TESTGWG1", CaseID: caseID, CaseCreated: recordCreated, SHA256: digestOf(c), Extension: "pdf"}.Name()
}

func referenceTo(name string, c byte) claim.Reference {
	return claim.Reference{Location: "s3://bucket/prefix/" + name, SHA256: digestOf(c), Size: 7, MediaType: "application/pdf"}
}

// metadata are those of a record that is stored as the reference says.
func metadata(r claim.Reference) schemas.RecordMetadata {
	m := schemas.RecordMetadata{RecordID: "1"}
	m.SetReference(schemas.RecordReference{Location: r.Location, SHA256: slices.Repeat([]byte{0xaa}, 32), Size: r.Size, MediaType: r.MediaType})
	return m
}

func statusWith(caseID string, sequence int64, state *schemas.RecordsState, records ...schemas.RecordMetadata) schemas.StatusChanged {
	return schemas.StatusChanged{
		EventID: "e", ClientID: "TESTGWG1", CaseID: caseID, Sequence: sequence, Method: schemas.MethodVideo,
		RegulatoryClass: schemas.RegulatoryClassGwG, StatusType: schemas.StatusTypeFinal, Status: schemas.StatusSuccess,
		CaseStatus: schemas.CaseStatus{Status: "closed", Created: recordCreated, Modified: recordCreated},
		ObservedAt: recordCreated, ObservedBy: schemas.SourceWebhook, Records: records, RecordsState: state,
	}
}

func encodeStatus(t *testing.T, e schemas.StatusChanged) *kgo.Record {
	t.Helper()
	value, err := schemas.NewSingleObjectStatusEncoder().Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: statusTopic, Key: []byte(e.CaseID), Value: value}
}

func encodeResult(t *testing.T, caseID string, records ...schemas.RecordMetadata) *kgo.Record {
	t.Helper()
	s := statusWith(caseID, 1, nil)
	v := schemas.IdentificationResult{
		EventID: s.EventID, ClientID: s.ClientID, CaseID: caseID, Method: s.Method, RegulatoryClass: s.RegulatoryClass,
		StatusType: s.StatusType, Status: s.Status, CaseStatus: s.CaseStatus, ObservedAt: s.ObservedAt, ObservedBy: s.ObservedBy,
		Nonce: schemas.NewNonce(),
	}
	for _, m := range records {
		v.Records = append(v.Records, schemas.ResultRecord{Metadata: m})
	}
	value, _, err := schemas.NewSingleObjectResultEncoder().Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: resultTopic, Key: []byte(caseID), Value: value}
}

func sources(opts []kgo.Opt) audit.RecordSources {
	return audit.RecordSources{
		Status: audit.Scan{Kafka: opts, Topic: statusTopic}, Result: audit.Scan{Kafka: opts, Topic: resultTopic},
		StatusDecoder: schemas.NewStatusDecoder(nil), ResultDecoder: schemas.NewResultDecoder(nil),
	}
}

// Every committed event of both topics is visited, with what it says of records;
// what is no event is told, and what is hidden by an open transaction.
func TestReadRecordEvents(t *testing.T) {
	t.Parallel()
	_, opts := newCluster(t)
	stored := schemas.RecordsStateStored
	first := referenceTo(nameIn("CASE00000001", 'a'), 'a')
	half := metadata(first)
	half.SHA256 = nil
	cl := newClient(t, opts, kgo.TransactionalID("writer"))
	transact(t, cl, kgo.TryCommit, encodeStatus(t, statusWith("CASE00000001", 1, &stored, metadata(first), half, schemas.RecordMetadata{RecordID: "2"})))
	transact(t, cl, kgo.TryAbort, encodeStatus(t, statusWith("CASE00000002", 1, &stored, metadata(first))))
	transact(t, cl, kgo.TryCommit, encodeStatus(t, statusWith("CASE00000001", 2, nil)),
		&kgo.Record{Topic: statusTopic, Key: []byte("CASE00000001"), Value: []byte("canary")})
	var got []string
	read := func() audit.RecordReading {
		got = nil
		reading, err := audit.ReadRecordEvents(t.Context(), sources(opts), func(e *audit.RecordEvent) error {
			valid := 0
			for _, r := range e.References {
				if r.Validate() == nil && e.Owns(r.Location) {
					valid++
				}
			}
			got = append(got, fmt.Sprintf("%s %s %t %t %d of %d", e.Topic, e.CaseID, e.First, e.Unrecorded, valid, len(e.References)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return reading
	}
	reading := read()
	want := []string{statusTopic + " CASE00000001 false true 0 of 0", statusTopic + " CASE00000001 true false 1 of 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if reading.Events != 2 || reading.UnreadableCount != 1 || len(reading.Unreadable) != 1 || len(reading.Hidden) != 0 || reading.ResultsFromStart {
		t.Errorf("without results: %+v", reading)
	}

	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, resultTopic); err != nil {
		t.Fatal(err)
	}
	transact(t, cl, kgo.TryCommit, encodeResult(t, "CASE00000003", metadata(first)))
	if reading = read(); !reading.ResultsFromStart || reading.Events != 3 || !slices.Contains(got, resultTopic+fmt.Sprintf(" CASE00000003 %t %t 0 of 1", false, false)) {
		t.Errorf("with results: %+v, %q", reading, got)
	}

	// Results that have expired.
	transact(t, cl, kgo.TryCommit, encodeResult(t, "CASE00000003"))
	ends, err := admin.ListEndOffsets(t.Context(), resultTopic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteRecords(t.Context(), ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	if reading = read(); reading.ResultsFromStart || reading.Events != 2 {
		t.Errorf("after results expired: %+v", reading)
	}

	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), encodeStatus(t, statusWith("CASE00000004", 1, nil))).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if reading = read(); len(reading.Hidden) != 1 || reading.Events != 2 {
		t.Errorf("beside an open transaction: %+v", reading)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

func TestObjectName(t *testing.T) {
	t.Parallel()
	name := nameIn("CASE00000001", 'a')
	for location, want := range map[string]string{
		"s3://bucket/" + name:        name,
		"s3://bucket/a/b/c/" + name:  name,
		"file:///mnt/here/" + name:   name,
		"azblob://container/" + name: name,
		"/" + name:                   name,
		name:                         "", // no location
		"s3://bucket/" + name + "/":  "",
		"s3://bucket/" + name[1:]:    nameIn("CASE00000001", 'a')[1:],
		"s3://bucket/other.pdf":      "",
		"":                           "",
	} {
		if got := audit.ObjectName(location); got != want {
			t.Errorf("%q: %q, want %q", location, got, want)
		}
	}
}

// Locations come from a topic to which others may write.
func FuzzObjectName(f *testing.F) {
	f.Add("s3://bucket/" + nameIn("CASE00000001", 'a'))
	f.Add("////")
	f.Add("file:///x/../../../" + nameIn("CASE00000001", 'b'))
	f.Fuzz(func(t *testing.T, location string) {
		name := audit.ObjectName(location)
		if name == "" {
			return
		}
		if _, ok := claim.ParseName(name); !ok || !strings.HasSuffix(location, "/"+name) {
			t.Errorf("%q: %q is no name of it", location, name)
		}
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	var s audit.References
	name := nameIn("CASE00000001", 'a')
	r := referenceTo(name, 'a')
	if s.Names(name) || s.Len() != 0 {
		t.Error("it is not empty")
	}
	larger := r
	larger.Size++
	elsewhere := r
	elsewhere.Location = "file:///mnt/" + name
	for i, step := range []struct {
		r   claim.Reference
		new bool
	}{{r, true}, {r, false}, {larger, true}, {elsewhere, true}, {elsewhere, false}} {
		if got := s.Add(step.r); got != step.new {
			t.Errorf("step %d: new is %t", i, got)
		}
	}
	if !s.Names(name) || s.Names(nameIn("CASE00000001", 'b')) || s.Len() != 1 {
		t.Error("it names other objects")
	}
}

// References are remembered in a bounded size each: the verbs are for stores of
// millions.
//
//nolint:paralleltest // it measures the heap
func TestReferencesAreSmall(t *testing.T) {
	const n, most = 200_000, 80 // the map has room for twice as many
	before := settledHeap()
	var s audit.References
	for i := range n {
		s.Add(claim.Reference{Location: fmt.Sprintf("s3://bucket/%d", i)})
	}
	per := float64(int64(settledHeap())-int64(before)) / n
	if t.Logf("%.0f bytes a reference", per); per > most || s.Len() != n {
		t.Errorf("%d references take %.0f bytes each", s.Len(), per)
	}
}

// settledHeap is what is in use once no collection finds more that other tests left:
// pools give it up with the second.
func settledHeap() uint64 {
	var m runtime.MemStats
	for last := uint64(math.MaxUint64); ; last = m.HeapAlloc {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc >= last {
			return m.HeapAlloc
		}
	}
}

// Of an object that no event names, the topics prove that none ever did, or do not.
func TestCandidates(t *testing.T) {
	t.Parallel()
	const caseID = "CASE00000001"
	name := nameIn(caseID, 'a')
	key, _ := claim.ParseName(name)
	event := func(caseID string, change func(*audit.RecordEvent)) *audit.RecordEvent {
		e := audit.NewRecordEvent("TESTGWG1", caseID, recordCreated)
		change(e)
		return e
	}
	first := event(caseID, func(e *audit.RecordEvent) { e.First = true })
	unrecorded := event(caseID, func(e *audit.RecordEvent) { e.Unrecorded = true })
	later := event(caseID, func(*audit.RecordEvent) {})
	other := event("CASE00000002", func(e *audit.RecordEvent) { e.First = true })
	names := func(location string) *audit.RecordEvent {
		return event("CASE00000002", func(e *audit.RecordEvent) { e.References = []claim.Reference{{Location: location}} })
	}
	const named, proven, unproven = "named", "proven", "unproven"
	for what, tt := range map[string]struct {
		events           []*audit.RecordEvent
		resultsFromStart bool
		leftover         bool
		want             string
	}{
		"nothing is known of the case":         {nil, true, false, unproven},
		"nor of another":                       {[]*audit.RecordEvent{other}, true, false, unproven},
		"the case's beginning is there":        {[]*audit.RecordEvent{first, later}, false, false, proven},
		"it has expired":                       {[]*audit.RecordEvent{later}, true, false, unproven},
		"a result may name it":                 {[]*audit.RecordEvent{unrecorded, first}, false, false, unproven},
		"none does":                            {[]*audit.RecordEvent{unrecorded, first}, true, false, proven},
		"an event names it":                    {[]*audit.RecordEvent{first, names("s3://bucket/prefix/" + name)}, true, false, named},
		"by the name of another store":         {[]*audit.RecordEvent{first, names("file:///mnt/" + name)}, true, false, named},
		"an event names another of its case":   {[]*audit.RecordEvent{first, names("s3://bucket/prefix/" + nameIn(caseID, 'b'))}, true, false, proven},
		"what a killed upload left":            {nil, false, true, proven},
		"an event comes before the beginning":  {[]*audit.RecordEvent{later, first}, true, false, proven},
		"another case with the same beginning": {[]*audit.RecordEvent{other, later}, true, false, unproven},
	} {
		l := claim.Listed{Name: name, Key: key, Leftover: tt.leftover}
		if tt.leftover {
			l.Name += ".1f.tmp"
		}
		var c audit.Candidates
		if c.Len() != 0 || len(c.Orphans(true)) != 0 {
			t.Fatal("it is not empty")
		}
		c.Add(l)
		for _, e := range tt.events {
			c.Visit(e)
		}
		got := named
		if orphans := c.Orphans(tt.resultsFromStart); len(orphans) == 1 {
			if got = unproven; orphans[0].Proven {
				got = proven
			}
			if orphans[0].Listed != l {
				t.Errorf("%s: %+v", what, orphans[0])
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}
