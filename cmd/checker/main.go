// Command checker judges what a bridge left on its topics by the truth: see
// package audit. It shares no code with the bridge but the schemas.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"postident-bridge/internal/audit"
)

// The exit codes.
const (
	exitClean = 0
	exitFound = 1 // violations, or no verdict
	exitUsage = 2
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// usageError says that the program was used wrongly.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// errFound ends a run whose findings are printed already.
var errFound = errors.New("violations found")

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	entered := false
	root := judgeCommand(ctx, stdout)
	root.AddCommand(dumpCommand(ctx, stdout))
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRun = func(*cobra.Command, []string) { entered = true }
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	_, usage := errors.AsType[*usageError](err)
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, errFound):
		return exitFound
	}
	_, _ = fmt.Fprintf(stderr, "checker: %v\n", err)
	if !entered || usage {
		_, _ = fmt.Fprintln(stderr, "Run 'checker --help' for usage.")
		return exitUsage
	}
	return exitFound
}

func judgeCommand(ctx context.Context, stdout io.Writer) *cobra.Command {
	var (
		f      flags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "checker [DIR]",
		Short: "Judge what a bridge left on its topics by the truth",
		Long: `Compares all topics of a bridge with what really happened, and looks for personal
data and credentials where they may not be. It finds changes that were lost, told
twice or out of order, gaps in the sequence, broken hash chains, wrong keys,
headers, partitions and classes, aborted events that show, writes that fencing
should have refused, webhooks answered 200 that were not written, state that
does not say what was published, results that are lost, doubled, of nothing or not
in the transaction of their event, references to objects that are not in the store
or hold something else, records that are missing, values that are too long or hold
a record, dead letters that nothing explains, canaries and secrets in topics, logs,
metrics and names of objects: plain, escaped, in base64 or in hex.

It reads a live cluster (--brokers), or a directory that 'checker dump' or the lab
has kept. Truth, webhooks and canaries come from files or from the simulator
(/sim/v1/truth, /sim/v1/attempts, /sim/v1/canaries, /sim/v1/records); with a directory, what is
given as a flag takes the place of what stands in it.

Exits 0 if all is as it should be, 1 if not or if there is no verdict, 2 if used
wrongly.`,
		Example: `  checker .cache/lab/7-1/evidence
  checker --brokers 127.0.0.1:9092 --truth http://127.0.0.1:8090/sim/v1/truth
  checker --brokers 127.0.0.1:9092 --registry http://127.0.0.1:8081 --truth truth.jsonl \
          --canaries canaries.json --outputs logs --settled --json
  checker --brokers 127.0.0.1:9092 --truth http://127.0.0.1:8090/sim/v1/truth --store file:///tmp/records \
          --record-truth http://127.0.0.1:8090/sim/v1/records --results SIMGWG01 --records SIMGWG01=all`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			evidence, err := f.evidence(ctx, cmd, args)
			if err != nil {
				return err
			}
			verdict, err := audit.Judge(ctx, evidence)
			if err != nil {
				return err
			}
			if err := show(stdout, &verdict, asJSON); err != nil {
				return err
			}
			if !verdict.Clean() {
				return errFound
			}
			return nil
		},
	}
	f.declare(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON")
	return cmd
}

func dumpCommand(ctx context.Context, stdout io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "dump DIR",
		Short: "Keep the topics and what belongs to them, to be judged later",
		Long: `Writes whole topics to a directory: keys, headers, timestamps, offsets, producers,
what was aborted, the markers of transactions, and which records show to
read-committed readers; with them truth, webhooks, canaries, secrets and outputs
as far as they are given, and the schemas that the events name. 'checker DIR'
judges it, without Kafka and without a registry.

The directory holds what the topics hold. Files are readable for their owner only.`,
		Example: `  checker dump kept --brokers 127.0.0.1:9092 --truth http://127.0.0.1:8090/sim/v1/truth
  checker kept`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.brokers) == 0 {
				return &usageError{"--brokers is not given"}
			}
			evidence, err := f.evidence(ctx, cmd, nil)
			if err != nil {
				return err
			}
			if err := evidence.Save(ctx, args[0]); err != nil {
				return err
			}
			for _, t := range evidence.Dump.Counts() {
				if _, err := fmt.Fprintf(stdout, "%s: %d records\n", t.Name, t.Records); err != nil {
					return fmt.Errorf("print counts: %w", err)
				}
			}
			return nil
		},
	}
	f.declare(cmd)
	return cmd
}

// shownVerdict is a verdict as --json prints it.
type shownVerdict struct {
	Clean   bool           `json:"clean"`
	Summary string         `json:"summary"`
	Counts  map[string]int `json:"counts"`
	*audit.Verdict
}

func show(w io.Writer, v *audit.Verdict, asJSON bool) error {
	if !asJSON {
		return v.Write(w)
	}
	counts := make(map[string]int)
	for _, k := range audit.Kinds() {
		name, err := k.MarshalText()
		if err != nil {
			return err
		}
		counts[string(name)] = v.Count(k)
	}
	if v.Findings == nil {
		v.Findings = []audit.Finding{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(shownVerdict{v.Clean(), v.String(), counts, v}); err != nil {
		return fmt.Errorf("print verdict: %w", err)
	}
	return nil
}
