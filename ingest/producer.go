package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxBufferedRecords and maxBufferedBytes bound what waits for Kafka: a
	// trigger answered 503 stays buffered, because a record that was sent once
	// cannot be taken back. Triggers are about 200 bytes; the two bounds hold
	// the process under some 20 MiB with the client's own bookkeeping.
	maxBufferedRecords = 8192
	maxBufferedBytes   = 8 << 20
)

// ProducerOpts returns the producer settings on which the webhook's promises
// rest (design P1); addresses, TLS and SASL come from the caller. NewWebhook
// refuses a client whose settings break a promise. The client is to be the
// webhook's own: its buffer and its time-outs are no one else's.
func ProducerOpts() []kgo.Opt {
	return []kgo.Opt{
		// P1: 200 means that every in-sync replica has the trigger. The
		// idempotent producer (kgo's default, refused when switched off) keeps
		// the client's own retries from doubling it.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Murmur2 as in Java, written out because the publisher sends on what
		// stands in another partition (design 2).
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// A request waits for its own record, so a linger is only delay: 5,000
		// webhooks/s with kgo's 10 ms against 27,000/s without (tried, at 64
		// connections). Under load batches grow by themselves.
		kgo.ProducerLinger(0),
		// The buffer is the only thing that grows while Kafka is away.
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		// The broker gives up waiting for replicas before the sender does, and a
		// broker that holds the connection but answers nothing (SIGSTOP, a lost
		// route) is cut off after 1.5 s + 2 s, not after kgo's 20 s: then the
		// client asks who leads now. Without a RecordDeliveryTimeout: a late
		// write after a 503 is harmless, and after the sender's last retry it is
		// the only one there will be.
		kgo.ProduceRequestTimeout(1500 * time.Millisecond),
		kgo.RequestTimeoutOverhead(2 * time.Second),
		kgo.DialTimeout(2 * time.Second),
		// A moved leader is found within the sender's two seconds; kgo waits 5 s
		// between two looks.
		kgo.MetadataMinAge(100 * time.Millisecond),
		// Retries go on for as long as Kafka is away; capped low so that the
		// first second after its return brings the acknowledgements.
		kgo.RetryBackoffFn(produceBackoff),
	}
}

// produceBackoff doubles from 50 ms to at most 1 s.
func produceBackoff(tries int) time.Duration {
	return min(50*time.Millisecond<<min(max(tries-1, 0), 5), time.Second)
}

// checkProducer says how a client's settings would break a promise of the
// webhook, or nil. A setting that it cannot read is refused too.
func checkProducer(cl *kgo.Client) error {
	if cl == nil {
		return errors.New("client: missing")
	}
	var errs []error
	if cl.OptValue(kgo.RequiredAcks) != kgo.AllISRAcks() {
		errs = append(errs, errors.New("required acks: must be all in-sync replicas (P1)"))
	}
	if cl.OptValue(kgo.DisableIdempotentWrite) != false {
		errs = append(errs, errors.New("idempotent write: must not be disabled"))
	}
	if cl.OptValue(kgo.TransactionalID) != "" {
		errs = append(errs, errors.New("transactional id: must not be set, nothing would ever be committed"))
	}
	if cl.OptValue(kgo.ManualFlushing) != false {
		errs = append(errs, errors.New("manual flushing: must be off, nothing would ever be sent"))
	}
	if linger := cl.OptValue(kgo.ProducerLinger); linger != time.Duration(0) {
		errs = append(errs, fmt.Errorf("producer linger: must be 0, is %v", linger))
	}
	return errors.Join(errs...)
}

// checkDestination is checkProducer for a client that writes to one topic.
func checkDestination(client *kgo.Client, topic string) error {
	err := checkProducer(client)
	if topic == "" {
		err = errors.Join(err, errors.New("topic: missing"))
	}
	return err
}
