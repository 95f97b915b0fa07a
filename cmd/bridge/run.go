package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The roles of a process. Any number of processes may have each.
const (
	roleWebhook = "webhook" // takes webhooks and writes triggers to the inbox
	rolePoll    = "poll"    // reads the lists of cases and writes triggers to the inbox
	roleProcess = "process" // reads cases and publishes their changes
)

var allRoles = []string{roleWebhook, rolePoll, roleProcess}

func (m *Main) runCommand() *cobra.Command {
	var named []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the bridge: take webhooks, sweep lists, publish events",
		Long: `Runs the bridge until it is told to stop (SIGINT, SIGTERM).

The role webhook takes webhooks at /webhooks/<clientId> and answers 200 once Kafka
has acknowledged the trigger. The role poll lists cases of its accounts again and
again, for what no webhook told. The role process reads the cases and publishes
their changes. A process may have any of them; start as many as you like.

/livez, /readyz and /metrics are served at BRIDGE_ADMIN_ADDR. Settings come from
the environment: 'bridge config' shows them, docs/configuration.md explains them.`,
		Example: `  bridge run
  bridge run --roles webhook      only take webhooks
  bridge run --roles poll,process    read lists and cases, and publish`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roles, err := chooseRoles(named)
			if err != nil {
				return err
			}
			s, warnings, err := loadSettings(m.Environ, append([]string{needKafka}, roles...)...)
			if err != nil {
				m.warn(warnings)
				return err
			}
			logger := newLogger(m.Stderr, s.Log)
			for _, w := range append(warnings, s.cautions(roles)...) {
				logger.WarnContext(cmd.Context(), "setting deserves a look",
					slog.String("variable", w.Variable), slog.String("problem", w.Problem))
			}
			p := &process{settings: s, roles: roles, logger: logger, watchCluster: true, started: m.hooks.started, faultPauses: m.hooks.faultPauses, lookEvery: m.hooks.lookEvery}
			return p.run(cmd.Context())
		},
	}
	addRolesFlag(cmd, &named)
	return cmd
}

func addRolesFlag(cmd *cobra.Command, roles *[]string) {
	cmd.Flags().StringSliceVar(roles, "roles", allRoles, "what this process does")
}

// chooseRoles checks the roles that were named, and takes off the blanks that
// somebody wrote behind the commas.
func chooseRoles(named []string) ([]string, error) {
	var roles []string
	for _, r := range named {
		r = strings.TrimSpace(r)
		if !slices.Contains(allRoles, r) {
			return nil, &usageError{fmt.Sprintf("--roles: %q is none of %s", r, strings.Join(allRoles, ", "))}
		}
		if slices.Contains(roles, r) {
			return nil, &usageError{fmt.Sprintf("--roles: %s is named twice", r)}
		}
		roles = append(roles, r)
	}
	if len(roles) == 0 {
		return nil, &usageError{"--roles: none named"}
	}
	return roles, nil
}

// cautions are settings that are allowed and still deserve a look.
func (s *settings) cautions(roles []string) []mistake {
	var out []mistake
	if without := s.Kafka.SASL.withoutTLS(); without != "" && !s.Kafka.TLS.Enabled {
		out = append(out, mistake{envPrefix + "KAFKA_SASL_MECHANISM", without})
	}
	if strings.HasPrefix(s.Kafka.SASL.OAuth.TokenURL, "http:") {
		out = append(out, mistake{oauthPrefix + "TOKEN_URL", "http sends secret and token in the clear"})
	}
	for _, a := range s.Accounts {
		if slices.Contains(roles, roleWebhook) && a.WebhookUsername == "" {
			out = append(out, mistake{a.variable("WEBHOOK_USERNAME"), "not set: the sender's address is the only check of this account's webhooks"})
		}
		if !slices.Contains(roles, rolePoll) && !slices.Contains(roles, roleProcess) {
			continue
		}
		if a.Encryption == "optional" {
			out = append(out, mistake{a.variable("ENCRYPTION"), "optional: plain answers are accepted"})
		}
		if a.AllowRSA15 {
			out = append(out, mistake{a.variable("ALLOW_RSA15"), "RSA1_5 is open to padding oracles"})
		}
	}
	return out
}

// withoutTLS is what is wrong with the mechanism where there is no TLS, "" for
// nothing that deserves a word.
func (s saslSettings) withoutTLS() string {
	switch s.Mechanism {
	case saslPlain:
		return "PLAIN without TLS sends the password in the clear"
	case saslOAuth:
		return "OAUTHBEARER without TLS sends the token in the clear"
	case saslMSKIAM:
		return "Amazon MSK takes AWS_MSK_IAM over TLS only"
	default:
		return ""
	}
}

// addresses are where a process serves, as bound: with port 0 in the settings,
// the system chose.
type addresses struct {
	Admin   string
	Webhook string // "" without the role
}

// process is one bridge from start to stop.
type process struct {
	settings settings
	roles    []string
	logger   *slog.Logger
	// watchCluster: the cluster's settings are looked at. Not those of the demo's
	// own broker.
	watchCluster bool
	started      func(addresses) // called once everything serves; may be nil
	faultPauses  []time.Duration // of the publisher; nil means its own
	lookEvery    time.Duration   // at files of settings; 0 means the watch's own

	down  teardown
	ready readiness
	ended chan ending // a part that ended by itself
}

// ending says that a part of the process ended though nobody stopped it.
type ending struct {
	part string
	err  error
}

// run serves until ctx ends or a part fails, and then takes down what it built,
// newest first: no more webhooks, then the publisher, then the clients, the
// admin server and telemetry last, so that the end can be watched.
func (p *process) run(ctx context.Context) error {
	p.down = teardown{logger: p.logger, limit: p.settings.Shutdown.Timeout}
	p.ended = make(chan ending, 8)
	where, err := p.build(ctx)
	if err == nil {
		p.logger.InfoContext(ctx, "bridge started",
			slog.String("version", readBuildInfo().Version),
			slog.Any("roles", p.roles),
			slog.String("admin_addr", where.Admin),
			slog.String("webhook_addr", where.Webhook),
			slog.Int("accounts", len(p.settings.Accounts)))
		if p.started != nil {
			p.started(where)
		}
		err = p.wait(ctx)
	}
	// Detached: the context that ended must not cut short what was begun.
	return joinErrors(err, p.down.run(context.WithoutCancel(ctx)))
}

// wait returns when the process is to stop, with the reason if it is a failure.
func (p *process) wait(ctx context.Context) error {
	select {
	case e := <-p.ended:
		if e.err == nil {
			return fmt.Errorf("%s ended by itself", e.part)
		}
		return fmt.Errorf("%s: %w", e.part, e.err)
	case <-ctx.Done():
	}
	p.ready.stopping.Store(true)
	p.logger.InfoContext(ctx, "bridge stopping")
	pause(context.WithoutCancel(ctx), p.settings.Shutdown.Delay)
	return nil
}
