package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const kafkaScript = "tools/kafka"

// KafkaOptions say what cluster to start.
type KafkaOptions struct {
	// Brokers is 1 or 3. With three, everything is kept three times and two
	// acknowledge a write.
	Brokers int
	// Dir holds the brokers' data, configuration and logs; "" is a temporary
	// directory. It goes with Down, and with the end of this process.
	Dir string
	// Properties are further lines of every broker's server.properties.
	Properties []string
	// Listeners are further listeners of each broker, in their order. Every
	// broker has the same names.
	Listeners [][]Listener
}

// Listener is a further listener of a broker on loopback. Who connects by it
// learns the Advertised ports of all brokers' listeners of that name, and so
// stays behind the proxies that listen there.
type Listener struct {
	Name             string
	Port, Advertised int
	// Protocol is PLAINTEXT if it is "". What another one needs stands in
	// KafkaOptions.Properties.
	Protocol string
}

// Kafka is a cluster of Apache Kafka brokers (KRaft, each a controller too),
// numbered from 1. Auto-creation of topics is off.
type Kafka struct {
	// Bootstrap holds the brokers' addresses, host:port, comma-separated.
	Bootstrap string
	// Dir holds a directory broker-N for each broker, with its log.
	Dir string
}

// StartKafka starts a cluster and returns when it serves. One broker takes about
// 5 s and 400 MB. The error is a LackingError where Java or Maven is missing.
func StartKafka(ctx context.Context, o KafkaOptions) (*Kafka, error) {
	dir, err := dataDir(o.Dir, "kafka")
	if err != nil {
		return nil, err
	}
	env := []string{owner("KAFKA_OWNER")}
	if len(o.Properties) > 0 {
		env = append(env, "KAFKA_PROPERTIES="+strings.Join(o.Properties, "\n"))
	}
	for i, listeners := range o.Listeners {
		var entries []string
		for _, l := range listeners {
			entries = append(entries, fmt.Sprintf("%s=%d/%d/%s", l.Name, l.Port, l.Advertised, l.Protocol))
		}
		env = append(env, fmt.Sprintf("KAFKA_LISTENERS_%d=%s", i+1, strings.Join(entries, " ")))
	}
	k := &Kafka{Dir: dir}
	if k.Bootstrap, err = begin(ctx, kafkaScript, env, "up", dir, strconv.Itoa(o.Brokers)); err != nil {
		return nil, errors.Join(err, k.Down(ctx))
	}
	return k, nil
}

// Down ends all brokers and removes their data.
func (k *Kafka) Down(ctx context.Context) error {
	return errors.Join(signal(ctx, kafkaScript, "down", k.Dir), os.RemoveAll(k.Dir))
}

// Seeds is Bootstrap as kgo.SeedBrokers takes it.
func (k *Kafka) Seeds() []string { return strings.Split(k.Bootstrap, ",") }

// Pause stops the broker's process where it stands (SIGSTOP): its connections
// stay open and nobody answers. Down needs no Resume.
func (k *Kafka) Pause(ctx context.Context, broker int) error { return k.do(ctx, "pause", broker) }

// Resume lets a paused broker go on (SIGCONT).
func (k *Kafka) Resume(ctx context.Context, broker int) error { return k.do(ctx, "resume", broker) }

// Kill ends the broker at once (SIGKILL) and returns when it is gone.
func (k *Kafka) Kill(ctx context.Context, broker int) error { return k.do(ctx, "kill", broker) }

// Stop ends the broker in good order (SIGTERM) and returns when it is gone.
func (k *Kafka) Stop(ctx context.Context, broker int) error { return k.do(ctx, "stop", broker) }

// Start starts a broker that was killed or stopped, at the same address and
// with its data, and returns when it serves.
func (k *Kafka) Start(ctx context.Context, broker int) error { return k.do(ctx, "start", broker) }

func (k *Kafka) do(ctx context.Context, verb string, broker int) error {
	return signal(ctx, kafkaScript, verb, k.Dir, strconv.Itoa(broker))
}
