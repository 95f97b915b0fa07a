package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/testbed"
)

// Figure measures one or more rows of the table.
type Figure struct {
	// Name selects it: make bench FIGURE=name.
	Name string
	// About says in a line what it measures.
	About string
	// Run measures. What it starts has ended when it returns; its topics are
	// removed for it.
	Run func(ctx context.Context, env *Env) ([]Row, error)
}

// Config is what Run needs.
type Config struct {
	// Names are the figures to measure, in the table's order; empty means all.
	Names []string
	// Quick measures with tiny counts: it proves that the figures run to their
	// end, and no more.
	Quick bool
	// Dir holds the brokers' data and what is built; "" means a temporary
	// directory. It is removed in the end.
	Dir string
	// Log takes the progress.
	Log io.Writer
}

// Run measures the figures one after the other. One that fails does not keep the
// others from being measured: the table holds what there is, and the error says
// what is missing.
func Run(ctx context.Context, cfg Config) (Table, error) {
	t := Table{
		Quick: cfg.Quick, Began: time.Now(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
	}
	figures, err := choose(Figures(), cfg.Names)
	if err != nil {
		return t, err
	}
	r, err := newResources(cfg)
	if err != nil {
		return t, err
	}
	var errs []error
	for _, f := range figures {
		env := &Env{resources: r, figure: f.Name}
		began := time.Now()
		env.Logf("begins: %s", f.About)
		rows, err := f.Run(ctx, env)
		if err = errors.Join(err, env.removeTopics(ctx)); err != nil {
			errs = append(errs, fmt.Errorf("measure %s: %w", f.Name, err))
			env.Logf("failed: %v", err)
		} else {
			env.Logf("done in %v", time.Since(began).Round(time.Second/10))
		}
		t.Rows = append(t.Rows, rows...)
		if ctx.Err() != nil {
			break
		}
	}
	return t, errors.Join(append(errs, r.close(ctx))...)
}

// UnknownFigureError says that there is no figure of that name.
type UnknownFigureError struct{ Name string }

func (e *UnknownFigureError) Error() string {
	var names []string
	for _, f := range Figures() {
		names = append(names, f.Name)
	}
	return fmt.Sprintf("no figure %q; there are %s", e.Name, strings.Join(names, ", "))
}

// choose picks the named figures in the order of all.
func choose(all []Figure, names []string) ([]Figure, error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(f Figure) bool { return f.Name == name }) {
			return nil, &UnknownFigureError{name}
		}
	}
	var chosen []Figure
	for _, f := range all {
		if slices.Contains(names, f.Name) {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

// resources are what the figures of a run share.
type resources struct {
	cfg Config
	dir string
	run string // names what belongs to this run

	kafka    *testbed.Kafka
	brokers  int
	clusters int               // how many were started
	binaries map[string]string // what was built, by package
}

func newResources(cfg Config) (*resources, error) {
	r := &resources{cfg: cfg, run: "bench-" + strings.ToLower(rand.Text()[:8]), binaries: make(map[string]string)}
	if r.cfg.Log == nil {
		r.cfg.Log = io.Discard
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
			return nil, fmt.Errorf("make directory: %w", err)
		}
	}
	var err error
	if r.dir, err = os.MkdirTemp(cfg.Dir, "postident-bridge-bench-"); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	return r, nil
}

func (r *resources) close(ctx context.Context) error {
	return errors.Join(r.stopKafka(ctx), os.RemoveAll(r.dir))
}

func (r *resources) stopKafka(ctx context.Context) error {
	if r.kafka == nil {
		return nil
	}
	k := r.kafka
	r.kafka, r.brokers = nil, 0
	if err := k.Down(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("stop kafka: %w", err)
	}
	return nil
}

// Env is what a figure measures with. It serves one figure, one call at a time.
type Env struct {
	*resources
	figure string
}

// Quick reports whether counts are to be tiny.
func (e *Env) Quick() bool { return e.cfg.Quick }

// Logf tells the progress.
func (e *Env) Logf(format string, args ...any) {
	// A log that cannot be written to is no reason to measure nothing.
	_, _ = fmt.Fprintf(e.cfg.Log, "%s %-12s %s\n", time.Now().Format(time.TimeOnly), e.figure, fmt.Sprintf(format, args...))
}

// Prefix stands before every topic, group and transactional id of this figure.
func (e *Env) Prefix() string { return e.run + "." + e.figure + "." }

// Topic is the name under Prefix.
func (e *Env) Topic(name string) string { return e.Prefix() + name }

// Kafka gives an Apache Kafka of 1 or 3 brokers. Figures after each other share
// it; one that asks for another size ends the one before, because idle brokers
// take part in every measurement.
func (e *Env) Kafka(ctx context.Context, brokers int) (*testbed.Kafka, error) {
	if e.kafka != nil && e.brokers == brokers {
		return e.kafka, nil
	}
	if err := e.stopKafka(ctx); err != nil {
		return nil, err
	}
	e.clusters++
	e.Logf("starts Apache Kafka, brokers: %d", brokers)
	k, err := testbed.StartKafka(ctx, testbed.KafkaOptions{
		Brokers: brokers, Dir: fmt.Sprintf("%s/kafka-%d", e.dir, e.clusters),
	})
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	e.kafka, e.brokers = k, brokers
	return k, nil
}

// removeTopics deletes what the figure left, so that the broker does not go on
// cleaning it up under the next one.
func (e *Env) removeTopics(ctx context.Context) error {
	if e.kafka == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(e.kafka.Seeds()...))
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer admin.Close()
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, e.Prefix()) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	results, err := admin.DeleteTopics(ctx, names...)
	if err = errors.Join(err, results.Error()); err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}
