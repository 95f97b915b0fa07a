package counterpart_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/counterpart"
	"postident-bridge/schemas"
)

// at is a time with milliseconds, so that a reader that cuts them is found out.
func at(minute int) time.Time {
	return time.Date(2026, time.February, 28, 23, minute, 59, 987_000_000, time.UTC)
}

// events hold every field once set and once null, every type of field, and
// text beyond ASCII and beyond the Basic Multilingual Plane.
func events() []schemas.StatusChanged {
	final := schemas.StatusChanged{
		EventID:           "9b6c2d6e-64d4-5d5e-8c7e-0d1f0a3b5c7d",
		ClientID:          "TESTCLIENT",
		CaseID:            "7F3KQ2ZP",
		ReferenceID:       new("Auftrag №4711 – \"ä€𝄞\" <&>"),
		Sequence:          1 << 40,
		PreviousEventHash: new([]byte{0x00, 0x7f, 0x80, 0xff}),
		Method:            schemas.MethodVideo,
		RegulatoryClass:   schemas.RegulatoryClassGwG,
		StatusType:        schemas.StatusTypeFinal,
		Status:            schemas.StatusDeclined,
		SubStatus:         &schemas.StatusCode{Code: 11, Description: new("Fraud suspicion")},
		SubStatusReason:   &schemas.StatusCode{Code: 110},
		Identification: &schemas.Identification{
			Created: at(1), Modified: at(2), IdentificationTime: new(at(3)), Primary: true,
		},
		CaseStatus: schemas.CaseStatus{
			Status: schemas.CaseProgressClosed, Created: at(0), Modified: at(4), ValidUntil: new(at(59)), Archived: true,
		},
		AccountingData: &schemas.AccountingData{AccountingNumber: new("5012345678")},
		Records: []schemas.RecordMetadata{
			{
				RecordID: "rec-1", MimeType: new("image/jpeg"),
				Reference: new("records/rec-1"), SHA256: new([]byte{0xfe, 0x01}), Size: new(int64(1) << 40), MediaType: new("image/jpeg"),
			},
			{RecordID: "rec-2"},
		},
		ObservedAt:   at(5),
		ObservedBy:   schemas.SourceWebhook,
		Anomaly:      new(schemas.AnomalyAfterFinal),
		ResultDigest: new([]byte{}),
		RecordsState: new(schemas.RecordsStatePending),
	}
	late := final
	late.EventID, late.CaseID, late.StatusType = "5e0b6f0a-2222-5333-8444-555566667777", "LATE", schemas.StatusTypeRecordsAvailable
	late.RecordsState, late.Completes = new(schemas.RecordsStateStored), new(int64(7))
	caseOnly := schemas.StatusChanged{
		EventID:         "0e3b2c1d-1111-5222-8333-444455556666",
		ClientID:        "TESTCLIENT",
		CaseID:          "AAAA_-09",
		Sequence:        1,
		Method:          schemas.MethodNone,
		RegulatoryClass: schemas.RegulatoryClassMobility,
		StatusType:      schemas.StatusTypeProgress,
		Status:          schemas.StatusNone,
		CaseStatus:      schemas.CaseStatus{Status: schemas.CaseProgressUnknown, StatusText: new("paused"), Created: at(0), Modified: at(0)},
		Records:         []schemas.RecordMetadata{},
		ObservedAt:      at(6),
		ObservedBy:      schemas.SourceSweep,
	}
	unknown := final
	unknown.CaseID, unknown.Method, unknown.MethodText = "ZZ", schemas.MethodUnknown, new("hologram")
	unknown.Status, unknown.StatusText = schemas.StatusUnknown, new("half done")
	return []schemas.StatusChanged{final, caseOnly, unknown, late}
}

func statusRecords(t *testing.T, topic string, id int, eventID string) []*kgo.Record {
	t.Helper()
	encoder := schemas.NewSingleObjectStatusEncoder()
	if id > 0 {
		encoder = schemas.NewConfluentStatusEncoder(id)
	}
	var records []*kgo.Record
	for _, event := range events() {
		event.EventID = idOr(eventID, event.EventID)
		records = append(records, statusRecord(t, topic, encoder, event))
	}
	return records
}

// statusRecord frames an event as docs/events.md has it: keyed by caseId,
// CloudEvents in binary mode, the tags.
func statusRecord(t *testing.T, topic string, encoder *schemas.StatusEncoder, event schemas.StatusChanged) *kgo.Record {
	t.Helper()
	value, err := encoder.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	return publicRecord(topic, value, encoder.ContentType(), event)
}

// publicRecord gives a value the key, the timestamp and the headers that docs
// and bridge give it, which are those of the status event.
func publicRecord(topic string, value []byte, contentType string, event schemas.StatusChanged) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte(event.CaseID), Value: value, Timestamp: time.Date(2026, time.March, 1, 0, 0, 0, int(event.Sequence%999)*1_000_000, time.UTC)}
	statusType := event.StatusType.HeaderText()
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"},
		{"ce_id", event.EventID},
		{"ce_source", "/scr/" + event.ClientID},
		{"ce_type", "postident.identification." + statusType + ".v1"},
		{"ce_subject", event.CaseID},
		{"ce_time", event.CaseStatus.Modified.Format(time.RFC3339)},
		{"content-type", contentType},
		{"method", string(event.Method)},
		{"regulatory-class", string(event.RegulatoryClass)},
		{"status-type", statusType},
		{"client-id", event.ClientID},
		{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return r
}

// publicTopic is how the values of a public topic are made and read. The id is
// the registry's, 0 without one.
type publicTopic struct {
	name     string
	file     string // of the schema
	register func(*schemas.Registry, context.Context, string) (int, error)
	// records gives one record for each sample, under another event id where an
	// id is given.
	records func(t *testing.T, topic string, id int, eventID string) []*kgo.Record
	decode  func(lookup schemaLookup) func(context.Context, []byte) (any, error)
}

func publicTopics() []publicTopic {
	return []publicTopic{
		{
			"postident.status.v1", "status_changed.avsc", (*schemas.Registry).Register,
			statusRecords, func(lookup schemaLookup) func(context.Context, []byte) (any, error) {
				d := schemas.NewStatusDecoder(lookup)
				return func(ctx context.Context, value []byte) (any, error) { return d.Decode(ctx, value) }
			},
		},
		{
			"postident.result.v1", "identification_result.avsc", (*schemas.Registry).RegisterResult,
			resultRecords, func(lookup schemaLookup) func(context.Context, []byte) (any, error) {
				d := schemas.NewResultDecoder(lookup)
				return func(ctx context.Context, value []byte) (any, error) { return d.Decode(ctx, value) }
			},
		},
	}
}

func TestForeignConsumersReadWhatGoReads(t *testing.T) {
	t.Parallel()
	kafka := counterpart.SharedKafka(t)
	for _, framing := range []string{"confluent", "single-object"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			var registry *counterpart.Registry
			if framing == "confluent" {
				registry = counterpart.StartRegistry(t, kafka)
			}
			for _, public := range publicTopics() {
				t.Run(public.name, func(t *testing.T) {
					t.Parallel()
					readByOthers(t, kafka, registry, public, public.name+"."+framing)
				})
			}
		})
	}
}

// readByOthers writes the samples to the topic and compares what others read
// there with what Go reads. No registry means single-object encoding.
func readByOthers(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry, public publicTopic, topic string) {
	t.Helper()
	id, lookup, schema := 0, schemaLookup(nil), schemaFile(t, public.file)
	if registry != nil {
		client := newRegistryClient(t, schemas.RegistryConfig{URLs: []string{registry.URL}})
		var err error
		if id, err = public.register(client, t.Context(), schemas.Subject(topic)); err != nil {
			t.Fatal(err)
		}
		lookup, schema = client.SchemaByID, registry.URL
	}
	client := newClient(t, kafka, kgo.TransactionalID(t.Name()))
	createTopic(t, client, topic, 3)
	samples := public.records(t, topic, id, "")
	produceAround(t, client, samples, public.records(t, topic, id, "aborted"))

	raw := readAll(t, kafka, topic, len(samples), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	want := decoded(t, raw, public.decode(lookup))
	for _, language := range counterpart.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			got := asLines(t, counterpart.Consume(t, language, kafka.Bootstrap, schema, topic, len(want)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("reads otherwise than Go (-Go +%s):\n%s", language, diff)
			}
		})
	}
	t.Run("kcat", func(t *testing.T) {
		t.Parallel()
		if diff := cmp.Diff(undecoded(raw), counterpart.Kcat(t, kafka.Bootstrap, topic, len(raw))); diff != "" {
			t.Errorf("reads otherwise than Go (-Go +kcat):\n%s", diff)
		}
	})
}

// produceAround commits each record in a transaction of its own, and before it
// aborts another, which nobody may read.
func produceAround(t *testing.T, client *kgo.Client, committed, aborted []*kgo.Record) {
	t.Helper()
	for i := range committed {
		for _, step := range []struct {
			record *kgo.Record
			end    kgo.TransactionEndTry
		}{{aborted[i], kgo.TryAbort}, {committed[i], kgo.TryCommit}} {
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := client.ProduceSync(t.Context(), step.record).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(t.Context(), step.end); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// schemaLookup is the type of StatusDecoder's lookup; its nil knows no registry.
type schemaLookup = func(ctx context.Context, id int) (string, error)

func schemaFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../schemas", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// line is what is compared: a record with its value decoded to plain JSON types.
type line struct {
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       string
	Headers   map[string]string
	Value     any
}

func asLines(t *testing.T, records []counterpart.Consumed) []line {
	t.Helper()
	var lines []line
	for _, r := range records {
		l := line{r.Partition, r.Offset, r.Timestamp.UTC(), r.Key, r.Headers, nil}
		if err := json.Unmarshal(r.Value, &l.Value); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func decoded(t *testing.T, records []*kgo.Record, decode func(context.Context, []byte) (any, error)) []line {
	t.Helper()
	var lines []line
	for _, r := range records {
		event, err := decode(t.Context(), r.Value)
		if err != nil {
			t.Fatal(err)
		}
		l := line{r.Partition, r.Offset, r.Timestamp.UTC(), string(r.Key), map[string]string{}, plain(reflect.ValueOf(event))}
		for _, h := range r.Headers {
			l.Headers[h.Key] = string(h.Value)
		}
		lines = append(lines, l)
	}
	return lines
}

func undecoded(records []*kgo.Record) []counterpart.Raw {
	var raw []counterpart.Raw
	for _, r := range records {
		var headers []string
		for _, h := range r.Headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		raw = append(raw, counterpart.Raw{
			Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC(),
			Headers: strings.Join(headers, ","), Key: string(r.Key), Value: r.Value,
		})
	}
	return raw
}

// plain turns a decoded record into what the consumers' JSON decodes to, by the
// names of the schema.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Time:
		return value.UTC().Format("2006-01-02T15:04:05.000Z")
	case []byte:
		return hex.EncodeToString(value)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		fields := map[string]any{}
		for field, value := range v.Fields() {
			fields[field.Tag.Get("avro")] = plain(value)
		}
		return fields
	case reflect.Slice:
		items := make([]any, 0, v.Len())
		for i := range v.Len() {
			items = append(items, plain(v.Index(i)))
		}
		return items
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	default:
		return float64(v.Int()) // as JSON gives it; panics for what no schema holds
	}
}
