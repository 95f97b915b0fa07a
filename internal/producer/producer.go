// Package producer keeps producing through a refusal of a producer id.
//
// Where a broker refuses a client its producer id for good (who may write to no topic
// gets none), kgo keeps the refusal, fails whatever is produced from then on and asks
// for no id again (tried). So another client with the same options takes its place
// once Kafka gives ids.
package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
)

const (
	// identifyEvery is how often Kafka is asked whether it gives a producer id by now.
	identifyEvery = time.Second
	// identifyTimeout bounds each question.
	identifyTimeout = 2 * time.Second
)

// Producer is an idempotent client that outlives a refusal. It is safe for concurrent
// use.
type Producer struct {
	original *kgo.Client // closed by who made it
	topic    string      // what the right to write is named by
	log      *slog.Logger
	stays    bool // with its client, whatever becomes of it
	current  atomic.Pointer[kgo.Client]
	refusal  atomic.Pointer[error] // why the current client is of no use; nil while it is
	open     func(...kgo.Opt) (*kgo.Client, error)

	ctx    context.Context //nolint:containedctx // of what looks after clients: it ends with Close, not with a call
	cancel context.CancelFunc

	mu      sync.Mutex
	watched *kgo.Client    // guarded by mu: the client that a task looks after
	tasks   sync.WaitGroup // begun under mu, and not once ctx has ended
}

// New makes one of a client that writes to the topic, and starts nothing. The caller
// closes the client, after the producer or before. A nil logger means silence.
func New(client *kgo.Client, topic string, logger *slog.Logger) *Producer {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p := &Producer{original: client, topic: topic, log: logger, open: kgo.NewClient}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.current.Store(client)
	return p
}

// Sole makes one that stays with its client, for those who end when it fails. It
// needs no Close.
func Sole(client *kgo.Client) *Producer {
	p := &Producer{original: client, stays: true}
	p.current.Store(client)
	return p
}

// Client is the one to produce with. An error of a produce goes to Failed.
func (p *Producer) Client() *kgo.Client { return p.current.Load() }

// Refused is why nothing can be written until Kafka gives a producer id, or nil. It
// names the right to write to the topic where that is what lacks.
func (p *Producer) Refused() error {
	if err := p.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// Failed looks after a client of which a produce ended with err. It does not block.
func (p *Producer) Failed(client *kgo.Client, err error) {
	if p.stays || !isFinal(err) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || p.watched == client || p.current.Load() != client {
		return
	}
	p.watched = client
	p.tasks.Go(func() {
		p.watch(client)
		p.mu.Lock()
		defer p.mu.Unlock()
		// What failed since the watch ended is not looked at: a refused client fails
		// whatever is produced next, too.
		if p.watched == client {
			p.watched = nil
		}
	})
}

// isFinal says that kgo does not try again what a broker answered so.
func isFinal(err error) bool {
	answer, ok := errors.AsType[*kerr.Error](err)
	return ok && !answer.Retriable
}

// watch replaces the client if it was refused its id; any other failure was that of
// a record.
func (p *Producer) watch(client *kgo.Client) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer context.AfterFunc(client.Context(), cancel)() // closed by who made it
	if !p.isRefused(ctx, client) {
		return
	}
	tick := time.NewTicker(identifyEvery)
	defer tick.Stop()
	var answer chan bool // of the question under way: a paused broker gets one, not many
	for {
		select {
		case <-tick.C:
			if answer == nil {
				answer = make(chan bool, 1)
				go func(answer chan<- bool) { answer <- givesIDs(ctx, client) }(answer)
			}
		case gives := <-answer:
			if gives && p.replace(ctx, client) {
				return
			}
			answer = nil
		case <-ctx.Done():
			return
		}
	}
}

// isRefused says whether the client was refused its id, and remembers why.
func (p *Producer) isRefused(ctx context.Context, client *kgo.Client) bool {
	bounded, cancel := context.WithTimeout(ctx, identifyTimeout)
	defer cancel()
	// Crash point "id", should the client not answer from memory: nothing is written.
	// It waits beside its request, so the context ends it.
	_, _, err := client.ProducerID(bounded)
	if !isFinal(err) {
		return false
	}
	err = right.Missing(fmt.Errorf("get producer id: %w", err), right.OnTopic(right.Write, p.topic))
	p.refusal.Store(&err)
	p.log.WarnContext(ctx, "kafka refuses a producer id", slog.String("topic", p.topic), slog.Any("error", err))
	return true
}

// givesIDs asks for a producer id that nobody uses, past what the client has kept. A
// request to a paused broker may last longer than its context.
func givesIDs(ctx context.Context, client *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, identifyTimeout)
	defer cancel()
	// Crash point "id": nothing is written.
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
	return err == nil && resp.ErrorCode == 0
}

// replace puts another client in the place of one, if it can be made.
func (p *Producer) replace(ctx context.Context, client *kgo.Client) bool {
	next, err := p.open(client.Opts()...)
	if err != nil { // hardly, of options that made one before; it is tried again
		return false
	}
	p.refusal.Store(nil) // before anybody has the next one, which may be refused as well
	p.current.Store(next)
	p.log.InfoContext(ctx, "kafka gives producer ids again", slog.String("topic", p.topic))
	if client != p.original {
		client.Close()
	}
	return true
}

// Close ends what looks after clients at once, and closes the one that took the
// original's place, if one did: like that of the original this may wait for a broker
// that does not answer. A second Close does nothing.
func (p *Producer) Close() {
	if p.stays {
		return
	}
	p.mu.Lock()
	p.cancel()
	p.mu.Unlock()
	p.tasks.Wait()
	if client := p.current.Load(); client != p.original {
		client.Close()
	}
}
