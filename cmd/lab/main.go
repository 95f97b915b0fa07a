// Command lab breaks the bridge on purpose: see package lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

var errUnclean = errors.New("the verdict is not clean")

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
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
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitClean
	}
	_, _ = fmt.Fprintf(stderr, "lab: %v\n", err)
	if !entered {
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
	fs := cmd.Flags()
	fs.IntVar(&f.faults, "faults", 20, "how many faults")
	fs.Uint64Var(&f.seed, "seed", 1, "the same seed draws the same faults")
	fs.IntVar(&f.brokers, "brokers", 1, "1 or 3 brokers")
	fs.IntVar(&f.processes, "processes", 3, "how many bridges")
	fs.StringVar(&f.dir, "dir", "", "where to work (default .cache/lab/<seed>-<brokers>)")
	fs.StringSliceVar(&f.kinds, "kinds", nil, "only these kinds of faults")
	fs.IntVar(&f.window, "window", 40, "cases at a time whose every change is waited for")
	fs.Float64Var(&f.free, "free", 1, "cases a second that go on by themselves")
	fs.BoolVar(&f.race, "race", false, "build the bridges with the race detector")
	fs.BoolVar(&f.keep, "keep", false, "keep the logs of a clean run too")
	fs.StringVar(&f.logLevel, "log-level", "info", "of the bridges")
}

func (f *flags) run(ctx context.Context, stdout io.Writer) error {
	dir := f.dir
	if dir == "" {
		dir = filepath.Join(".cache", "lab", strconv.FormatUint(f.seed, 10)+"-"+strconv.Itoa(f.brokers))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find directory: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear directory: %w", err)
	}
	cfg := lab.Config{
		World: lab.WorldConfig{
			Dir: dir, Seed: f.seed, Brokers: f.brokers, Processes: f.processes, Race: f.race, LogLevel: f.logLevel,
		},
		Faults: f.faults, Window: f.window, Free: f.free, Keep: f.keep, Out: stdout,
	}
	for _, k := range f.kinds {
		cfg.Kinds = append(cfg.Kinds, lab.Kind(k))
	}
	summary, err := lab.Run(ctx, cfg)
	summary.Print(stdout)
	if err == nil && !summary.Clean() {
		err = errUnclean
	}
	if err != nil {
		return fmt.Errorf("seed %d, %d brokers: %w; topics and logs are in %s", f.seed, f.brokers, err, dir)
	}
	return nil
}
