package scr_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"

	"postident-bridge/internal/scr"
)

func TestArchive(t *testing.T) {
	t.Parallel()
	archived := func(id string) string {
		return `{"caseId":"` + id + `","caseStatus":{"status":"closed","archived":true,"created":"2016-01-10T10:05:00+01:00"}}`
	}
	sealed := string(encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte("["+archived("A")+"]")))
	tests := map[string]struct {
		body   string
		want   []string
		reason string
	}{
		"7.6.1 each updated case":        {body: "[" + archived("B") + "," + archived("A") + "]", want: []string{"B", "A"}},
		"7.6 others are ignored":         {body: " [ ] ", want: nil},
		"a case that is not archived":    {body: `[{"caseId":"A","caseStatus":{"archived":false}},` + archived("B") + "]", want: []string{"B"}},
		"a case that nobody asked for":   {body: "[" + archived("C") + "," + archived("B") + "]", want: []string{"B"}},
		"a case twice":                   {body: "[" + archived("A") + "," + archived("A") + "]", want: []string{"A"}},
		"entries that say nothing":       {body: `[null,{},"",{"caseId":"A"},` + archived("B") + "]", want: []string{"B"}},
		"1.9 an encrypted answer":        {body: sealed, want: []string{"A"}},
		"no list":                        {body: archived("A"), reason: scr.RejectedJSON},
		"an entry of another shape":      {body: `[["CANARY"]]`, reason: scr.RejectedJSON},
		"cut":                            {body: "[" + archived("A"), reason: scr.RejectedJSON},
		"nothing":                        {body: "", reason: scr.RejectedJSON},
		"neither JSON nor JWE":           {body: "CANARY", reason: scr.RejectedJSON},
		"a JWE that our key cannot open": {body: sealed[:300], reason: scr.RejectedDecrypt},
		"over the limit":                 {body: "[" + strings.Repeat(" ", 10_000) + "]", reason: scr.RejectedTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
				var ids []string
				if err := json.NewDecoder(r.Body).Decode(&ids); err != nil || !slices.Equal(ids, []string{"A", "B"}) {
					t.Errorf("C18: got %q, %v", ids, err)
				}
				if r.Method != http.MethodPatch || r.URL.Path != "/api/scr/v1/1234ABCD/cases/archive" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
				}
				if r.Header.Get("x-scr-key") != "" || r.Header.Get("Authorization") == "" {
					t.Errorf("1.9: headers %v", r.Header)
				}
				io.WriteString(w, tt.body)
			}))
			cfg.MaxListBytes = 5000
			got, err := newClient(t, cfg).Archive(t.Context(), []string{"A", "B"})
			if tt.reason != "" {
				wantRejected(t, err, tt.reason)
				if strings.Contains(err.Error(), "CANARY") {
					t.Errorf("content in %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("archived (-want +got):\n%s", diff)
			}
		})
	}
}

func TestArchiveSendsNothingThatWouldBeRefused(t *testing.T) {
	t.Parallel()
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	tests := map[string]struct {
		access scr.Access
		ids    []string
	}{
		"7.6 no case":               {ids: []string{}},
		"7.6 more than 10,000":      {ids: slices.Repeat([]string{"A"}, 10_001)},
		"a case id that is none":    {ids: []string{"A", "CANARY x"}},
		"9 the account of partners": {access: scr.AccessPartner, ids: []string{"A"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(url)
			cfg.Access = tt.access
			_, err := newClient(t, cfg).Archive(t.Context(), tt.ids)
			var rejected *scr.RejectedError
			if !errors.As(err, &rejected) || rejected.Status != 0 || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestArchiveTelemetry(t *testing.T) {
	t.Parallel()
	cfg := testConfig(serve(t, statusOnly(http.StatusInternalServerError)))
	reader, recorder := instrument(&cfg)
	if _, err := newClient(t, cfg).Archive(t.Context(), []string{sampleID}); err == nil {
		t.Fatal("archived")
	}
	span := recorder.Ended()[0]
	if want := "PATCH /api/scr/v1/{clientId}/cases/archive"; span.Name() != want {
		t.Errorf("span %q, want %q", span.Name(), want)
	}
	wantAttrs(t, "span", attribute.NewSet(span.Attributes()...), map[attribute.Key]string{
		"http.request.method": "PATCH", "error.type": "500", "http.response.status_code": "500",
	})
	if m := histogram(t, reader); m.Name != "http.client.request.duration" {
		t.Errorf("metric %s", m.Name)
	}
}
