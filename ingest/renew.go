package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// identifyEvery is how often Kafka is asked whether it gives a producer id by now.
	identifyEvery = time.Second
	// identifyTimeout bounds each question.
	identifyTimeout = 2 * time.Second
)

// producer is a client that outlives a refusal. Where a broker refuses a client its
// producer id (who may write to no topic gets none), kgo keeps the refusal, fails
// whatever is produced from then on and asks for no id again (tried). So another
// client with the same options takes its place once Kafka gives ids.
type producer struct {
	original *kgo.Client // closed by who made it
	current  atomic.Pointer[kgo.Client]
	refusal  atomic.Pointer[error] // why the current client is of no use; nil while it is

	mu      sync.Mutex
	watched *kgo.Client    // guarded by mu: the client that a task looks after
	tasks   sync.WaitGroup // begun under mu, and not once closed
	closed  chan struct{}  // closed under mu
}

func newProducer(client *kgo.Client) *producer {
	p := &producer{original: client, closed: make(chan struct{})}
	p.current.Store(client)
	return p
}

// soleProducer is one that stays with its client, for those who end when it fails.
func soleProducer(client *kgo.Client) *producer {
	p := newProducer(client)
	p.close()
	return p
}

// client is the one to produce with. An error of a produce goes to failed.
func (p *producer) client() *kgo.Client { return p.current.Load() }

// refused is why nothing can be written until Kafka gives a producer id, or nil.
func (p *producer) refused() error {
	if err := p.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// failed looks after a client of which a produce ended with err. It does not block.
func (p *producer) failed(client *kgo.Client, err error) {
	if !isFinal(err) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() || p.watched == client || p.current.Load() != client {
		return
	}
	p.watched = client
	p.tasks.Go(func() {
		p.watch(client)
		p.mu.Lock()
		defer p.mu.Unlock()
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
func (p *producer) watch(client *kgo.Client) {
	ctx, cancel := context.WithTimeout(client.Context(), identifyTimeout)
	// Crash point "id", should the client not answer from memory: nothing is written.
	_, _, err := client.ProducerID(ctx)
	cancel()
	if !isFinal(err) {
		return
	}
	err = fmt.Errorf("get producer id: %w", err)
	p.refusal.Store(&err)
	tick := time.NewTicker(identifyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.closed:
			return
		case <-client.Context().Done(): // closed by who made it
			return
		}
		if givesIDs(client) {
			p.replace(client)
			return
		}
	}
}

// givesIDs asks for a producer id that nobody uses, past what the client has kept.
func givesIDs(client *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(client.Context(), identifyTimeout)
	defer cancel()
	// Crash point "id": nothing is written.
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
	return err == nil && resp.ErrorCode == 0
}

func (p *producer) replace(client *kgo.Client) {
	next, err := kgo.NewClient(client.Opts()...)
	if err != nil { // not of options that made one before; the next failure tries again
		return
	}
	p.current.Store(next)
	p.refusal.Store(nil)
	if client != p.original {
		client.Close()
	}
}

func (p *producer) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// close ends what looks after clients, and closes the one that took the original's
// place, if one did. Like that of the original it may wait for a broker that does
// not answer.
func (p *producer) close() {
	p.mu.Lock()
	if !p.isClosed() {
		close(p.closed)
	}
	p.mu.Unlock()
	p.tasks.Wait()
	if client := p.current.Load(); client != p.original {
		client.Close()
	}
}
