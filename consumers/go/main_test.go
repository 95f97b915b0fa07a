package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

const topic = "postident.status.v1"

// events are the first events of one case, chained, with values as encoder
// gives them.
func events(t *testing.T, encoder *schemas.StatusEncoder, n int64) []*kgo.Record {
	t.Helper()
	created := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	event := schemas.StatusChanged{
		EventID: "6b0e2b0a-5c3e-5d0c-9a51-3d2f0a7c1e11", ClientID: "TESTCLIENT", CaseID: "7F3KQ2ZP",
		Method: schemas.MethodVideo, RegulatoryClass: schemas.RegulatoryClassGwG,
		StatusType: schemas.StatusTypeFinal, Status: schemas.StatusDeclined,
		SubStatus:      &schemas.StatusCode{Code: 11},
		Identification: &schemas.Identification{Created: created, Modified: created},
		CaseStatus:     schemas.CaseStatus{Status: schemas.CaseProgressClosed, Created: created, Modified: created},
		ObservedAt:     created, ObservedBy: schemas.SourceWebhook,
	}
	var records []*kgo.Record
	for range n {
		event.Sequence++
		value, err := encoder.Encode(event)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{
			Topic: topic, Key: []byte(event.CaseID), Value: value,
			Headers: []kgo.RecordHeader{{Key: "method", Value: []byte("video")}},
		})
		hash := sha256.Sum256(value)
		event.PreviousEventHash = new(hash[:])
	}
	return records
}

const resultTopic = "postident.result.v1"

// results are of one case, as encoder gives their values.
func results(t *testing.T, encoder *schemas.ResultEncoder) []*kgo.Record {
	t.Helper()
	created := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	var records []*kgo.Record
	for sequence := range int64(2) {
		value, _, err := encoder.Encode(schemas.IdentificationResult{
			EventID: "6b0e2b0a-5c3e-5d0c-9a51-3d2f0a7c1e11", ClientID: "TESTCLIENT", CaseID: "7F3KQ2ZP", Sequence: &sequence,
			Method: schemas.MethodVideo, RegulatoryClass: schemas.RegulatoryClassGwG,
			StatusType: schemas.StatusTypeFinal, Status: schemas.StatusSuccess,
			CaseStatus:  schemas.CaseStatus{Status: schemas.CaseProgressClosed, Created: created, Modified: created},
			ContactData: &schemas.ContactData{LastName: &schemas.ResultValue{Value: new("Mustermann"), Status: new(schemas.ResultStatusMatch)}},
			ObservedAt:  created, ObservedBy: schemas.SourceWebhook, Nonce: make([]byte, schemas.NonceBytes),
		})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: resultTopic, Key: []byte("7F3KQ2ZP"), Value: value})
	}
	return records
}

func TestResultsArePrinted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		encoder *schemas.ResultEncoder
		schema  string
	}{
		"single-object": {schemas.NewSingleObjectResultEncoder(), "../../schemas/identification_result.avsc"},
		"confluent":     {schemas.NewConfluentResultEncoder(7), registryOf(t, schemas.IdentificationResultSchema)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds, producer := start(t)
			produce(t, producer, kgo.TryCommit, results(t, tt.encoder)...)
			var out bytes.Buffer
			if err := run(t.Context(), &out, []string{seeds, tt.schema, resultTopic, "2"}); err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(out.String(), "\n")
			var line struct {
				Value map[string]any `json:"value"`
			}
			if err := json.Unmarshal([]byte(first), &line); err != nil {
				t.Fatal(err)
			}
			contact, _ := line.Value["contactData"].(map[string]any)
			got := map[string]any{"lastName": contact["lastName"], "title": contact["title"], "nonce": line.Value["nonce"]}
			want := map[string]any{
				"lastName": map[string]any{"value": "Mustermann", "status": "match", "statusText": nil}, "title": nil,
				"nonce": strings.Repeat("00", schemas.NonceBytes),
			}
			if diff := cmp.Diff(want, got); diff != "" || strings.Count(out.String(), "\n") != 2 {
				t.Errorf("first line (-want +got):\n%s", diff)
			}
		})
	}
}

// start gives the address of a broker that has the topic, and a client that
// writes transactions.
func start(t *testing.T) (seeds string, producer *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic, resultTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	seeds = strings.Join(cluster.ListenAddrs(), ",")
	producer, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.TransactionalID("test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return seeds, producer
}

func produce(t *testing.T, producer *kgo.Client, end kgo.TransactionEndTry, records ...*kgo.Record) {
	t.Helper()
	if err := producer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := producer.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

// registry serves today's schema of status events under every id.
func registry(t *testing.T) string {
	t.Helper()
	return registryOf(t, schemas.StatusChangedSchema)
}

func registryOf(t *testing.T, text func() (string, error)) string {
	t.Helper()
	schema, err := text()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"schema": schema})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBothFramingsPrintTheSame(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		encoder *schemas.StatusEncoder
		schema  string
	}{
		"single-object": {schemas.NewSingleObjectStatusEncoder(), "../../schemas/status_changed.avsc"},
		"confluent":     {schemas.NewConfluentStatusEncoder(7), registry(t)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds, producer := start(t)
			records := events(t, tt.encoder, 3)
			// An event that was never committed stands between those that were.
			produce(t, producer, kgo.TryCommit, records[0])
			produce(t, producer, kgo.TryAbort, events(t, tt.encoder, 1)...)
			produce(t, producer, kgo.TryCommit, records[1:]...)
			var out bytes.Buffer
			if err := run(t.Context(), &out, []string{seeds, tt.schema, topic, "3"}); err != nil {
				t.Fatal(err)
			}
			var lines []map[string]any
			for line := range strings.Lines(out.String()) {
				var v map[string]any
				if err := json.Unmarshal([]byte(line), &v); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, v)
			}
			if len(lines) != 3 {
				t.Fatalf("%d lines, want 3:\n%s", len(lines), &out)
			}
			value, _ := lines[0]["value"].(map[string]any)
			got := map[string]any{
				"key": lines[0]["key"], "headers": lines[0]["headers"],
				"sequence": value["sequence"], "method": value["method"], "subStatus": value["subStatus"],
				"previousEventHash": value["previousEventHash"], "caseStatus": value["caseStatus"],
			}
			want := map[string]any{
				"key": "7F3KQ2ZP", "headers": map[string]any{"method": "video"},
				"sequence": 1.0, "method": "video", "subStatus": map[string]any{"code": 11.0, "description": nil},
				"previousEventHash": nil, "caseStatus": map[string]any{
					"status": "closed", "statusText": nil, "created": "2026-01-05T10:00:00.000Z",
					"modified": "2026-01-05T10:00:00.000Z", "validUntil": nil, "archived": false,
				},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("first line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBrokenChainIsFound(t *testing.T) {
	t.Parallel()
	chained := events(t, schemas.NewSingleObjectStatusEncoder(), 3)
	other := events(t, schemas.NewConfluentStatusEncoder(7), 1)[0]
	tests := map[string]struct {
		records []*kgo.Record
		want    string // "" when nothing is wrong
	}{
		"whole":                    {chained, ""},
		"beginning no longer kept": {chained[1:], ""},
		"one left out":             {[]*kgo.Record{chained[0], chained[2]}, "event 3 follows event 1"},
		"one repeated":             {[]*kgo.Record{chained[0], chained[0]}, "event 1 follows event 1"},
		"one replaced":             {[]*kgo.Record{other, chained[1]}, "event 2 does not hold the hash of event 1"},
	}
	single, err := newDecoder("../../schemas/status_changed.avsc")
	if err != nil {
		t.Fatal(err)
	}
	confluent, err := newDecoder(registry(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := make(chains)
			var err error
			for _, r := range tt.records {
				decode := single
				if r == other {
					decode = confluent
				}
				event, decodeErr := decode.event(t.Context(), r.Value)
				if decodeErr != nil {
					t.Fatal(decodeErr)
				}
				if err = c.extend(event, r.Value); err != nil {
					break
				}
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestTooFewEventsAreAFailure(t *testing.T) {
	t.Parallel()
	seeds, producer := start(t)
	produce(t, producer, kgo.TryCommit, events(t, schemas.NewSingleObjectStatusEncoder(), 1)...)
	err := run(t.Context(), new(bytes.Buffer), []string{seeds, "../../schemas/status_changed.avsc", topic, "2", "1"})
	if !errors.Is(err, errMissing) {
		t.Errorf("%v, want %v", err, errMissing)
	}
}

func TestValueThatIsNoEventIsAFailure(t *testing.T) {
	t.Parallel()
	seeds, producer := start(t)
	produce(t, producer, kgo.TryCommit, &kgo.Record{Topic: topic, Key: []byte("7F3KQ2ZP"), Value: []byte("{}")})
	err := run(context.WithoutCancel(t.Context()), new(bytes.Buffer), []string{seeds, "../../schemas/status_changed.avsc", topic, "1"})
	if err == nil || errors.Is(err, errMissing) || !strings.Contains(err.Error(), topic+"/0@0") {
		t.Errorf("%v, want a failure to decode that names the record", err)
	}
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"a", "b", "c"}, {"a", "b", "c", "x"}, {"a", "b", "c", "1", "x"}} {
		if err := run(t.Context(), new(bytes.Buffer), args); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want the usage", args, err)
		}
	}
}
