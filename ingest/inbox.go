package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/producer"
	"postident-bridge/internal/right"
	"postident-bridge/schemas"
)

// putBatch is how many triggers Put has under way at once: a list answer, say.
// Several that put at once stay below what ProducerOpts lets the client buffer.
const putBatch = 1000

// Hint is a trigger on its way to the inbox, and what its record says beside it.
type Hint struct {
	schemas.Trigger
	Headers []kgo.RecordHeader
}

// Inbox writes triggers that no webhook brought: of sweeps, backfills and
// operators. It is safe for concurrent use.
type Inbox struct {
	producer *producer.Producer
	topic    string
}

// NewInbox makes the inbox of a topic. The client is made with ProducerOpts, the
// caller closes it; one whose settings break a promise is refused. It starts
// nothing.
func NewInbox(client *kgo.Client, topic string) (*Inbox, error) {
	if err := checkDestination(client, topic); err != nil {
		return nil, fmt.Errorf("check inbox configuration: %w", err)
	}
	return newInbox(producer.Sole(client), topic), nil
}

// newInbox makes the inbox of a producer that goes on as it does.
func newInbox(p *producer.Producer, topic string) *Inbox { return &Inbox{producer: p, topic: topic} }

// Put writes the triggers, keyed by caseId and in their order, and returns nil
// once every in-sync replica has all of them: only then may the caller note that
// it is done with them (design 2).
//
// After an error any of them may be written, or be written yet: Put them again, a
// doubled trigger is harmless. If one cannot be encoded, none is written. Put
// waits for as long as Kafka is away, until ctx ends; what the client has taken
// by then it goes on trying to write, until it is closed.
func (i *Inbox) Put(ctx context.Context, triggers []Hint) error {
	records := make([]*kgo.Record, len(triggers))
	for n, t := range triggers {
		value, err := encoded(t.Trigger)
		if err != nil {
			return err
		}
		records[n] = &kgo.Record{Topic: i.topic, Key: []byte(t.CaseID), Value: value, Headers: t.Headers}
	}
	for batch := range slices.Chunk(records, putBatch) {
		if err := produceAll(ctx, i.producer, batch...); err != nil {
			return fmt.Errorf("put triggers: %w", err)
		}
	}
	return nil
}

// largestObserved is how large a trigger may be with its observation: what the
// broker takes as one message, less room for headers and framing.
const largestObserved = schemas.MaxBytes / 2

// encoded is the value of a trigger. An observation that makes it too large stays
// behind: what is left says to look at the case, and nobody waits behind a case
// with an endless text.
func encoded(t schemas.Trigger) ([]byte, error) {
	value, err := schemas.EncodeTrigger(t)
	tooLarge := (*schemas.TooLargeError)(nil)
	if t.Observation != nil && (len(value) > largestObserved || errors.As(err, &tooLarge)) {
		t.Observation = nil
		return schemas.EncodeTrigger(t)
	}
	return value, err
}

// produceAll waits beside the client for the acknowledgement of all records. The
// client's own contexts are no way out: none ends a produce to a stopped broker in
// time, and one that ends fails whatever others have buffered for the same
// partition (tried).
//
// Crash point "put": any of the triggers may be written. Whoever put them has
// noted nothing yet and puts them again.
// Crash point "note cursor": the triggers are in the inbox, and the lists that
// they came from are read once more.
func produceAll(ctx context.Context, p *producer.Producer, records ...*kgo.Record) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	written, client := make(chan error, 1), p.Client()
	go func() { written <- client.ProduceSync(context.WithoutCancel(ctx), records...).FirstErr() }()
	select {
	case err := <-written:
		if err != nil {
			p.Failed(client, err) //nolint:contextcheck // what looks after the client outlives whoever put
		}
		return right.Missing(err, right.OnTopic(right.Write, records[0].Topic))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
