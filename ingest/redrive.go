package ingest

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

const (
	// pacedBatches is into how many batches a second's triggers are parted.
	pacedBatches = 10
	// pacedLimit is how long one batch may wait for Kafka: an operator waits too.
	pacedLimit = 30 * time.Second
)

// LookAgain asks for a look at a case, because an operator said so.
func LookAgain(clientID, caseID string, now time.Time) Hint {
	return Hint{Trigger: schemas.Trigger{ClientID: clientID, CaseID: caseID, Source: schemas.SourceRedrive, ReceivedAt: now}}
}

// RedriveOf asks for a look at the case of a dead letter, which stands at the
// given place. The trigger says nothing of what a list showed before it became a
// letter: that is old now, and the case is to be read.
func RedriveOf(letter schemas.Trigger, topic string, partition int32, offset int64, now time.Time) Hint {
	h := LookAgain(letter.ClientID, letter.CaseID, now)
	h.ReferenceID, h.Traceparent = letter.ReferenceID, letter.Traceparent
	h.Headers = []kgo.RecordHeader{
		{Key: schemas.HeaderRedriveTopic, Value: []byte(topic)},
		{Key: schemas.HeaderRedrivePartition, Value: []byte(strconv.Itoa(int(partition)))},
		{Key: schemas.HeaderRedriveOffset, Value: strconv.AppendInt(nil, offset, 10)},
	}
	return h
}

// PutPaced puts triggers at no more than rate a second, so that those of live
// traffic do not wait behind them, and tells written how many Kafka has
// acknowledged so far. It returns how many that were in the end; with an error
// some more may be written, or be written yet. The rate is at least 1. A batch
// that Kafka does not acknowledge within half a minute is an error.
func (i *Inbox) PutPaced(ctx context.Context, triggers []Hint, rate int, written func(int)) (int, error) {
	if rate < 1 {
		return 0, fmt.Errorf("put triggers: rate must be at least 1 a second, is %d", rate)
	}
	done := 0
	for done < len(triggers) {
		batch := triggers[done:min(done+max(1, rate/pacedBatches), len(triggers))]
		next := time.NewTimer(time.Duration(len(batch)) * time.Second / time.Duration(rate))
		err := i.putWithin(ctx, batch)
		if err == nil {
			done += len(batch)
			written(done)
			if done < len(triggers) {
				err = await(ctx, next)
			}
		}
		next.Stop()
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (i *Inbox) putWithin(ctx context.Context, batch []Hint) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pacedLimit, errNotAcknowledged)
	defer cancel()
	return i.Put(ctx, batch)
}

func await(ctx context.Context, timer *time.Timer) error {
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("put triggers: %w", context.Cause(ctx))
	}
}
