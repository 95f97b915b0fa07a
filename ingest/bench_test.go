package ingest_test

import (
	"net/http"
	"testing"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// BenchmarkAccept is a webhook from the handler to Kafka's acknowledgement, by
// 64 senders at once (kfake in the same process takes its share).
func BenchmarkAccept(b *testing.B) {
	r := newRig(b, rigOption{})
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := r.serve(post(b.Context(), "ACME", goodBody)); w.Code != http.StatusOK {
				b.Errorf("code %d: %s", w.Code, w.Body)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "webhooks/s")
}

// BenchmarkRefuse is what a stranger costs.
func BenchmarkRefuse(b *testing.B) {
	r := newRig(b, rigOption{})
	b.ReportAllocs()
	for b.Loop() {
		if w := r.serve(post(b.Context(), "ACME", goodBody, from("192.0.2.1:1"))); w.Code != http.StatusForbidden {
			b.Fatalf("code %d", w.Code)
		}
	}
}

// BenchmarkParseAndEncode is the part without HTTP and Kafka.
func BenchmarkParseAndEncode(b *testing.B) {
	body := []byte(goodBody)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		hook, err := scr.ParseWebhook(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := schemas.EncodeTrigger(schemas.Trigger{
			ClientID: "ACME", CaseID: hook.CaseID, ReferenceID: &hook.ReferenceID, Source: schemas.SourceWebhook, ReceivedAt: now,
		}); err != nil {
			b.Fatal(err)
		}
	}
}
