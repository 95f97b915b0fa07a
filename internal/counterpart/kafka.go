package counterpart

import (
	"context"
	"sync"
	"testing"

	"postident-bridge/internal/testbed"
)

// Kafka is a cluster of real Apache Kafka brokers, numbered from 1. If a verb
// fails, the test does.
type Kafka struct {
	// Bootstrap holds the brokers' addresses, host:port, comma-separated.
	Bootstrap string

	cluster *testbed.Kafka
}

// StartKafka starts a cluster of the test's own, 1 or 3 brokers, that ends with
// the test. One broker takes about 5 s and 400 MB; tests that disturb no broker
// use SharedKafka.
func StartKafka(tb testing.TB, brokers int) *Kafka {
	tb.Helper()
	k := startKafka(tb, brokers)
	tb.Cleanup(func() {
		if err := k.cluster.Down(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	return k
}

func startKafka(tb testing.TB, brokers int) *Kafka {
	tb.Helper()
	unlessShort(tb, reportKafka)
	cluster, err := testbed.StartKafka(tb.Context(), testbed.KafkaOptions{Brokers: brokers})
	outcome(tb, reportKafka, err)
	return &Kafka{Bootstrap: cluster.Bootstrap, cluster: cluster}
}

var shared struct {
	mu    sync.Mutex
	kafka *Kafka
}

// SharedKafka gives the one broker that all tests of this test binary share. It
// is started by the first that asks and ends with the process. Each test uses
// topics, groups and transactional ids of its own, and stops nothing.
func SharedKafka(tb testing.TB) *Kafka {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.kafka == nil {
		shared.kafka = startKafka(tb, 1)
	} else {
		report(tb, "ran", reportKafka, "")
	}
	return shared.kafka
}

// Seeds is Bootstrap as kgo.SeedBrokers takes it.
func (k *Kafka) Seeds() []string { return k.cluster.Seeds() }

// Pause stops the broker's process where it stands (SIGSTOP): its connections
// stay open and nobody answers. The end of the test needs no Resume.
func (k *Kafka) Pause(tb testing.TB, broker int) {
	tb.Helper()
	do(tb, k.cluster.Pause, broker)
}

// Resume lets a paused broker go on (SIGCONT).
func (k *Kafka) Resume(tb testing.TB, broker int) {
	tb.Helper()
	do(tb, k.cluster.Resume, broker)
}

// Kill ends the broker at once (SIGKILL) and returns when it is gone.
func (k *Kafka) Kill(tb testing.TB, broker int) {
	tb.Helper()
	do(tb, k.cluster.Kill, broker)
}

// Stop ends the broker in good order (SIGTERM) and returns when it is gone.
func (k *Kafka) Stop(tb testing.TB, broker int) {
	tb.Helper()
	do(tb, k.cluster.Stop, broker)
}

// Start starts a broker that was killed or stopped, at the same address and
// with its data, and returns when it serves.
func (k *Kafka) Start(tb testing.TB, broker int) {
	tb.Helper()
	do(tb, k.cluster.Start, broker)
}

func do(tb testing.TB, verb func(context.Context, int) error, broker int) {
	tb.Helper()
	if err := verb(tb.Context(), broker); err != nil {
		tb.Fatal(err)
	}
}
