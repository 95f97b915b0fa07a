package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/rotate"
)

// build makes and starts the parts in one straight line; each says at once how
// it is taken down. The listener for webhooks comes last: when it takes the
// first one, everything behind it is there.
func (p *process) build(ctx context.Context) (addresses, error) {
	var where addresses
	s := &p.settings

	tel, err := newTelemetry(ctx, s.Telemetry, p.logger)
	if err != nil {
		return where, err
	}
	p.down.add("telemetry", tel.Shutdown)
	watch, err := rotate.New(rotate.Config{Every: p.lookEvery, Logger: p.logger, Meter: tel.Meter})
	if err != nil {
		return where, err
	}
	kafka, err := kafkaOptions(ctx, s, watch, p.logger)
	if err != nil {
		return where, err
	}
	parts, err := p.makeRoles(ctx, kafka, watch, tel)
	if err != nil {
		return where, err
	}
	if !watch.Idle() {
		p.start(ctx, "settings watch", watch.Run)
	}

	where.Admin, err = p.serve(ctx, "admin server", s.Admin.Addr, newAdminServer(&p.ready, tel.Metrics, p.logger))
	if err != nil {
		return where, err
	}
	if p.watchCluster {
		roles, err := chooseDuties(p.roles)
		if err != nil {
			return where, err
		}
		needed := aclsOf(roles, s.Topics.Prefix, len(s.resultAccounts()) > 0)
		watch, err := newClusterWatch(kafka, namesOfTopics(s.Topics.Prefix), needed, tel.Meter, p.logger)
		if err != nil {
			return where, err
		}
		p.start(ctx, "cluster watch", watch.Run)
	}
	if parts.poll != nil {
		p.start(ctx, rolePoll, parts.poll.Run)
	}
	if parts.process != nil {
		p.start(ctx, roleProcess, parts.process.Run)
	}
	if parts.webhook != nil {
		where.Webhook, err = p.serve(ctx, "webhook server", s.Webhook.Addr, ingest.NewServer(p.ready.letGo(parts.webhook), p.logger))
		if err != nil {
			return where, err
		}
	}
	return where, nil
}

// roleParts are what does the work of the roles; nil for a role that the process
// has not.
type roleParts struct {
	webhook *ingest.Webhook
	poll    *ingest.Poller
	process *processRole
}

// makeRoles makes the parts of the process's roles, and starts none.
func (p *process) makeRoles(ctx context.Context, kafka []kgo.Opt, watch *rotate.Watch, tel *telemetry) (parts roleParts, err error) {
	if slices.Contains(p.roles, roleWebhook) {
		if parts.webhook, err = p.makeWebhook(kafka, watch, tel); err != nil {
			return parts, err
		}
	}
	if !slices.Contains(p.roles, rolePoll) && !slices.Contains(p.roles, roleProcess) {
		return parts, nil
	}
	// The roles share the accounts' clients: what one hears of an account that
	// refuses its credentials holds the other back too.
	clients, err := p.settings.newClients(tel)
	if err != nil {
		return parts, err
	}
	p.settings.watchClients(clients, watch)
	p.down.add("api connections", func(context.Context) error {
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		return nil
	})
	if slices.Contains(p.roles, rolePoll) {
		if parts.poll, err = ingest.NewPoller(p.settings.pollerConfig(kafka, clients, tel, p.logger)); err != nil {
			return parts, err
		}
		p.ready.roles = append(p.ready.roles, roleReady{rolePoll, parts.poll.Ready})
	}
	if slices.Contains(p.roles, roleProcess) {
		if parts.process, err = newProcessRole(ctx, &p.settings, kafka, clients, watch, tel, p.logger); err != nil {
			return parts, err
		}
		parts.process.config.FaultPauses = p.faultPauses
		p.ready.roles = append(p.ready.roles, roleReady{roleProcess, parts.process.Ready})
	}
	return parts, nil
}

func (p *process) makeWebhook(kafka []kgo.Opt, watch *rotate.Watch, tel *telemetry) (*ingest.Webhook, error) {
	client, err := kgo.NewClient(append(slices.Clone(kafka), ingest.ProducerOpts()...)...)
	if err != nil {
		return nil, fmt.Errorf("make producer of the webhook: %w", err)
	}
	// Nothing that was answered 200 is in its buffer when it closes; what was
	// answered 503 the sender brings again.
	p.down.add("webhook producer", func(context.Context) error { client.Close(); return nil })
	webhook, err := ingest.NewWebhook(p.settings.webhookConfig(client, tel, p.logger))
	if err != nil {
		return nil, err
	}
	p.down.add("webhook", func(context.Context) error { webhook.Close(); return nil })
	p.settings.watchWebhook(webhook, watch)
	p.ready.roles = append(p.ready.roles, roleReady{roleWebhook, webhook.Ready})
	return webhook, nil
}

// serve listens on addr and starts the server. Taking it down stops listening
// and waits for the requests that were begun.
func (p *process) serve(ctx context.Context, name, addr string, srv *http.Server) (string, error) {
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	p.serveOn(name, listener, srv)
	return listener.Addr().String(), nil
}

// serveOn starts the server on a listener, which it owns from then on.
func (p *process) serveOn(name string, listener net.Listener, srv *http.Server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.ended <- ending{name, err}
		}
	}()
	p.down.add(name, func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
		<-done
		return err
	})
}

// start runs a part on a context of its own, which ends when its turn in the
// teardown comes, not with the signal.
func (p *process) start(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			p.ended <- ending{name, err}
			err = nil // told once
		}
		done <- err
	}()
	p.down.add(name, func(ctx context.Context) error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-ctx.Done():
			return fmt.Errorf("wait for its end: %w", ctx.Err())
		}
	})
}
