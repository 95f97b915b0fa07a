package schemas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const subject = "postident.status.v1-value"

// startRegistry gives a fake registry that logs the requests it saw, and our
// client of it.
func startRegistry(t *testing.T, opts ...srfake.Option) (*srfake.Registry, *Registry, *[]string) {
	t.Helper()
	fake := srfake.New(opts...)
	t.Cleanup(fake.Close)
	var seen []string // the fake serves one request after the other here
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		seen = append(seen, r.Method+" "+r.URL.Path)
		return false
	})
	return fake, newRegistry(t, RegistryConfig{URLs: []string{fake.URL()}}), &seen
}

func newRegistry(t *testing.T, cfg RegistryConfig) *Registry {
	t.Helper()
	if cfg.HTTPClient == nil {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		cfg.HTTPClient = &http.Client{Transport: transport}
	}
	r, err := NewRegistry(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSubjectFollowsTopicNameStrategy(t *testing.T) {
	t.Parallel()
	if got := Subject("postident.status.v1"); got != subject {
		t.Errorf("%q, want %q", got, subject)
	}
}

func TestRegisterSetsTheLevelAndIsIdempotent(t *testing.T) {
	t.Parallel()
	fake, registry, seen := startRegistry(t, srfake.WithGlobalCompat(sr.CompatBackward))
	first, err := registry.Register(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	again, err := registry.Register(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if first < 1 || first != again {
		t.Errorf("ids %d and %d", first, again)
	}
	want := []string{
		"GET /config/" + subject, "PUT /config/" + subject, "POST /subjects/" + subject + "/versions",
		"GET /config/" + subject, "POST /subjects/" + subject + "/versions",
	}
	if diff := cmp.Diff(want, *seen); diff != "" {
		t.Errorf("requests (-want +seen):\n%s", diff)
	}
	client, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if level := client.Compatibility(t.Context(), subject)[0]; level.Level != sr.CompatFullTransitive {
		t.Errorf("compatibility %v (%v)", level.Level, level.Err)
	}
	registered, ok := fake.GetSchema(subject, 1)
	text, _ := StatusChangedSchema()
	if !ok || registered.Schema.Schema != text {
		t.Errorf("registered %q", registered.Schema.Schema)
	}
	checked, err := registry.Check(t.Context(), subject)
	if err != nil || checked != first {
		t.Errorf("check: %d, %v; want %d", checked, err, first)
	}
}

// The subject of results takes the schema of results, under the same rule.
func TestRegisterResult(t *testing.T) {
	t.Parallel()
	fake, registry, _ := startRegistry(t, srfake.WithGlobalCompat(sr.CompatBackward))
	results := Subject("postident.result.v1")
	var missing *NotRegisteredError
	if _, err := registry.CheckResult(t.Context(), results); !errors.As(err, &missing) || missing.Subject != results {
		t.Errorf("%v, want a NotRegisteredError", err)
	}
	id, err := registry.RegisterResult(t.Context(), results)
	if err != nil {
		t.Fatal(err)
	}
	if checked, err := registry.CheckResult(t.Context(), results); err != nil || checked != id {
		t.Errorf("check: %d, %v; want %d", checked, err, id)
	}
	client, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if level := client.Compatibility(t.Context(), results)[0]; level.Level != sr.CompatFullTransitive {
		t.Errorf("compatibility %v (%v)", level.Level, level.Err)
	}
	registered, ok := fake.GetSchema(results, 1)
	text, _ := IdentificationResultSchema()
	if !ok || registered.Schema.Schema != text {
		t.Errorf("registered %q", registered.Schema.Schema)
	}
	value, _, err := NewConfluentResultEncoder(id).Encode(fullIdentificationResult())
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewResultDecoder(registry.SchemaByID).Decode(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullIdentificationResult(), got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	// The status decoder does not take it for an event.
	_, err = NewStatusDecoder(registry.SchemaByID).Decode(t.Context(), value)
	wantCorrupt(t, err, recordStatusChanged, CorruptUnknownSchema)
}

func TestCheckOfASubjectThatIsMissing(t *testing.T) {
	t.Parallel()
	_, registry, seen := startRegistry(t)
	var missing *NotRegisteredError
	if _, err := registry.Check(t.Context(), subject); !errors.As(err, &missing) || missing.Subject != subject {
		t.Errorf("%v, want a NotRegisteredError", err)
	}
	for _, request := range *seen {
		if strings.HasPrefix(request, http.MethodPut) || strings.HasSuffix(request, "/versions") {
			t.Errorf("check changed something: %s", request)
		}
	}
}

func TestCheckOfASubjectWithAnotherSchema(t *testing.T) {
	t.Parallel()
	for name, compatible := range map[string]bool{"compatible": true, "incompatible": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, registry, _ := startRegistry(t)
			fake.SeedSchema(subject, 1, 1, sr.Schema{Schema: `{"type":"record","name":"Other","fields":[]}`})
			// The fake finds everything compatible; this answers as a real one.
			fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/compatibility/") {
					return false
				}
				answer(w, http.StatusOK, fmt.Sprintf(`{"is_compatible":%t,"messages":["NAME_MISMATCH"]}`, compatible))
				return true
			})
			_, err := registry.Check(t.Context(), subject)
			var missing *NotRegisteredError
			var incompatible *IncompatibleError
			if compatible && !errors.As(err, &missing) {
				t.Errorf("%v, want a NotRegisteredError", err)
			}
			if !compatible && (!errors.As(err, &incompatible) || !strings.Contains(err.Error(), "NAME_MISMATCH")) {
				t.Errorf("%v, want an IncompatibleError with the reason", err)
			}
		})
	}
}

func TestRegisterOfASchemaThatTheRegistryRefuses(t *testing.T) {
	t.Parallel()
	fake, registry, _ := startRegistry(t)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		answer(w, http.StatusConflict, `{"error_code":409,"message":"READER_FIELD_MISSING_DEFAULT_VALUE"}`)
		return true
	})
	_, err := registry.Register(t.Context(), subject)
	var incompatible *IncompatibleError
	if !errors.As(err, &incompatible) || !strings.Contains(err.Error(), "READER_FIELD_MISSING_DEFAULT_VALUE") {
		t.Errorf("%v, want an IncompatibleError with the reason", err)
	}
}

// Without the level the schema is not registered: see the order in Register.
func TestRegisterStopsWhereTheLevelIsRefused(t *testing.T) {
	t.Parallel()
	fake, registry, _ := startRegistry(t)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		answer(w, http.StatusForbidden, `{"error_code":40301,"message":"forbidden"}`)
		return true
	})
	if _, err := registry.Register(t.Context(), subject); err == nil {
		t.Error("registered without the level")
	}
	if fake.SubjectExists(subject) {
		if _, ok := fake.GetSchema(subject, 1); ok {
			t.Error("the schema was registered")
		}
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestSchemaByIDFeedsTheDecoder(t *testing.T) {
	t.Parallel()
	fake, registry, seen := startRegistry(t)
	id, err := registry.Register(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	value, err := NewConfluentStatusEncoder(id).Encode(fullStatusChanged())
	if err != nil {
		t.Fatal(err)
	}
	decoder := NewStatusDecoder(registry.SchemaByID)
	*seen = nil
	for range 3 {
		got, err := decoder.Decode(t.Context(), value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fullStatusChanged(), got); diff != "" {
			t.Errorf("-written +read:\n%s", diff)
		}
	}
	if len(*seen) != 1 {
		t.Errorf("%d requests, want 1: %v", len(*seen), *seen)
	}
	if _, err := registry.SchemaByID(t.Context(), 999); err == nil {
		t.Error("found a schema that is not there")
	}
	fake.SeedSchema("other-value", 1, 500, sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf})
	if _, err := registry.SchemaByID(t.Context(), 500); err == nil {
		t.Error("took a schema that is not Avro")
	}
}

func TestRegistrySendsBasicAuth(t *testing.T) {
	t.Parallel()
	fake := srfake.New(srfake.WithAuth("Basic YnJpZGdlOnNlY3JldA==")) // bridge:secret
	t.Cleanup(fake.Close)
	good := newRegistry(t, RegistryConfig{URLs: []string{fake.URL()}, Username: "bridge", Password: "secret"})
	if _, err := good.Register(t.Context(), subject); err != nil {
		t.Error(err)
	}
	bad := newRegistry(t, RegistryConfig{URLs: []string{fake.URL()}, Username: "bridge", Password: "s3cret-wrong"})
	_, err := bad.Register(t.Context(), subject)
	if err == nil {
		t.Fatal("registered with a wrong password")
	}
	if strings.Contains(err.Error(), "s3cret-wrong") {
		t.Errorf("the error holds the password: %v", err)
	}
}

func TestRegistryGivesUpAfterItsTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) }) // before the server waits for its handlers
	registry := newRegistry(t, RegistryConfig{URLs: []string{server.URL}, Timeout: 50 * time.Millisecond})
	// A test's context has no deadline: what ends this is the time-out.
	if _, err := registry.Check(t.Context(), subject); err == nil {
		t.Error("an answer from nowhere")
	}
	if _, err := registry.SchemaByID(t.Context(), 1); err == nil {
		t.Error("an answer from nowhere")
	}
}

func TestRegistryHonoursTheContext(t *testing.T) {
	t.Parallel()
	_, registry, seen := startRegistry(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := registry.Register(ctx, subject); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	if len(*seen) > 0 {
		t.Errorf("requests %v", *seen)
	}
}

func TestRegistryTriesItsURLsInOrder(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	registry := newRegistry(t, RegistryConfig{URLs: []string{gone.URL, fake.URL()}})
	if _, err := registry.Register(t.Context(), subject); err != nil {
		t.Error(err)
	}
}

func TestNewRegistryRefusesBadSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]RegistryConfig{
		"no URL":           {},
		"empty URL":        {URLs: []string{""}},
		"no scheme":        {URLs: []string{"registry:8081"}},
		"another scheme":   {URLs: []string{"ftp://registry:8081"}},
		"no host":          {URLs: []string{"http://"}},
		"not a URL":        {URLs: []string{"http://s3cret@%zz"}},
		"credentials":      {URLs: []string{"http://bridge:s3cret@registry:8081"}},
		"second one wrong": {URLs: []string{"http://registry:8081", "registry"}},
		"negative time":    {URLs: []string{"http://registry:8081"}, Timeout: -1},
	}
	for name, cfg := range tests {
		_, err := NewRegistry(cfg)
		if err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}
