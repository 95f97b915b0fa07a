// Command lab breaks the bridge on purpose: see package lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"postident-bridge/internal/lab"
)

// The exit codes.
const (
	exitClean  = 0
	exitFailed = 1 // the verdict is not clean, or the run failed
	exitUsage  = 2
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// flags are the flags of the program.
type flags struct {
	faults    int
	seed      uint64
	brokers   int
	processes int
	dir       string
	kinds     []string
	window    int
	free      float64
	race      bool
	keep      bool
	logLevel  string
}

// usageError says that the program was used wrongly.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

var errUnclean = errors.New("the verdict is not clean")

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	var usage *usageError
	entered := false
	root := &cobra.Command{
		Use:   "lab",
		Short: "Break the bridge on purpose, and judge what it published",
		Long: `Runs bridges, Apache Kafka, a schema registry and the simulated API as processes of
this machine, lets drawn faults befall them under load, and compares the topics
with the truth in the end. It needs Go, Java 17 and Maven, and the source tree.

Kinds of faults: ` + kindList() + `.

A run that is not clean keeps its topics and logs. The same seed gives the same
faults, not the same races. Exits 0 if the verdict is clean, 1 if not, 2 if used
wrongly.`,
		Example: `  go run ./cmd/lab --faults 100 --seed 7
  go run ./cmd/lab --faults 20 --seed 7 --brokers 3
  go run ./cmd/lab --faults 10 --kinds stop,silence --keep`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			entered = true
		},
		RunE: func(*cobra.Command, []string) error { return f.run(ctx, stdout) },
	}
	f.declare(root)
	root.AddCommand(recoveryCommand(ctx, &f, stdout))
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitClean
	}
	_, _ = fmt.Fprintf(stderr, "lab: %v\n", err)
	if !entered || errors.As(err, &usage) {
		_, _ = fmt.Fprintln(stderr, "Run 'lab --help' for usage.")
		return exitUsage
	}
	return exitFailed
}

func kindList() string {
	var lines []string
	for some := range slices.Chunk(lab.Kinds(), 8) {
		names := make([]string, len(some))
		for i, k := range some {
			names[i] = string(k)
		}
		lines = append(lines, strings.Join(names, ", "))
	}
	return strings.Join(lines, ",\n")
}

func (f *flags) declare(cmd *cobra.Command) {
	all := cmd.PersistentFlags()
	all.Uint64Var(&f.seed, "seed", 1, "the same seed draws the same faults and cases")
	all.IntVar(&f.brokers, "brokers", 1, "1 or 3 brokers")
	all.IntVar(&f.processes, "processes", 3, "how many bridges")
	all.StringVar(&f.dir, "dir", "", "where to work; cleared first, if the lab made it (default .cache/lab/<seed>-<brokers>, or recovery-<brokers>)")
	all.BoolVar(&f.race, "race", false, "build the bridges with the race detector")
	all.StringVar(&f.logLevel, "log-level", "info", "of the bridges")
	fs := cmd.Flags()
	fs.IntVar(&f.faults, "faults", 20, "how many faults")
	fs.StringSliceVar(&f.kinds, "kinds", nil, "only these kinds of faults")
	fs.IntVar(&f.window, "window", 40, "cases at a time whose every change is waited for")
	fs.Float64Var(&f.free, "free", 1, "cases a second that go on by themselves")
	fs.BoolVar(&f.keep, "keep", false, "keep the logs of a clean run too")
}

// check refuses what cannot be meant.
func (f *flags) check(cfg lab.Config) error {
	switch {
	case f.brokers != 1 && f.brokers != 3:
		return &usageError{fmt.Errorf("--brokers %d: want 1 or 3 brokers", f.brokers)}
	case f.processes < 1:
		return &usageError{fmt.Errorf("--processes %d: want at least one process", f.processes)}
	case f.free < 0 || cfg.Window < 0:
		return &usageError{errors.New("--free, --window: want no negative load")}
	}
	cfg.World = lab.WorldConfig{Seed: f.seed, Brokers: f.brokers, Processes: f.processes}
	if _, err := cfg.Plan(); err != nil {
		return &usageError{err}
	}
	return nil
}

// world makes the directory anew, and says what world to build in it.
func (f *flags) world(name string) (lab.WorldConfig, error) {
	dir := f.dir
	if dir == "" {
		dir = filepath.Join(".cache", "lab", name)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return lab.WorldConfig{}, fmt.Errorf("find directory: %w", err)
	}
	if err := clearDir(dir); err != nil {
		return lab.WorldConfig{}, err
	}
	return lab.WorldConfig{
		Dir: dir, Seed: f.seed, Brokers: f.brokers, Processes: f.processes, Race: f.race, LogLevel: f.logLevel,
	}, nil
}

// mark is the file that says of a directory that the lab made it.
const mark = "made-by-the-lab"

// clearDir makes the directory anew, if it is the lab's own. What a run has left
// there that was not clean moves aside, to be looked at.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, mark)); err != nil && len(entries) > 0 {
		return &usageError{fmt.Errorf("--dir %s: is not empty, and not the lab's own: it would be cleared", dir)}
	}
	if _, err := os.Stat(filepath.Join(dir, "evidence", "evidence.json")); err == nil {
		if err := errors.Join(os.RemoveAll(dir+".before"), os.Rename(dir, dir+".before")); err != nil {
			return fmt.Errorf("move evidence aside: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, mark), nil, 0o600); err != nil {
		return fmt.Errorf("mark directory: %w", err)
	}
	return nil
}

var errBars = errors.New("the bars are not met")

func recoveryCommand(ctx context.Context, f *flags, stdout io.Writer) *cobra.Command {
	var kills, stops, window int
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Measure how long it takes until another bridge has taken over",
		Long: `Takes bridges away one at a time under a steady load, first by kill -9, then in
good order, and measures from that moment until events of every partition that
the bridge had owned are on the topic again, read-committed, written by another.
Bars: p99 of at most 12 s, of which 10 are the session time-out; graceful 1 s.`,
		Example: `  go run ./cmd/lab recovery --kills 30`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if stops == 0 {
				stops = kills
			}
			if kills < 1 || stops < 1 {
				return &usageError{errors.New("--kills, --stops: want at least 1")}
			}
			if err := f.check(lab.Config{}); err != nil {
				return err
			}
			world, err := f.world("recovery-" + strconv.Itoa(f.brokers))
			if err != nil {
				return err
			}
			result, err := lab.MeasureRecovery(ctx, lab.RecoveryConfig{World: world, Kills: kills, Stops: stops, Window: window, Out: stdout})
			result.Print(stdout)
			if err == nil && !result.Met() {
				err = errBars
			}
			return err
		},
	}
	cmd.Flags().IntVar(&kills, "kills", 30, "how many kills")
	cmd.Flags().IntVar(&stops, "stops", 0, "how many graceful stops (default: as many)")
	cmd.Flags().IntVar(&window, "window", 48, "cases at a time; more than the cores carry measures the cores")
	return cmd
}

func (f *flags) run(ctx context.Context, stdout io.Writer) error {
	cfg := lab.Config{Faults: f.faults, Window: f.window, Free: f.free, Keep: f.keep, Out: stdout}
	for _, k := range f.kinds {
		cfg.Kinds = append(cfg.Kinds, lab.Kind(k))
	}
	if err := f.check(cfg); err != nil {
		return err
	}
	var err error
	cfg.World, err = f.world(strconv.FormatUint(f.seed, 10) + "-" + strconv.Itoa(f.brokers))
	if err != nil {
		return err
	}
	summary, err := lab.Run(ctx, cfg)
	summary.Print(stdout)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted; logs are in %s", cfg.World.Dir)
	}
	if err == nil && !summary.Clean() {
		err = errUnclean
	}
	if err != nil {
		return fmt.Errorf("seed %d, %d brokers: %w; topics and logs are in %s", f.seed, f.brokers, err, filepath.Join(cfg.World.Dir, "evidence"))
	}
	return nil
}
