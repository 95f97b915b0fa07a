// Command bench measures the bridge against the bare limit of the machine it
// runs on, and prints one table. It runs inside the module's tree, starts Apache
// Kafka for itself, and builds the bridge that it measures.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"postident-bridge/internal/bench"
)

// The exit codes. A bar that is missed is a finding, not a failure.
const (
	exitDone   = 0
	exitFailed = 1 // a figure could not be measured
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not end in order
	entered := false
	cmd := command(stdout, stderr)
	cmd.SetArgs(args)
	cmd.PersistentPreRun = func(*cobra.Command, []string) { entered = true }
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintf(stderr, "bench: %v\n", err) // a stderr that cannot be written to leaves nobody to tell
	if _, unknown := errors.AsType[*bench.UnknownFigureError](err); unknown || !entered {
		return exitUsage
	}
	return exitFailed
}

func command(stdout, stderr io.Writer) *cobra.Command {
	var (
		cfg  = bench.Config{Log: stderr}
		json string
		list bool
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the bridge against the bare limit of this machine",
		Long: `Measures the bridge and, in the same run, what the same broker and the same cores
do without it; prints one table: what was measured, the limit, the ratio, the bar,
and whether it is met. Progress goes to standard error.

It starts Apache Kafka itself (java 17 and mvn are needed) and builds the bridge.
Run it on a machine that does nothing else: the figures share the cores with the
brokers. docs/benchmarks.md says what each figure means.

Exit codes: 0 measured, also where a bar is missed; 1 a figure could not be
measured; 2 used wrongly.`,
		Example: `  make bench
  make bench FIGURE=webhook BENCH_JSON=webhook.json
  go run ./cmd/bench --list
  go run ./cmd/bench --figure webhook,idle --quick`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				return listFigures(stdout)
			}
			return measure(cmd.Context(), cfg, stdout, json)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.CompletionOptions.DisableDefaultCmd = true
	flags := cmd.Flags()
	flags.StringSliceVar(&cfg.Names, "figure", nil, "measure only these (default: all)")
	flags.BoolVar(&cfg.Quick, "quick", false, "tiny counts: proves that the figures run, their values mean nothing")
	flags.StringVar(&cfg.Dir, "dir", "", "where brokers keep their data meanwhile (default: the system's temporary directory)")
	flags.StringVar(&json, "json", "", "write the table to this file too, as JSON")
	flags.BoolVar(&list, "list", false, "list the figures and measure nothing")
	return cmd
}

// measure prints what could be measured, also when something could not.
func measure(ctx context.Context, cfg bench.Config, stdout io.Writer, file string) error {
	var out *os.File
	if file != "" {
		var err error
		// Made first: a path that is wrong shows before an hour of measuring. What
		// stood there is replaced by a whole table only.
		if out, err = os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*"); err != nil {
			return fmt.Errorf("create json file: %w", err)
		}
		defer func() { _ = os.Remove(out.Name()) }() // unless it was renamed
	}
	table, err := bench.Run(ctx, cfg)
	if len(table.Rows) == 0 {
		return err
	}
	err = errors.Join(err, table.WriteText(stdout))
	if out != nil {
		err = errors.Join(err, table.WriteJSON(out), out.Close(), os.Rename(out.Name(), file))
	}
	return err
}

func listFigures(stdout io.Writer) error {
	var b strings.Builder
	for _, f := range bench.Figures() {
		fmt.Fprintf(&b, "%-12s %s\n", f.Name, f.About)
	}
	if _, err := io.WriteString(stdout, b.String()); err != nil {
		return fmt.Errorf("print figures: %w", err)
	}
	return nil
}
