package bench

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"postident-bridge/internal/testbed"
)

// Bridge gives the path of the bridge's binary, built from the module as it is.
func (e *Env) Bridge(ctx context.Context) (string, error) { return e.build(ctx, "cmd/bridge") }

// ApplyTopics creates the bridge's topics under Prefix as an operator does, with
// `bridge topics apply`: as many replicas as the cluster has brokers. Flags are more
// of its flags.
func (e *Env) ApplyTopics(ctx context.Context, kafka *testbed.Kafka, partitions int, flags ...string) error {
	binary, err := e.Bridge(ctx)
	if err != nil {
		return err
	}
	apply := exec.CommandContext(ctx, binary, append([]string{
		"topics", "apply",
		"--partitions", strconv.Itoa(partitions), "--replication", strconv.Itoa(len(kafka.Seeds())),
	}, flags...)...)
	apply.Env = e.kafkaVariables(kafka)
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("apply topics: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// kafkaVariables are what every command of the bridge takes from the
// environment.
func (e *Env) kafkaVariables(kafka *testbed.Kafka) []string {
	return []string{"BRIDGE_KAFKA_BROKERS=" + kafka.Bootstrap, "BRIDGE_TOPIC_PREFIX=" + e.Prefix()}
}
