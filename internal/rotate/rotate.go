// Package rotate keeps settings that stand in files current while a process runs.
// Whoever deploys the bridge swaps passwords and certificates under it: Kubernetes
// exchanges a mounted secret by one rename of a symbolic link.
package rotate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// Every is how often files are looked at where Config leaves it zero. Kubernetes
// itself takes up to a minute and more to bring a changed secret into a container.
const Every = 10 * time.Second

// settles is how much sooner the second look at a change comes: what is seen twice
// is no file that is being written, and no pair of which one half was swapped.
const settles = 10

// Setting is one variable whose value may stand in a file.
type Setting struct {
	Variable string // its name, which logs and metrics show
	Path     string // the file; "" where the value stands in the environment and cannot change
	Value    string // as it was read at start
}

// Config is what New needs.
type Config struct {
	Every  time.Duration // between two looks; 0 means Every
	Logger *slog.Logger  // nil means silence
	Meter  metric.Meter  // nil means none
}

// Watch reads files again and hands over what changed. It compares contents, for
// files are few and small, and no time stamp tells of every swap. A nil Watch is
// one that watches nothing.
type Watch struct {
	every   time.Duration
	logger  *slog.Logger
	reloads metric.Int64Counter
	groups  []*group
}

// New makes a watch of no files.
func New(cfg Config) (*Watch, error) {
	w := &Watch{every: cfg.Every, logger: cfg.Logger}
	if w.every == 0 {
		w.every = Every
	}
	if w.logger == nil {
		w.logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Meter == nil {
		cfg.Meter = noop.Meter{}
	}
	var err error
	w.reloads, err = cfg.Meter.Int64Counter("postident.settings.reloads",
		metric.WithDescription("Changes of files that hold settings, by what became of them."))
	if err != nil {
		return nil, fmt.Errorf("make metrics of settings: %w", err)
	}
	return w, nil
}

// Add looks after settings that only make sense together. take is called from Run
// with the values of all, in the order of the settings, after one has changed; an
// error says that they cannot be used, and must show none of them: the values
// before stay. Values of the environment never change. All is added before Run.
func (w *Watch) Add(take func(values []string) error, settings ...Setting) {
	if w == nil || !slices.ContainsFunc(settings, func(s Setting) bool { return s.Path != "" }) {
		return
	}
	g := &group{settings: settings, take: take}
	for _, s := range settings {
		g.current = append(g.current, s.Value)
	}
	w.groups = append(w.groups, g)
}

// Text looks after one setting. check says what is wrong with a text, as the take
// of Add does; nil means that any will do.
func (w *Watch) Text(s Setting, check func(string) error) *Text {
	t := new(Text)
	t.value.Store(&s.Value)
	w.Add(func(values []string) error {
		if check != nil {
			if err := check(values[0]); err != nil {
				return err
			}
		}
		t.value.Store(&values[0])
		return nil
	}, s)
	return t
}

// Text is a text that may change while it is used. Safe for concurrent use.
type Text struct{ value atomic.Pointer[string] }

// Get returns the text as it is now.
func (t *Text) Get() string { return *t.value.Load() }

// Pair looks after a user name and the password that belongs to it, or whatever else
// is of use only together: never is one half of two pairs given. check says what is
// wrong with a pair, as the take of Add does; nil means that any will do.
func (w *Watch) Pair(first, second Setting, check func(first, second string) error) *Pair {
	p := new(Pair)
	p.value.Store(&[2]string{first.Value, second.Value})
	w.Add(func(values []string) error {
		if check != nil {
			if err := check(values[0], values[1]); err != nil {
				return err
			}
		}
		p.value.Store(&[2]string{values[0], values[1]})
		return nil
	}, first, second)
	return p
}

// Pair is two texts that change together while they are used. Safe for concurrent
// use.
type Pair struct{ value atomic.Pointer[[2]string] }

// Get returns both as they are now.
func (p *Pair) Get() (first, second string) {
	v := p.value.Load()
	return v[0], v[1]
}

// Idle says that there is nothing to look after, so that Run is not needed.
func (w *Watch) Idle() bool { return w == nil || len(w.groups) == 0 }

// Run looks at the files until ctx ends, and returns its error.
func (w *Watch) Run(ctx context.Context) error {
	w.countNone(ctx)
	pause := w.every
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = w.every
		if !w.look(ctx) {
			pause = w.every / settles
		}
	}
}

// look reads every file once. It reports whether nothing waits for a second look.
func (w *Watch) look(ctx context.Context) (settled bool) {
	settled = true
	for _, g := range w.groups {
		step := g.next(g.read())
		if step == stepAgain {
			settled = false
		}
		if step == stepTell {
			w.settle(ctx, g)
		}
	}
	return settled
}

// What becomes of a change, as the metric's label.
const (
	taken      = "taken"
	refused    = "refused"    // it was read, and cannot be used
	unreadable = "unreadable" // the file cannot be read, or is empty
)

var outcomes = []string{taken, refused, unreadable}

// settle hands over what a group has seen twice, and tells what became of it.
func (w *Watch) settle(ctx context.Context, g *group) {
	if g.seen.failed != "" {
		w.keep(ctx, g.seen.failed, unreadable, g.seen.problem)
		return
	}
	changed := g.changed()
	if err := g.take(slices.Clone(g.seen.values)); err != nil {
		for _, variable := range changed {
			w.keep(ctx, variable, refused, err.Error())
		}
		return
	}
	g.current = g.seen.values
	for _, variable := range changed {
		w.count(ctx, variable, taken, 1)
		w.logger.InfoContext(ctx, "changed setting is used", slog.String("variable", variable))
	}
}

// keep tells that a change is not used.
func (w *Watch) keep(ctx context.Context, variable, outcome, problem string) {
	w.count(ctx, variable, outcome, 1)
	w.logger.WarnContext(ctx, "changed setting cannot be used, the one before stays",
		slog.String("variable", variable), slog.String("error", problem))
}

func (w *Watch) count(ctx context.Context, variable, outcome string, n int64) {
	w.reloads.Add(ctx, n, metric.WithAttributes(attribute.String("variable", variable), attribute.String("result", outcome)))
}

// countNone has every count there from the start, so that the first change shows as
// an increase.
func (w *Watch) countNone(ctx context.Context) {
	for _, g := range w.groups {
		for _, s := range g.settings {
			for _, o := range outcomes {
				if s.Path != "" {
					w.count(ctx, s.Variable, o, 0)
				}
			}
		}
	}
}

// group are settings that make sense only together.
type group struct {
	settings []Setting
	take     func(values []string) error
	current  []string // what is used
	seen     reading  // by the last look, where it is not what is used
	told     bool     // what became of it was told
}

// reading is what one look at the files of a group found.
type reading struct {
	values  []string
	failed  string // the variable whose file cannot be read, "" for none
	problem string // why
}

func (r reading) equal(other reading) bool {
	return r.failed == other.failed && r.problem == other.problem && slices.Equal(r.values, other.values)
}

// What a look asks for.
type step int

const (
	stepNone  step = iota
	stepAgain      // a change was seen for the first time
	stepTell       // it was seen twice, and nothing has become of it yet
)

// next goes on with what a look found.
func (g *group) next(found reading) step {
	switch {
	case found.failed == "" && slices.Equal(found.values, g.current):
		g.seen, g.told = reading{}, false
		return stepNone
	case !found.equal(g.seen):
		g.seen, g.told = found, false
		return stepAgain
	case g.told:
		return stepNone
	}
	g.told = true
	return stepTell
}

func (g *group) read() reading {
	r := reading{values: make([]string, len(g.settings))}
	for i, s := range g.settings {
		r.values[i] = s.Value
		if s.Path == "" {
			continue
		}
		value, err := ReadFile(s.Path)
		if err != nil {
			return reading{failed: s.Variable, problem: err.Error()}
		}
		r.values[i] = value
	}
	return r
}

// changed are the variables whose values are not those in use.
func (g *group) changed() []string {
	var names []string
	for i, s := range g.settings {
		if g.seen.values[i] != g.current[i] {
			names = append(names, s.Variable)
		}
	}
	return names
}

var errEmpty = errors.New("is empty")

// ReadFile reads a value from a file, without the line break at its end that
// editors and `kubectl create secret --from-file` leave. An empty file is an error.
// Errors name the file and show nothing of it.
func ReadFile(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(content), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s %w", path, errEmpty)
	}
	return value, nil
}
