package ingest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"postident-bridge/ingest"
	"postident-bridge/schemas"
)

// Every webhook row of design 8, with the answer, the count, and that nothing is
// written.
func TestDesign8WebhookRows(t *testing.T) {
	t.Parallel()
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	large := `{"caseId":"ABCDEF123456","x":"` + strings.Repeat("x", ingest.MaxBodyBytes) + `"}`
	tests := map[string]struct {
		client, body string
		edits        []func(*http.Request)
		code         int
		count        string
	}{
		"wrong method: GET":                {"ACME", "", []func(*http.Request){func(r *http.Request) { r.Method = http.MethodGet }}, 405, "405 method"},
		"wrong method: PUT":                {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Method = http.MethodPut }}, 405, "405 method"},
		"wrong method: one nobody knows":   {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Method = "BREW" }}, 405, "405 method"},
		"wrong path: unknown clientId":     {"NOBODY", goodBody, nil, 404, "404 path"},
		"wrong path: clientId in lower":    {"acme", goodBody, nil, 404, "404 path"},
		"wrong path: no clientId":          {"", goodBody, nil, 404, "404 path"},
		"wrong path: more behind it":       {"ACME/more", goodBody, nil, 404, "404 path"},
		"wrong path: trailing slash":       {"ACME/", goodBody, nil, 404, "404 path"},
		"wrong path: escaped slash":        {"ACME%2F", goodBody, nil, 404, "404 path"},
		"wrong path: another root":         {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.URL.Path = "/ACME" }}, 404, "404 path"},
		"wrong content type: form":         {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }}, 415, "415 content_type ACME"},
		"wrong content type: none":         {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Header.Del("Content-Type") }}, 415, "415 content_type ACME"},
		"wrong content type: a prefix":     {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "application/json-seq") }}, 415, "415 content_type ACME"},
		"wrong content type: compressed":   {"ACME", goodBody, []func(*http.Request){header("Content-Encoding", "gzip")}, 415, "415 content_type ACME"},
		"size over 8 KiB: declared":        {"ACME", large, nil, 413, "413 size ACME"},
		"size over 8 KiB: chunked":         {"ACME", large, []func(*http.Request){chunked}, 413, "413 size ACME"},
		"not JSON: empty":                  {"ACME", "", nil, 400, "400 json ACME"},
		"not JSON: text":                   {"ACME", "caseId=ABCDEF123456", nil, 400, "400 json ACME"},
		"not JSON: cut off":                {"ACME", goodBody[:20], nil, 400, "400 json ACME"},
		"not JSON: more behind it":         {"ACME", goodBody + goodBody, nil, 400, "400 json ACME"},
		"not JSON: an array":               {"ACME", "[" + goodBody + "]", nil, 400, "400 json ACME"},
		"no caseId":                        {"ACME", `{"referenceId":"R-1"}`, nil, 400, "400 case_id ACME"},
		"no caseId: null":                  {"ACME", `{"caseId":null}`, nil, 400, "400 case_id ACME"},
		"malformed caseId: empty":          {"ACME", `{"caseId":""}`, nil, 400, "400 case_id ACME"},
		"malformed caseId: path":           {"ACME", `{"caseId":"../cases"}`, nil, 400, "400 case_id ACME"},
		"malformed caseId: too long":       {"ACME", `{"caseId":"` + strings.Repeat("A", 65) + `"}`, nil, 400, "400 case_id ACME"},
		"wrong credentials: none":          {"LOCKED", goodBody, nil, 401, "401 credentials LOCKED"},
		"wrong credentials: user name":     {"LOCKED", goodBody, []func(*http.Request){basic("hooks", "pass:word")}, 401, "401 credentials LOCKED"},
		"wrong credentials: password":      {"LOCKED", goodBody, []func(*http.Request){basic("hook", "pass")}, 401, "401 credentials LOCKED"},
		"wrong credentials: swapped":       {"LOCKED", goodBody, []func(*http.Request){basic("pass:word", "hook")}, 401, "401 credentials LOCKED"},
		"wrong credentials: empty":         {"LOCKED", goodBody, []func(*http.Request){basic("", "")}, 401, "401 credentials LOCKED"},
		"wrong credentials: other scheme":  {"LOCKED", goodBody, []func(*http.Request){header("Authorization", "Bearer aG9vazpwYXNzOndvcmQ=")}, 401, "401 credentials LOCKED"},
		"address not allowed":              {"ACME", goodBody, []func(*http.Request){from("192.0.2.1:5")}, 403, "403 address ACME"},
		"address not allowed, with header": {"ACME", goodBody, []func(*http.Request){from("192.0.2.1:5"), header("X-Forwarded-For", "165.72.200.13")}, 403, "403 address ACME"},
		"a stranger's password is not tested, whatever it is": {
			"LOCKED", goodBody, []func(*http.Request){from("192.0.2.1:5"), basic("hook", "wrong")}, 403, "403 address LOCKED",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOption{})
			w := r.serve(post(t.Context(), tc.client, tc.body, tc.edits...))
			if w.Code != tc.code {
				t.Errorf("code %d, want %d", w.Code, tc.code)
			}
			if got, want := reason(t, w), strings.Fields(tc.count)[1]; got != want {
				t.Errorf("reason %q, want %q", got, want)
			}
			if diff := cmp.Diff(map[string]int64{tc.count: 1}, r.requests(t)); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if n := r.client.BufferedProduceRecords(); n != 0 || len(r.written(t)) != 0 {
				t.Error("something was written")
			}
			if tc.code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != http.MethodPost {
				t.Error("no Allow header (RFC 9110 15.5.6)")
			}
			if tc.code == http.StatusUnauthorized && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
				t.Error("no WWW-Authenticate header (RFC 9110 15.5.2)")
			}
		})
	}
}

func basic(username, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(username, password) }
}

func from(addr string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = addr }
}

func TestWebhookAccepts(t *testing.T) {
	t.Parallel()
	frame := `{"caseId":"ABCDEF123456","x":""}`
	full := `{"caseId":"ABCDEF123456","x":"` + strings.Repeat("x", ingest.MaxBodyBytes-len(frame)) + `"}`
	reference := "R-1"
	tests := map[string]struct {
		client, body string
		edits        []func(*http.Request)
		reference    *string
	}{
		"as guide 5 shows it":                     {"ACME", goodBody, nil, &reference},
		"without referenceId":                     {"ACME", `{"caseId":"ABCDEF123456"}`, nil, nil},
		"referenceId null":                        {"ACME", `{"caseId":"ABCDEF123456","referenceId":null}`, nil, nil},
		"unknown field ignored (design 8)":        {"ACME", `{"caseId":"ABCDEF123456","status":{"x":[1]}}`, nil, nil},
		"exactly 8 KiB":                           {"ACME", full, nil, nil},
		"content type with parameters":            {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; charset=utf-8") }}, &reference},
		"content type with a malformed parameter": {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset") }}, &reference},
		"not compressed, and says so":             {"ACME", goodBody, []func(*http.Request){header("Content-Encoding", "identity")}, &reference},
		"right credentials":                       {"LOCKED", goodBody, []func(*http.Request){basic("hook", "pass:word")}, &reference},
		"credentials that nobody asked for":       {"ACME", goodBody, []func(*http.Request){basic("any", "thing")}, &reference},
		"second address of guide 5":               {"ACME", goodBody, []func(*http.Request){from("199.40.127.49:1")}, &reference},
		"third address of guide 5":                {"ACME", goodBody, []func(*http.Request){from("[::ffff:156.137.9.65]:1")}, &reference},
		"query parameters, which guide 5 forbids": {"ACME", goodBody, []func(*http.Request){func(r *http.Request) { r.URL.RawQuery = "ref=123" }}, &reference},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOption{})
			w := r.serve(post(t.Context(), tc.client, tc.body, tc.edits...))
			if w.Code != http.StatusOK {
				t.Fatalf("code %d, %s", w.Code, w.Body)
			}
			reason(t, w)
			want := []schemas.Trigger{{
				ClientID: tc.client, CaseID: "ABCDEF123456", ReferenceID: tc.reference,
				Source: schemas.SourceWebhook, ReceivedAt: stamp,
			}}
			if diff := cmp.Diff(want, r.triggers(t)); diff != "" {
				t.Errorf("inbox (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int64{"200 accepted " + tc.client: 1}, r.requests(t)); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
		})
	}
}

// The trigger of a case stands where the Java client would put its key, or the
// publisher had to send it on (design 2).
func TestWebhookPartitionsByMurmur2(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	// The hashes that Kafka's own UtilsTest.testMurmur2 expects.
	golden := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	}
	for caseID := range golden {
		if w := r.serve(post(t.Context(), "ACME", `{"caseId":"`+caseID+`"}`)); w.Code != http.StatusOK {
			t.Fatalf("code %d", w.Code)
		}
	}
	records := r.written(t)
	if len(records) != len(golden) {
		t.Fatalf("%d records, want %d", len(records), len(golden))
	}
	for _, record := range records {
		if want := (golden[string(record.Key)] & 0x7fffffff) % inboxPartitions; record.Partition != want {
			t.Errorf("%s stands in partition %d, want %d", record.Key, record.Partition, want)
		}
	}
}

func TestWebhookKeepsTheTrace(t *testing.T) {
	t.Parallel()
	const traceID, incoming = "4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	traced := func(spans *tracetest.InMemoryExporter) func(*ingest.WebhookConfig) {
		return func(c *ingest.WebhookConfig) {
			c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")
		}
	}
	t.Run("the incoming traceparent passes where nothing is traced", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOption{})
		r.serve(post(t.Context(), "ACME", goodBody, header("traceparent", incoming)))
		if got := r.triggers(t)[0].Traceparent; got == nil || *got != incoming {
			t.Errorf("traceparent %v, want %s", got, incoming)
		}
	})
	t.Run("none comes, nothing is traced", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOption{})
		r.serve(post(t.Context(), "ACME", goodBody, header("traceparent", "00-garbage")))
		if got := r.triggers(t)[0].Traceparent; got != nil {
			t.Errorf("traceparent %s, want none", *got)
		}
	})
	t.Run("the server span goes on with the incoming trace", func(t *testing.T) {
		t.Parallel()
		spans := tracetest.NewInMemoryExporter()
		r := newRig(t, rigOption{config: traced(spans)})
		r.serve(post(t.Context(), "ACME", goodBody, header("traceparent", incoming)))
		got := spans.GetSpans()
		if len(got) != 1 {
			t.Fatalf("%d spans, want 1", len(got))
		}
		span := got[0]
		want := fmt.Sprintf("00-%s-%s-01", traceID, span.SpanContext.SpanID())
		if tp := r.triggers(t)[0].Traceparent; tp == nil || *tp != want || span.SpanContext.TraceID().String() != traceID {
			t.Errorf("traceparent %v, want %s", tp, want)
		}
		attrs := map[string]string{}
		for _, kv := range span.Attributes {
			attrs[string(kv.Key)] = kv.Value.String()
		}
		wantAttrs := map[string]string{
			"http.request.method": "POST", "http.route": "/webhooks/{clientId}",
			"url.scheme": "http", "http.response.status_code": "200",
		}
		if diff := cmp.Diff(wantAttrs, attrs); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
		if span.SpanKind != trace.SpanKindServer || span.Name != "POST /webhooks/{clientId}" {
			t.Errorf("%v span %q", span.SpanKind, span.Name)
		}
	})
	t.Run("what a stranger writes is no attribute", func(t *testing.T) {
		t.Parallel()
		spans := tracetest.NewInMemoryExporter()
		r := newRig(t, rigOption{config: traced(spans)})
		r.serve(post(t.Context(), "stranger", goodBody, func(r *http.Request) { r.Method = "STRANGER" }))
		if s := fmt.Sprint(spans.GetSpans()[0].Attributes, spans.GetSpans()[0].Name); strings.Contains(strings.ToLower(s), "stranger") {
			t.Errorf("span says %s", s)
		}
	})
}

func TestWebhookMeasures(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	for range 3 {
		r.serve(post(t.Context(), "ACME", goodBody))
	}
	all := r.collected(t)
	histogram, ok := all["postident.webhook.ack.duration"].(metricdata.Histogram[float64])
	if !ok || len(histogram.DataPoints) != 1 || histogram.DataPoints[0].Count != 3 {
		t.Errorf("ack.duration: %+v, want 3 measurements", all["postident.webhook.ack.duration"])
	}
	inFlight, ok := all["postident.webhook.in_flight"].(metricdata.Sum[int64])
	if !ok || len(inFlight.DataPoints) != 1 || inFlight.DataPoints[0].Value != 0 {
		t.Errorf("in_flight: %+v, want 0", all["postident.webhook.in_flight"])
	}
}

// Under parallel load each 200 is one record: no more, no fewer.
func TestP1EachAcceptedWebhookIsWrittenOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	const senders, each = 32, 20
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf(`{"caseId":"S%02dI%02d"}`, s, i)
				if w := r.serve(post(t.Context(), "ACME", body)); w.Code != http.StatusOK {
					t.Errorf("code %d: %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, trigger := range r.triggers(t) {
		seen[trigger.CaseID]++
	}
	for caseID, n := range seen {
		if n != 1 {
			t.Errorf("%s is written %d times", caseID, n)
		}
	}
	if len(seen) != senders*each {
		t.Errorf("%d cases written, want %d", len(seen), senders*each)
	}
}

// A body that breaks off is nobody's proven fault: 503, and nothing is written.
func TestWebhookBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	req := post(t.Context(), "ACME", goodBody)
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader(goodBody), brokenReader{}))
	w := r.serve(req)
	if got := reason(t, w); w.Code != http.StatusServiceUnavailable || got != "read" {
		t.Errorf("code %d, reason %s", w.Code, got)
	}
	if len(r.written(t)) != 0 {
		t.Error("something was written")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Neither logs nor answers repeat what a request says or what an account's
// secrets are (design P5).
func TestP5NothingSecretInLogsAndAnswers(t *testing.T) {
	t.Parallel()
	const canary = "Mustermann"
	r := newRig(t, rigOption{config: func(c *ingest.WebhookConfig) {
		c.Accounts[1] = ingest.WebhookAccount{ClientID: "LOCKED", Username: "user" + canary, Password: "secret" + canary}
	}})
	var answers strings.Builder
	for _, req := range []*http.Request{
		post(t.Context(), canary, goodBody),
		post(t.Context(), "ACME", `{"caseId":"`+canary+` Erika"}`),
		post(t.Context(), "ACME", canary),
		post(t.Context(), "ACME", goodBody, func(r *http.Request) { r.Header.Set("Content-Type", canary) }),
		post(t.Context(), "ACME", goodBody, from("192.0.2.1:5"), header("X-Forwarded-For", canary)),
		post(t.Context(), "ACME", goodBody, func(r *http.Request) { r.Method = strings.ToUpper(canary) }),
		post(t.Context(), "LOCKED", goodBody, basic("user"+canary, "wrong"+canary)),
		post(t.Context(), "LOCKED", goodBody, basic("user"+canary, "secret"+canary)),
		post(t.Context(), "ACME", `{"caseId":"ABCDEF123456","referenceId":"`+canary+`","name":"`+canary+`"}`),
	} {
		w := r.serve(req)
		answers.WriteString(w.Body.String())
		for name, values := range w.Header() {
			answers.WriteString(name + strings.Join(values, ""))
		}
	}
	r.cluster.Close() // and one that Kafka cannot take
	w := r.serve(post(t.Context(), "ACME", `{"caseId":"`+canary+`"}`))
	answers.WriteString(w.Body.String())
	for what, text := range map[string]string{"logs": r.logs.String(), "answers": answers.String()} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
			t.Errorf("the %s repeat input: %s", what, text)
		}
		if len(text) < 200 {
			t.Errorf("the %s say too little to prove anything: %s", what, text)
		}
	}
}

func TestNewWebhookReportsEveryMistake(t *testing.T) {
	t.Parallel()
	good := newRig(t, rigOption{})
	cl, err := kgo.NewClient(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.ManualFlushing(), kgo.ProducerLinger(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	txn, err := kgo.NewClient(kgo.TransactionalID("x"), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(txn.Close)
	config := func(edit func(*ingest.WebhookConfig)) ingest.WebhookConfig {
		c := ingest.WebhookConfig{Client: good.client, Topic: inboxTopic, Accounts: []ingest.WebhookAccount{{ClientID: "ACME"}}}
		edit(&c)
		return c
	}
	tests := map[string]struct {
		config ingest.WebhookConfig
		want   []string
	}{
		"empty":                {ingest.WebhookConfig{}, []string{"client: missing", "topic: missing", "accounts: none"}},
		"client without P1":    {config(func(c *ingest.WebhookConfig) { c.Client = cl }), []string{"required acks", "idempotent write", "manual flushing", "producer linger"}},
		"client with txn":      {config(func(c *ingest.WebhookConfig) { c.Client = txn }), []string{"transactional id"}},
		"ack timeout over 2 s": {config(func(c *ingest.WebhookConfig) { c.AckTimeout = 2 * time.Second }), []string{"ack timeout"}},
		"ack timeout below 0":  {config(func(c *ingest.WebhookConfig) { c.AckTimeout = -1 }), []string{"ack timeout"}},
		"max in flight":        {config(func(c *ingest.WebhookConfig) { c.MaxInFlight = -1 }), []string{"max in flight"}},
		"accounts": {config(func(c *ingest.WebhookConfig) {
			c.Accounts = []ingest.WebhookAccount{
				{ClientID: "acme"},
				{ClientID: "TWICE"},
				{ClientID: "TWICE"},
				{ClientID: "HALF", Username: "u"},
				{ClientID: "OTHERHALF", Password: "hidden"},
				{ClientID: "COLON", Username: "a:b", Password: "hidden"},
			}
		}), []string{"account 0: client id", "TWICE: given twice", "HALF: webhook user name", "OTHERHALF: webhook user name", "COLON: webhook user name"}},
		"prefixes": {config(func(c *ingest.WebhookConfig) {
			c.AllowedIPs = prefixes(t, "::ffff:0.0.0.0/90")
			c.TrustedProxies = append(prefixes(t, "10.0.0.0/8"), netip.Prefix{})
		}), []string{"allowed ips", "trusted proxies"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ingest.NewWebhook(tc.config)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not name %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("error holds a password: %v", err)
			}
		})
	}
}
