package counterpart_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"postident-bridge/internal/counterpart"
	"postident-bridge/schemas"
)

func newRegistryClient(t *testing.T, cfg schemas.RegistryConfig) *schemas.Registry {
	t.Helper()
	r, err := schemas.NewRegistry(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// evolve has the registry take a coming release's schema with one more field
// that has a default, and refuse one whose new field has none.
func evolve(t *testing.T, raw *sr.Client, subject, schema string) {
	t.Helper()
	with := func(field string) sr.Schema {
		later := strings.Replace(schema, `{"name":"eventId",`, field+`,{"name":"eventId",`, 1)
		if later == schema {
			t.Fatal("the schema is not changed: the test is off")
		}
		return sr.Schema{Type: sr.TypeAvro, Schema: later}
	}
	if _, err := raw.CreateSchema(t.Context(), subject, with(`{"name":"required","type":"long"}`)); err == nil {
		t.Error("the registry took a new field without a default")
	}
	if _, err := raw.CreateSchema(t.Context(), subject, with(`{"name":"optional","type":["null","long"],"default":null}`)); err != nil {
		t.Errorf("the registry refused a new field with a default: %v", err)
	}
}

//nolint:paralleltest,tparallel // the parts share one registry, and the last one pauses it
func TestARealRegistry(t *testing.T) {
	t.Parallel()
	registry := counterpart.StartRegistry(t, nil)
	client := newRegistryClient(t, schemas.RegistryConfig{URLs: []string{registry.URL}, Timeout: time.Minute})
	raw, err := sr.NewClient(sr.URLs(registry.URL))
	if err != nil {
		t.Fatal(err)
	}
	subject := schemas.Subject("postident.status.v1")

	for _, public := range []struct {
		topic           string
		register, check func(*schemas.Registry, context.Context, string) (int, error)
		schema          func() (string, error)
	}{
		{"postident.status.v1", (*schemas.Registry).Register, (*schemas.Registry).Check, schemas.StatusChangedSchema},
		{"postident.result.v1", (*schemas.Registry).RegisterResult, (*schemas.Registry).CheckResult, schemas.IdentificationResultSchema},
	} {
		t.Run("takes and checks our schema of "+public.topic, func(t *testing.T) {
			subject := schemas.Subject(public.topic)
			_, err := public.check(client, t.Context(), subject)
			if _, ok := errors.AsType[*schemas.NotRegisteredError](err); !ok {
				t.Fatalf("checked an empty registry with %v, want not registered", err)
			}
			id, err := public.register(client, t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := public.register(client, t.Context(), subject); err != nil || again != id {
				t.Errorf("registered again as %d, %v; want %d", again, err, id)
			}
			if checked, err := public.check(client, t.Context(), subject); err != nil || checked != id {
				t.Errorf("checked as %d, %v; want %d", checked, err, id)
			}
			for _, level := range raw.Compatibility(t.Context(), subject) {
				if level.Err != nil || level.Level != sr.CompatFullTransitive {
					t.Errorf("level is %v, %v; want FULL_TRANSITIVE", level.Level, level.Err)
				}
			}
			text, err := public.schema()
			if err != nil {
				t.Fatal(err)
			}
			evolve(t, raw, subject, text)
		})
	}

	t.Run("refuses our schema among foreign ones", func(t *testing.T) {
		foreign := sr.Schema{Type: sr.TypeAvro, Schema: `{"type":"record","name":"Other","fields":[{"name":"a","type":"long"}]}`}
		subject := schemas.Subject("someone-elses")
		if _, err := raw.CreateSchema(t.Context(), subject, foreign); err != nil {
			t.Fatal(err)
		}
		_, err := client.Check(t.Context(), subject)
		if _, ok := errors.AsType[*schemas.IncompatibleError](err); !ok {
			t.Errorf("checked with %v, want incompatible", err)
		}
		_, err = client.Register(t.Context(), subject)
		if _, ok := errors.AsType[*schemas.IncompatibleError](err); !ok {
			t.Errorf("registered with %v, want incompatible", err)
		}
	})

	t.Run("is given up in time when paused", func(t *testing.T) {
		hasty := newRegistryClient(t, schemas.RegistryConfig{URLs: []string{registry.URL}, Timeout: 500 * time.Millisecond})
		registry.Pause(t)
		if _, err := hasty.Check(t.Context(), subject); err == nil {
			t.Error("a paused registry answered")
		}
		registry.Resume(t)
		if _, err := client.Check(t.Context(), subject); err != nil {
			t.Errorf("a resumed registry does not answer: %v", err)
		}
	})
}

func TestARealRegistryAsksForItsPassword(t *testing.T) {
	t.Parallel()
	registry := counterpart.StartSecuredRegistry(t, "bridge", "canary-password")
	subject := schemas.Subject("postident.status.v1")
	config := schemas.RegistryConfig{URLs: []string{registry.URL}, Username: "bridge", Password: "canary-password"}
	if _, err := newRegistryClient(t, config).Register(t.Context(), subject); err != nil {
		t.Errorf("registered with the password: %v", err)
	}
	config.Password = "wrong"
	_, err := newRegistryClient(t, config).Check(t.Context(), subject)
	if response, ok := errors.AsType[*sr.ResponseError](err); !ok || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("checked with a wrong password with %v, want status 401", err)
	}
}
