package counterpart

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const kafkaScript = "tools/kafka"

// Kafka is a cluster of real Apache Kafka brokers (KRaft, each a controller
// too), numbered from 1. With three, everything is kept three times and two
// acknowledge a write; auto-creation of topics is off.
type Kafka struct {
	// Bootstrap holds the brokers' addresses, host:port, comma-separated.
	Bootstrap string

	dir string
}

// StartKafka starts a cluster of the test's own, 1 or 3 brokers, that ends with
// the test. One broker takes about 5 s and 400 MB; tests that disturb no broker
// use SharedKafka.
func StartKafka(tb testing.TB, brokers int) *Kafka {
	tb.Helper()
	k := startKafka(tb, brokers)
	tb.Cleanup(func() {
		signal(tb, kafkaScript, "down", k.dir)
		if err := os.RemoveAll(k.dir); err != nil {
			tb.Error(err)
		}
	})
	return k
}

func startKafka(tb testing.TB, brokers int) *Kafka {
	tb.Helper()
	dir := temporaryDir(tb, "kafka")
	started := false
	defer func() {
		if started { // else the test was skipped or failed, here or in begin
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	}()
	bootstrap := begin(tb, reportKafka, kafkaScript, []string{owner("KAFKA_OWNER")}, "up", dir, strconv.Itoa(brokers))
	started = true
	return &Kafka{Bootstrap: strings.TrimSpace(bootstrap), dir: dir}
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
func (k *Kafka) Seeds() []string { return strings.Split(k.Bootstrap, ",") }

// Pause stops the broker's process where it stands (SIGSTOP): its connections
// stay open and nobody answers. The end of the test needs no Resume.
func (k *Kafka) Pause(tb testing.TB, broker int) { tb.Helper(); k.do(tb, "pause", broker) }

// Resume lets a paused broker go on (SIGCONT).
func (k *Kafka) Resume(tb testing.TB, broker int) { tb.Helper(); k.do(tb, "resume", broker) }

// Kill ends the broker at once (SIGKILL) and returns when it is gone.
func (k *Kafka) Kill(tb testing.TB, broker int) { tb.Helper(); k.do(tb, "kill", broker) }

// Stop ends the broker in good order (SIGTERM) and returns when it is gone.
func (k *Kafka) Stop(tb testing.TB, broker int) { tb.Helper(); k.do(tb, "stop", broker) }

// Start starts a broker that was killed or stopped, at the same address and
// with its data, and returns when it serves.
func (k *Kafka) Start(tb testing.TB, broker int) { tb.Helper(); k.do(tb, "start", broker) }

func (k *Kafka) do(tb testing.TB, verb string, broker int) {
	tb.Helper()
	signal(tb, kafkaScript, verb, k.dir, strconv.Itoa(broker))
}
