package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/publish"
	"postident-bridge/schemas"
)

// publishPartitions is how many workers the publisher has: the bridge's default.
const publishPartitions = 12

// benchClientID is the account of the figures of the publisher.
const benchClientID = "BENCH01"

// publishing is a publisher at work in this process, so that its profile is
// this process's, with the metrics it has in production.
type publishing struct {
	stop   context.CancelFunc
	ended  chan error
	reader *metric.ManualReader
}

// publishTopics are the topics that ApplyTopics made.
func (e *Env) publishTopics() publish.Topics {
	return publish.Topics{
		Inbox: e.Topic("inbox"), CaseState: e.Topic("case-state"),
		Status: e.Topic("status.v1"), DeadLetter: e.Topic("dead-letter"),
	}
}

// startPublisher starts a publisher that owns all partitions.
func (e *Env) startPublisher(ctx context.Context, kafka *testbed.Kafka, read func(context.Context, string) (scr.Case, error)) (*publishing, error) {
	reader := metric.NewManualReader()
	p, err := publish.New(publish.Config{
		Kafka:  []kgo.Opt{kgo.SeedBrokers(kafka.Seeds()...)},
		Topics: e.publishTopics(),
		Prefix: e.Prefix(),
		Accounts: []publish.Account{{
			ClientID: benchClientID, RegulatoryClass: schemas.RegulatoryClassGwG, Read: read,
		}},
		Encoder: schemas.NewSingleObjectStatusEncoder(),
		Meter:   metric.NewMeterProvider(metric.WithReader(reader)).Meter("bench"),
	})
	if err != nil {
		return nil, fmt.Errorf("make publisher: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // end stops it
	running := &publishing{stop: stop, ended: make(chan error, 1), reader: reader}
	go func() { running.ended <- p.Run(ctx) }()
	return running, nil
}

// end stops the publisher in good order.
func (p *publishing) end() error {
	p.stop()
	if err := <-p.ended; err != nil {
		return fmt.Errorf("run publisher: %w", err)
	}
	return nil
}

// published is what the publisher's own metrics say was committed.
type published struct {
	events, retries, transactions int64
	transacting                   time.Duration // of all workers together
}

// counts reads the metrics.
func (p *publishing) counts(ctx context.Context) (published, error) {
	var all metricdata.ResourceMetrics
	if err := p.reader.Collect(ctx, &all); err != nil {
		return published{}, fmt.Errorf("read metrics: %w", err)
	}
	var c published
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch m.Name {
			case "postident.events.published":
				c.events = total(m.Data)
			case "postident.retries.scheduled":
				c.retries = total(m.Data)
			case "postident.transaction.duration":
				c.transactions = total(m.Data)
				if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
					for _, point := range h.DataPoints {
						c.transacting += time.Duration(point.Sum * float64(time.Second))
					}
				}
			}
		}
	}
	return c, nil
}

// total adds up a metric over its attributes; of a histogram, how often it was
// recorded.
func total(data metricdata.Aggregation) int64 {
	sum := int64(0)
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, point := range data.DataPoints {
			sum += point.Value
		}
	case metricdata.Histogram[float64]:
		for _, point := range data.DataPoints {
			sum += int64(point.Count) //nolint:gosec // far below
		}
	}
	return sum
}

// errStalled says that a publisher does not get on.
var errStalled = errors.New("publisher does not get on")

// await waits until the publisher has committed n events, and returns when it had
// committed each whole hundredth of them.
func (p *publishing) await(ctx context.Context, n int64) (hundredths []time.Time, err error) {
	const look = 5 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	last, moved := int64(0), time.Now()
	for {
		c, err := p.counts(ctx)
		if err != nil {
			return nil, err
		}
		for int64(len(hundredths)) < 100*c.events/n {
			hundredths = append(hundredths, time.Now())
		}
		if c.events >= n {
			return hundredths, nil
		}
		if c.events > last {
			last, moved = c.events, time.Now()
		} else if time.Since(moved) > time.Minute {
			return nil, fmt.Errorf("%w: %d of %d events", errStalled, c.events, n)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-p.ended:
			p.ended <- err
			return nil, errors.Join(errStalled, err)
		case <-tick.C:
		}
	}
}

// middleRate is the rate of n things between their first and last tenth: neither
// the start nor the last partition's end.
func middleRate(n int, hundredths []time.Time) float64 {
	return 0.8 * float64(n) / hundredths[89].Sub(hundredths[9]).Seconds()
}

// produceAll writes records and waits for every acknowledgement.
func produceAll(ctx context.Context, kafka *testbed.Kafka, records []*kgo.Record) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}
