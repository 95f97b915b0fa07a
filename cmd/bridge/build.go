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
	"postident-bridge/internal/scr"
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

	kafka, err := kafkaOptions(ctx, s.Kafka, p.logger)
	if err != nil {
		return where, err
	}

	var clients []*scr.Client // of the accounts, in their order; the roles share them
	if slices.Contains(p.roles, rolePoll) || slices.Contains(p.roles, roleProcess) {
		if clients, err = s.newClients(tel); err != nil {
			return where, err
		}
		p.down.add("api connections", func(context.Context) error {
			for _, c := range clients {
				c.CloseIdleConnections()
			}
			return nil
		})
	}

	var webhook *ingest.Webhook
	if slices.Contains(p.roles, roleWebhook) {
		client, err := kgo.NewClient(append(slices.Clone(kafka), ingest.ProducerOpts()...)...)
		if err != nil {
			return where, fmt.Errorf("make producer of the webhook: %w", err)
		}
		// Nothing that was answered 200 is in its buffer when it closes; what was
		// answered 503 the sender brings again.
		p.down.add("webhook producer", func(context.Context) error { client.Close(); return nil })
		webhook, err = ingest.NewWebhook(s.webhookConfig(client, tel, p.logger))
		if err != nil {
			return where, err
		}
		p.ready.roles = append(p.ready.roles, roleReady{roleWebhook, webhook.Ready})
	}

	var poller *ingest.Poller
	if slices.Contains(p.roles, rolePoll) {
		poller, err = ingest.NewPoller(s.pollerConfig(kafka, clients, tel, p.logger))
		if err != nil {
			return where, err
		}
		p.ready.roles = append(p.ready.roles, roleReady{rolePoll, poller.Ready})
	}

	var processor *processRole
	if slices.Contains(p.roles, roleProcess) {
		processor, err = newProcessRole(s, kafka, clients, tel, p.logger)
		if err != nil {
			return where, err
		}
		processor.config.FaultPauses = p.faultPauses
		p.ready.roles = append(p.ready.roles, roleReady{roleProcess, processor.Ready})
	}

	where.Admin, err = p.serve(ctx, "admin server", s.Admin.Addr, newAdminServer(&p.ready, tel.Metrics, p.logger))
	if err != nil {
		return where, err
	}
	if p.watchCluster {
		watch, err := newClusterWatch(kafka, namesOfTopics(s.Topics.Prefix), tel.Meter, p.logger)
		if err != nil {
			return where, err
		}
		p.start(ctx, "cluster watch", watch.Run)
	}
	if poller != nil {
		p.start(ctx, rolePoll, poller.Run)
	}
	if processor != nil {
		p.start(ctx, roleProcess, processor.Run)
	}
	if webhook != nil {
		where.Webhook, err = p.serve(ctx, "webhook server", s.Webhook.Addr, ingest.NewServer(webhook, p.logger))
		if err != nil {
			return where, err
		}
	}
	return where, nil
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
