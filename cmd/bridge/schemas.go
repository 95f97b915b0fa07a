package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"postident-bridge/internal/rotate"
	"postident-bridge/schemas"
)

// schemasTimeout bounds a schemas command: an operator waits for it.
const schemasTimeout = 30 * time.Second

func (m *Main) schemasCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "schemas",
		Short: "Register the schemas of the public topics, or check that they are",
		Long: `Registers this release's schemas of the public topics with the schema registry,
or checks that they are registered.

The subject is the topic's name followed by -value: that of status.v1, and for
accounts with PAYLOAD=result that of result.v1. The rule between releases is
FULL_TRANSITIVE: the bridge may be upgraded before its readers, and they before
it. Internal topics need no registry.`,
		Example: "  bridge schemas register\n  bridge schemas check",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	group.AddCommand(
		m.schemasVerb(&cobra.Command{
			Use:   "register",
			Short: "Register the schemas of this release",
			Long: `Sets the subject's compatibility to FULL_TRANSITIVE and registers this release's
schema, if it is not there already. Run it before a new release of the bridge.`,
			Example: `  BRIDGE_SCHEMA_REGISTRY_URL=http://registry:8081 bridge schemas register
  bridge schemas register --results      where the accounts' settings are not at hand
  bridge schemas register --json`,
		}, schemaVerbs{(*schemas.Registry).Register, (*schemas.Registry).RegisterResult}),
		m.schemasVerb(&cobra.Command{
			Use:   "check",
			Short: "Check that the schemas of this release are registered",
			Long: `Looks whether the subject holds this release's schema, or could take it. Changes
nothing. Exits 1 if the schema is not registered.`,
			Example: "  bridge schemas check\n  bridge schemas check --json",
		}, schemaVerbs{(*schemas.Registry).Check, (*schemas.Registry).CheckResult}),
	)
	return group
}

// schemaResult is what a schemas command prints of one subject.
type schemaResult struct {
	Subject string `json:"subject"`
	ID      int    `json:"id,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// schemaVerb does something with the schema of a subject, and gives its id.
type schemaVerb func(r *schemas.Registry, ctx context.Context, subject string) (int, error)

// schemaVerbs is a verb for the schemas of both public topics.
type schemaVerbs struct{ status, result schemaVerb }

// schemasVerb completes the command of a verb: same settings and output.
func (m *Main) schemasVerb(cmd *cobra.Command, verbs schemaVerbs) *cobra.Command {
	var results, asJSON bool
	cmd.Args = cobra.NoArgs
	cmd.Flags().BoolVar(&results, "results", false, "also the schema of result.v1 where no account publishes results")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one document for each subject")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, warnings, err := loadSettings(m.Environ, needRegistry)
		m.warn(warnings)
		if err != nil {
			return err
		}
		registry, err := newRegistry(&s, nil)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), schemasTimeout)
		defer cancel()
		names := namesOfTopics(s.Topics.Prefix)
		problem := ""
		for _, public := range []struct {
			topic string
			verb  schemaVerb
			skip  bool
		}{
			{names.Status, verbs.status, false},
			{names.Result, verbs.result, !results && len(s.resultAccounts()) == 0},
		} {
			if public.skip {
				continue
			}
			result, err := public.verb.do(ctx, registry, schemas.Subject(public.topic))
			if err != nil {
				return err
			}
			if err := m.printSchema(result, asJSON); err != nil {
				return err
			}
			problem = cmp.Or(problem, result.Problem)
		}
		if problem != "" {
			return &reportedError{problem}
		}
		return nil
	}
	return cmd
}

// do gives what is to be printed of a subject. An error is of the registry
// itself, not of what it holds.
func (v schemaVerb) do(ctx context.Context, registry *schemas.Registry, subject string) (schemaResult, error) {
	id, err := v(registry, ctx, subject)
	result := schemaResult{Subject: subject, ID: id}
	var (
		notRegistered *schemas.NotRegisteredError
		incompatible  *schemas.IncompatibleError
	)
	switch {
	case errors.As(err, &notRegistered):
		result.Problem = "not registered; run 'bridge schemas register'"
	case errors.As(err, &incompatible):
		result.Problem = incompatible.Error()
	case err != nil:
		return schemaResult{}, err
	}
	return result, nil
}

func (m *Main) printSchema(r schemaResult, asJSON bool) error {
	if asJSON {
		return printJSON(m.Stdout, r)
	}
	line := fmt.Sprintf("%s: registered, id %d", r.Subject, r.ID)
	if r.Problem != "" {
		line = r.Subject + ": " + r.Problem
	}
	if _, err := fmt.Fprintln(m.Stdout, line); err != nil {
		return fmt.Errorf("print schema: %w", err)
	}
	return nil
}

// newRegistry makes the client of the registry that the settings name, and has the
// watch keep it current. It sends nothing.
func newRegistry(s *settings, watch *rotate.Watch) (*schemas.Registry, error) {
	r := s.Schemas.Registry
	transport, err := newHTTPTransport(watch, s.file(envPrefix+"SCHEMA_REGISTRY_CA", r.CA))
	if err != nil {
		return nil, err
	}
	login := watch.Pair(s.file(envPrefix+"SCHEMA_REGISTRY_USERNAME", r.Username),
		s.file(envPrefix+"SCHEMA_REGISTRY_PASSWORD", string(r.Password)),
		func(user, _ string) error { return checkBasicUser(user) })
	return schemas.NewRegistry(schemas.RegistryConfig{
		URLs:         r.URL,
		Username:     r.Username,
		CurrentLogin: login.Get,
		HTTPClient:   &http.Client{Transport: transport},
	})
}
