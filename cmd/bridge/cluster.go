package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"postident-bridge/internal/right"
)

const (
	// clusterInterval is how often a process looks at the cluster's settings:
	// operators change them while it runs.
	clusterInterval = time.Hour
	// clusterRetry is the pause after a look that failed.
	clusterRetry = 30 * time.Second
	// clusterTimeout bounds a look.
	clusterTimeout = 20 * time.Second
)

const singleBroker = "the cluster has one broker: what it loses is lost, and no promise holds against that. For development only"

// clusterWatch looks at the cluster's settings and tells of those that break
// what the promises rest on, and of rights on topics that the user lacks. It never
// stops the bridge.
type clusterWatch struct {
	opts   []kgo.Opt
	names  topicNames
	needed []acl // rights of the process's roles
	logger *slog.Logger

	broken atomic.Pointer[map[string]int64] // by promise; nil before the first look
	told   map[string]bool                  // lines that are in the log; owned by Run
	denied bool                             // said; owned by Run
}

// newClusterWatch registers the metric.
func newClusterWatch(opts []kgo.Opt, names topicNames, needed []acl, meter metric.Meter, logger *slog.Logger) (*clusterWatch, error) {
	w := &clusterWatch{opts: opts, names: names, needed: needed, logger: logger, told: make(map[string]bool)}
	gauge, err := meter.Int64ObservableGauge("postident.cluster.assumptions.broken",
		metric.WithDescription("Settings of the cluster that break what a promise rests on."))
	if err != nil {
		return nil, fmt.Errorf("make metric postident.cluster.assumptions.broken: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if counts := w.broken.Load(); counts != nil {
			for promise, n := range *counts {
				o.ObserveInt64(gauge, n, metric.WithAttributes(attribute.String("promise", promise)))
			}
		}
		return nil
	}, gauge)
	if err != nil {
		return nil, fmt.Errorf("observe metric postident.cluster.assumptions.broken: %w", err)
	}
	return w, nil
}

// Run looks again and again until ctx ends.
func (w *clusterWatch) Run(ctx context.Context) error {
	for {
		next := clusterInterval
		if err := w.look(ctx); err != nil {
			next = clusterRetry // readiness tells that Kafka is away; here it is no news
		}
		if !pause(ctx, next) {
			return ctx.Err()
		}
	}
}

// look reads the settings once and logs what is new.
func (w *clusterWatch) look(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	var lacking []right.Right
	seen, err := withAdmin(w.opts, func(admin *kadm.Client) (seen clusterSeen, err error) {
		if lacking, err = lackingRights(bounded, admin, w.needed); err != nil {
			return seen, err
		}
		return seeCluster(bounded, admin, w.names)
	})
	if err != nil {
		return err
	}
	if seen.Denied && !w.denied {
		w.denied = true
		w.logger.InfoContext(ctx, "cluster settings cannot all be read",
			slog.String("permission", "DescribeConfigs on the topics and on the cluster"))
	}
	broken := brokenAssumptions(seen, w.names)
	w.count(broken)
	w.tell(ctx, seen, broken, lacking)
	return nil
}

// count sets the metric. Every promise has a series, so that 0 is seen too.
func (w *clusterWatch) count(broken []assumption) {
	counts := map[string]int64{"P1": 0, "P2": 0, "P5": 0, "P8": 0, "P9": 0}
	for _, a := range broken {
		for promise := range strings.SplitSeq(a.Promise, ", ") {
			counts[promise]++
		}
	}
	w.broken.Store(&counts)
}

// tell logs each broken assumption and lacking right once, and again when it was kept,
// or there, in between.
func (w *clusterWatch) tell(ctx context.Context, seen clusterSeen, broken []assumption, lacking []right.Right) {
	now := make(map[string]bool)
	for _, r := range lacking {
		line := r.String()
		now[line] = true
		if !w.told[line] {
			w.logger.WarnContext(ctx, "right in Kafka is missing", slog.String("right", line))
		}
	}
	rest, single := summarised(seen, broken)
	if single {
		now[singleBroker] = true
		if !w.told[singleBroker] {
			w.logger.WarnContext(ctx, "cluster is for development only", slog.String("why", singleBroker))
		}
	}
	for _, a := range rest {
		line := a.String()
		now[line] = true
		if w.told[line] {
			continue
		}
		w.logger.WarnContext(ctx, "cluster breaks an assumption",
			slog.String("promise", a.Promise), slog.String("subject", a.Subject), slog.String("setting", a.Setting),
			slog.String("is", a.Is), slog.String("should_be", a.Should), slog.String("why", a.Why), slog.String("remedy", a.Remedy))
	}
	w.told = now
}

// seeCluster reads what the assumptions are about. What may not be described is
// left out.
func seeCluster(ctx context.Context, admin *kadm.Client, names topicNames) (clusterSeen, error) {
	seen := clusterSeen{Brokers: make(map[int32]map[string]string), Topics: make(map[string]topicSeen)}
	details, err := describeTopics(ctx, admin, names.Inbox, names.CaseState, names.PollCursor, names.Status, names.Result, names.DeadLetter, transactionLog)
	if err != nil {
		return seen, err
	}
	for _, d := range details {
		switch {
		case denied(d.Err):
			// Whoever publishes no results needs no right to see their topic.
			seen.Denied = seen.Denied || d.Topic != transactionLog && d.Topic != names.Result
			continue
		case d.Err != nil:
			continue
		}
		configs, err := describeConfigs(ctx, admin, d.Topic)
		switch {
		case denied(err):
			seen.Denied, err = true, nil
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue // another broker answered, and does not know it yet
		}
		if err != nil {
			return seen, err
		}
		seen.Topics[d.Topic] = topicSeenOf(d, configs)
	}
	return seen, seeBrokers(ctx, admin, &seen)
}

// describeTopics asks for each topic by itself: kadm tells of none where one may not
// be seen. What is wrong with one stands in its Err.
func describeTopics(ctx context.Context, admin *kadm.Client, names ...string) ([]kadm.TopicDetail, error) {
	out := make([]kadm.TopicDetail, len(names))
	for i, name := range names {
		details, err := admin.ListTopicsWithInternal(ctx, name)
		switch {
		case denied(err):
			out[i] = kadm.TopicDetail{Topic: name, Err: right.Missing(err, right.OnTopic(right.Describe, name))}
		case err != nil:
			return nil, fmt.Errorf("describe topic %s: %w", name, err)
		default:
			out[i] = details[name]
		}
	}
	return out, nil
}

// describeConfigs reads the configuration of a topic.
func describeConfigs(ctx context.Context, admin *kadm.Client, topic string) (map[string]string, error) {
	answer, err := admin.DescribeTopicConfigs(ctx, topic)
	values := make(map[string]string)
	for _, rc := range answer {
		err = errors.Join(err, rc.Err)
		for _, c := range rc.Configs {
			if c.Value != nil {
				values[c.Key] = *c.Value
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("describe configuration of topic %s: %w", topic, right.Missing(err, right.OnTopic(right.DescribeConfigs, topic)))
	}
	return values, nil
}

func topicSeenOf(d kadm.TopicDetail, configs map[string]string) topicSeen {
	return topicSeen{
		Partitions:  int32(len(d.Partitions)),          //nolint:gosec // Kafka counts partitions in 32 bits
		Replication: int16(d.Partitions.NumReplicas()), //nolint:gosec // Kafka counts replicas in 16 bits
		Configs:     configs,
	}
}

func seeBrokers(ctx context.Context, admin *kadm.Client, seen *clusterSeen) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	for _, id := range brokers.NodeIDs() {
		seen.Brokers[id] = make(map[string]string)
		configs, err := admin.DescribeBrokerConfigs(ctx, id)
		if err != nil && !denied(err) {
			return fmt.Errorf("describe configuration of broker %d: %w", id, err)
		}
		for _, rc := range configs {
			seen.Denied = seen.Denied || denied(rc.Err)
			for _, c := range rc.Configs {
				if c.Value != nil {
					seen.Brokers[id][c.Key] = *c.Value
				}
			}
		}
		seen.Denied = seen.Denied || denied(err)
	}
	return nil
}

// denied reports whether an answer means that the user may not know.
func denied(err error) bool {
	_, auth := errors.AsType[*kadm.AuthError](err)
	return auth || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}
