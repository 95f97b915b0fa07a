package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/right"
)

// producerID is the identity that fences: the epoch alone decides who may write.
type producerID struct {
	id    int64
	epoch int16
}

// recordRefusedError says that a broker refuses a record for what it is. It is
// no fence: after the take-over the cases of the batch go one at a time.
type recordRefusedError struct {
	Topic string
	Err   error
}

func (e *recordRefusedError) Error() string {
	return "record refused by " + e.Topic + ": " + e.Err.Error()
}
func (e *recordRefusedError) Unwrap() error { return e.Err }

// unknownOutcomeError says that a transaction may or may not have been
// committed. There is no abort and no second Begin after it: the table is
// dropped with the worker, and the next restore finds out.
type unknownOutcomeError struct{ Err error }

func (e *unknownOutcomeError) Error() string {
	return "outcome of transaction unknown: " + e.Err.Error()
}
func (e *unknownOutcomeError) Unwrap() error { return e.Err }

// commit writes records in one transaction. On nil they are committed, each
// once, and rec.Offset is set. Any error ends the worker. The crash points of a
// transaction are named in transact and produce.
func (w *worker) commit(ctx context.Context, records []*kgo.Record) error {
	began := time.Now()
	err := w.transact(ctx, records)
	w.p.metrics.transaction(ctx, time.Since(began), len(records), err)
	return err
}

func (w *worker) transact(ctx context.Context, records []*kgo.Record) error {
	if err := w.holds(ctx); err != nil {
		return err
	}
	// Crash point "begin": before it nothing happened; after it the broker may
	// know of partitions (before Kafka 4.0 by a request of its own), and of no record.
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := w.produce(ctx, records); err != nil {
		return err
	}
	// EndTransaction's nil alone proves nothing: with no partition added it
	// returns nil without asking the broker, and a producer id renewed in between
	// would end another transaction than the one that holds our records.
	if err := w.holds(ctx); err != nil {
		return err
	}
	// Crash point "end": the transaction is committed or not, as a whole, and the
	// successor's restore shows which. After it all is in place, and only our
	// table is lost.
	ended := make(chan error, 1)
	go func() { ended <- w.client.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit) }()
	if err := await(ctx, ended, w.p.cfg.timings.endTimeout); err != nil {
		return &unknownOutcomeError{Err: right.Missing(err, w.transacts())}
	}
	// Under KIP-890 each transaction has an epoch of its own.
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.timings.endTimeout)
	defer cancel()
	id, epoch, err := w.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("read producer epoch: %w", right.Missing(err, w.transacts()))
	}
	w.producer = producerID{id: id, epoch: epoch}
	return nil
}

var (
	errFenced   = errors.New("fenced")
	errNoAnswer = errors.New("no answer in time")
)

// transacts is the right to the transactional id of the partition.
func (w *worker) transacts() right.Right {
	return right.OnTransactionalID(right.Write, transactionalID(w.p.cfg.Prefix, w.partition))
}

// holds checks that the client still has the producer id and epoch that this
// worker knows.
//
// Crash point "open" again, should the client not answer from memory but open the
// producer anew: then the epoch is another, and the worker ends.
func (w *worker) holds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.timings.endTimeout)
	defer cancel()
	id, epoch, err := w.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("read producer epoch: %w", right.Missing(err, w.transacts()))
	}
	if now := (producerID{id: id, epoch: epoch}); now != w.producer {
		return fmt.Errorf("%w: producer is %d/%d, was %d/%d", errFenced, now.id, now.epoch, w.producer.id, w.producer.epoch)
	}
	return nil
}

// produce hands records to the client and waits for every acknowledgement.
//
// Crash point "produce": the broker holds an open transaction, which the
// successor's opening aborts.
func (w *worker) produce(ctx context.Context, records []*kgo.Record) error {
	acks := make(chan error, len(records))
	for _, rec := range records {
		w.client.Produce(context.WithoutCancel(ctx), rec, func(rec *kgo.Record, err error) {
			if err != nil && refusesRecord(err) {
				err = &recordRefusedError{Topic: rec.Topic, Err: err}
			} else if fences(err) {
				err = fmt.Errorf("%w: %w", errFenced, err)
			} else if err != nil {
				err = fmt.Errorf("produce to %s: %w", rec.Topic, right.Missing(err, right.OnTopic(right.Write, rec.Topic), w.transacts()))
			}
			acks <- err
		})
	}
	timer := time.NewTimer(w.p.cfg.timings.endTimeout)
	defer timer.Stop()
	var refused *recordRefusedError
	var first error
	for range records {
		select {
		case err := <-acks:
			if err != nil && !errors.As(err, &refused) && first == nil {
				first = err
			}
		case <-timer.C:
			return fmt.Errorf("produce: %w", errNoAnswer)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	// A refused record fails its neighbours too, with errors that say less.
	if refused != nil {
		return refused
	}
	return first
}

// refusesRecord says whether an error names the record, and no other record of
// the topic need fare alike. An error that names the topic (not authorised,
// unknown), or this host's clock (INVALID_TIMESTAMP), is none: nothing of it is
// the case's fault, so the worker takes over again and again, not ready, until an
// operator mends it.
func refusesRecord(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.PolicyViolation)
}

// fences says whether a broker's error means that another epoch is at work.
func fences(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// await waits for an answer from outside, bounded: with a paused broker neither
// a produce's context nor EndTransaction's ends in time.
func await(ctx context.Context, answer <-chan error, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err
	case <-timer.C:
		return errNoAnswer
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
