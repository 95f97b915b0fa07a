package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/right"
)

// topicsTimeout bounds a topics command: an operator waits for it.
const topicsTimeout = 30 * time.Second

func (m *Main) topicsCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "topics",
		Short: "Create the topics, or compare them with what they should be",
		Long: `Creates the topics that the bridge needs, or compares those that are there.

inbox and case-state have the same number of partitions, fixed when they are
first created: a case's key decides its partition, so a count is never changed.

result.v1 is there for accounts with PAYLOAD=result, or where --result-retention
is given. It holds personal data: there is no default for how long.`,
		Example: "  bridge topics apply --replication 1\n  bridge topics check",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	group.AddCommand(
		m.topicsVerb(&cobra.Command{
			Use:   "apply",
			Short: "Create the topics that are missing",
			Long: `Creates the topics that are missing and leaves those that exist as they are, then
compares all of them as 'bridge topics check' does. Running it again is harmless.`,
			Example: `  BRIDGE_KAFKA_BROKERS=kafka:9092 bridge topics apply
  bridge topics apply --partitions 24 --status-retention 87600h
  bridge topics apply --result-retention 720h    results, kept for 30 days
  bridge topics apply --replication 1            a single broker`,
		}, applyTopics),
		m.topicsVerb(&cobra.Command{
			Use:   "check",
			Short: "Compare the topics with what they should be",
			Long: `Compares partitions, replication, clean-up policy, retention and the other
settings that the bridge's promises rest on. Changes nothing. Exits 1 and names
every difference if there is one. Give the flags that 'apply' was given.

Warns of what it does not judge by the flags and the promises rest on all the
same, such as two replicas, or brokers that refuse the bridge's transactions:
docs/guarantees.md.`,
			Example: "  bridge topics check\n  bridge topics check --partitions 24 --json",
		}, checkTopics),
	)
	return group
}

// topicsVerb completes the command of a verb: same flags, settings and output.
func (m *Main) topicsVerb(cmd *cobra.Command, verb func(context.Context, *kadm.Client, []topicSpec, topicNames) ([]topicResult, error)) *cobra.Command {
	var (
		plan   topicPlan
		asJSON bool
	)
	cmd.Args = cobra.NoArgs
	cmd.Flags().Int32Var(&plan.Partitions, "partitions", 12, "partitions of inbox, case-state and dead-letter")
	cmd.Flags().Int32Var(&plan.StatusPartitions, "status-partitions", 0, "partitions of status.v1 and result.v1 (default: as --partitions)")
	cmd.Flags().Int16Var(&plan.Replication, "replication", 3, "replicas of every partition")
	cmd.Flags().DurationVar(&plan.StatusRetention, "status-retention", 0, "how long status.v1 keeps events (default: for ever)")
	cmd.Flags().DurationVar(&plan.ResultRetention, "result-retention", 0, "how long result.v1 keeps results, which are personal data (no default)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if wrong := plan.mistake(); wrong != "" {
			return &usageError{wrong}
		}
		s, warnings, err := loadSettings(m.Environ, needKafka)
		m.warn(warnings)
		if err != nil {
			return err
		}
		opts, err := kafkaOptions(cmd.Context(), &s, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), topicsTimeout)
		defer cancel()
		names := namesOfTopics(s.Topics.Prefix)
		plan.ResultAccounts = s.resultAccounts()
		var seen clusterSeen
		results, err := withAdmin(opts, func(admin *kadm.Client) ([]topicResult, error) {
			results, err := verb(ctx, admin, plan.specs(names), names)
			if err == nil {
				seen, err = seeCluster(ctx, admin, names)
			}
			return results, err
		})
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(m.Stdout, results)
		} else {
			err = printTopics(m.Stdout, results)
		}
		m.warnOfCluster(seen, names, results)
		if err == nil && countDifferences(results) > 0 {
			err = &reportedError{"topics differ"}
		}
		return err
	}
	return cmd
}

// warnOfCluster says which assumptions the cluster breaks that no difference of
// the topics says already.
func (m *Main) warnOfCluster(seen clusterSeen, names topicNames, results []topicResult) {
	said := make(map[string]bool)
	for _, r := range results {
		for _, d := range r.Differences {
			said[r.Topic+" "+d.What] = true
		}
	}
	rest, single := summarised(seen, brokenAssumptions(seen, names))
	if single {
		m.complain("warning: " + singleBroker)
	}
	for _, a := range rest {
		if !said[a.Subject+" "+a.Setting] {
			m.complain("warning: " + a.String())
		}
	}
}

// withAdmin lends do a client for administration.
func withAdmin[T any](opts []kgo.Opt, do func(*kadm.Client) (T, error)) (T, error) {
	// The client answers a second look at the topics from memory for as long as
	// MetadataMinAge (5 s): apply would wait that long for what it created.
	admin, err := kadm.NewOptClient(append(slices.Clone(opts), kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("make kafka client: %w", err)
	}
	defer admin.Close()
	return do(admin)
}

// checkTopics compares without changing anything.
func checkTopics(ctx context.Context, admin *kadm.Client, specs []topicSpec, names topicNames) ([]topicResult, error) {
	seen, err := seeTopics(ctx, admin, specs)
	if err != nil {
		return nil, err
	}
	return compareTopics(specs, names, seen), nil
}

// applyTopics creates what is missing and compares.
func applyTopics(ctx context.Context, admin *kadm.Client, specs []topicSpec, names topicNames) ([]topicResult, error) {
	seen, err := seeTopics(ctx, admin, specs)
	if err != nil {
		return nil, err
	}
	create := missing(specs, names, seen)
	for _, s := range create {
		if s.Ask != "" {
			return nil, &usageError{s.Ask} // before anything is created
		}
	}
	created := make(map[string]bool)
	for _, s := range create {
		if err := createTopic(ctx, admin, s); err != nil {
			return nil, err
		}
		created[s.Name] = true
	}
	// Creating is answered before every broker's metadata shows the topic.
	for len(seen) < len(specs) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for created topics: %w", ctx.Err())
		}
		if seen, err = seeTopics(ctx, admin, specs); err != nil {
			return nil, err
		}
	}
	results := compareTopics(specs, names, seen)
	for i := range results {
		results[i].Created = created[results[i].Topic]
	}
	return results, nil
}

func createTopic(ctx context.Context, admin *kadm.Client, s topicSpec) error {
	configs := make(map[string]*string, len(s.Configs))
	for _, c := range s.Configs {
		configs[c.Key] = &c.Value
	}
	_, err := admin.CreateTopic(ctx, s.Partitions, s.Replication, configs, s.Name)
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists): // another apply was faster
		return nil
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("create topic %s: the cluster has too few brokers for --replication %d: %w", s.Name, s.Replication, err)
	default:
		return fmt.Errorf("create topic %s: %w", s.Name, right.Missing(err, right.OnTopic(right.Create, s.Name)))
	}
}

// seeTopics reads how the topics of the specs are; one that does not exist is
// not in the answer.
func seeTopics(ctx context.Context, admin *kadm.Client, specs []topicSpec) (map[string]topicSeen, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := describeTopics(ctx, admin, names...)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]topicSeen)
	for _, d := range details {
		if errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if d.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", d.Topic, d.Err)
		}
		configs, err := describeConfigs(ctx, admin, d.Topic)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue // another broker answered, and does not know it yet or any more
		}
		if err != nil {
			return nil, err
		}
		seen[d.Topic] = topicSeenOf(d, configs)
	}
	return seen, nil
}

func countDifferences(results []topicResult) int {
	n := 0
	for _, r := range results {
		n += len(r.Differences)
	}
	return n
}

func printTopics(w io.Writer, results []topicResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "TOPIC\tPARTITIONS\tREPLICATION\tRESULT")
	partitions := false
	for _, r := range results {
		verdict := "ok"
		switch {
		case !r.Exists:
			verdict = "missing"
		case len(r.Differences) > 0:
			verdict = "differs"
		case r.Created:
			verdict = "created"
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", r.Topic, r.Partitions, r.Replication, verdict)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print topics: %w", err)
	}
	for _, r := range results {
		for _, d := range r.Differences {
			partitions = partitions || d.What == "partitions"
			if _, err := fmt.Fprintf(w, "%s: %s\n", r.Topic, d); err != nil {
				return fmt.Errorf("print topics: %w", err)
			}
		}
	}
	if partitions {
		_, err := fmt.Fprintln(w, "A partition count is never changed: keys would move to other partitions. Give the\ncount of the topics with --partitions, or create them anew.")
		if err != nil {
			return fmt.Errorf("print topics: %w", err)
		}
	}
	return nil
}
