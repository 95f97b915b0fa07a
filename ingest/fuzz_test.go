package ingest_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/scr"
)

// FuzzWebhookBody: whatever the body, the answer is one of ours, nothing is
// reflected in it, and only what parses gets as far as Kafka. There is no Kafka
// here: an answering one would run in this process and drown the coverage that
// leads the fuzzer, so what gets that far is a 503.
func FuzzWebhookBody(f *testing.F) {
	for _, body := range []string{
		goodBody, "", "{}", "null", `{"caseId":1}`, `{"caseId":"A","caseId":"B"}`, "\xef\xbb\xbf" + goodBody,
		`{"caseId":"\u0041BC"}`, `{"caseId":"A","referenceId":"\ud800"}`, "{\"caseId\":\"A\",\"referenceId\":\"\xff\"}",
		strings.Repeat("[", ingest.MaxBodyBytes), `{"caseId":"A"}` + strings.Repeat(" ", ingest.MaxBodyBytes),
	} {
		f.Add([]byte(body))
	}
	nowhere := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	cl, err := kgo.NewClient(append(ingest.ProducerOpts(), kgo.Dialer(nowhere), kgo.MaxBufferedRecords(1))...)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(cl.Close)
	h, err := ingest.NewWebhook(ingest.WebhookConfig{
		Client: cl, Topic: inboxTopic, Accounts: []ingest.WebhookAccount{{ClientID: "ACME"}}, AckTimeout: time.Nanosecond,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post(t.Context(), "ACME", string(body)))
		_, err := scr.ParseWebhook(body)
		want := http.StatusBadRequest
		switch {
		case len(body) > ingest.MaxBodyBytes:
			want = http.StatusRequestEntityTooLarge
		case err == nil:
			want = http.StatusServiceUnavailable
		}
		if got := reason(t, w); w.Code != want {
			t.Errorf("answered %d %s, want %d", w.Code, got, want)
		}
	})
}
