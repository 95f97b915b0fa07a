// Command bridge carries the status changes of POSTIDENT identifications from
// the SCR-Ident API to Kafka: it takes webhooks, reads the cases and publishes
// one Avro event per change.
//
// This package only wires. It is the one place that reads the environment, the
// arguments and signals, and that exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/right"
)

//go:generate go run . docs --out ../../docs

// The exit codes of every command.
const (
	exitDone   = 0 // what was asked for is done
	exitFailed = 1 // it was tried and did not work, or a check found differences
	exitUsage  = 2 // the command or the settings are wrong; nothing was started
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly stop; a second one, with the default
	// action restored, ends a stop that takes too long.
	context.AfterFunc(ctx, stop)
	m := &Main{Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}
	return m.Run(ctx)
}

// Main is the program with everything it takes from outside, so that tests run
// it in their own process.
type Main struct {
	Args    []string // without the program's name
	Environ []string // as os.Environ gives it
	Stdout  io.Writer
	Stderr  io.Writer

	hooks hooks
}

// hooks are what only tests set.
type hooks struct {
	// started is called with the bound addresses once a process serves.
	started func(addresses)
	// tamper changes the evidence that the demo is judged by, to prove that the
	// verdict can be another.
	tamper func(context.Context, *audit.Evidence) error
	// results sees, and may change, what the demo's consumer saw of results before it
	// is judged, for the same purpose.
	results func(*demoResults)
	// settle shortens the demo's wait for what does not come.
	settle time.Duration
	// faultPauses are the publisher's, which take two hours.
	faultPauses []time.Duration
	// lookEvery is how often files of settings are looked at; 0 means as in production.
	lookEvery time.Duration
}

// Run executes the command named by Args until it is done or ctx is cancelled,
// and returns the exit code: 0 done, 1 failed, 2 used wrongly.
func (m *Main) Run(ctx context.Context) int {
	root := m.rootCommand() //nolint:contextcheck // the commands take it from cobra, which gets it below
	// An error before a command's own code runs is a wrong flag, argument or
	// command; cobra gives those no type of their own.
	entered := false
	root.PersistentPreRun = func(*cobra.Command, []string) { entered = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var (
		wrong    *settingsError
		usage    *usageError
		reported *reportedError
		missing  *right.MissingError
	)
	switch {
	case errors.As(err, &wrong):
		m.complain(wrong.Error())
		return exitUsage
	case !entered, errors.As(err, &usage):
		if msg := err.Error(); msg != "" {
			m.complain(fmt.Sprintf("%s\nRun '%s --help' for usage.", msg, cmd.CommandPath()))
		}
		return exitUsage
	case errors.As(err, &reported):
		return exitFailed
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		m.complain(err.Error() + "\nIs BRIDGE_TOPIC_PREFIX right? 'bridge topics check' says which topics there are.")
		return exitFailed
	case errors.As(err, &missing):
		m.complain(err.Error() + "\n'bridge acls' prints the rights that each role and command needs.")
		return exitFailed
	default:
		m.complain(err.Error())
		return exitFailed
	}
}

// complain writes a message to Stderr. A Stderr that cannot be written to
// leaves nobody to tell.
func (m *Main) complain(msg string) {
	_, _ = fmt.Fprintf(m.Stderr, "bridge: %s\n", strings.TrimRight(msg, "\n"))
}

// usageError says that a command was used wrongly. An empty one means that its
// help was shown instead.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// reportedError fails a command that has already printed why.
type reportedError struct{ what string }

func (e *reportedError) Error() string { return e.what }

func (m *Main) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bridge",
		Short: "POSTIDENT status changes as events on Kafka",
		// For those who try --version; the command tells more.
		Version: readBuildInfo().Version,
		Long: `bridge carries the status changes of POSTIDENT identifications to Kafka.

A webhook of the SCR-Ident API becomes a durable trigger in the inbox topic; the
bridge reads the case, compares it with what it published last, and writes
exactly one Avro event per change to the topic status.v1.

Settings come from the environment (BRIDGE_...); 'bridge config' shows them.
Exit codes: 0 done, 1 failed, 2 used wrongly.`,
		Example: `  bridge demo                     see the whole flow, nothing needed
  bridge topics apply             create the topics
  bridge run                      take webhooks and publish events`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          showHelp,
	}
	root.SetArgs(m.Args)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand(root))
	root.AddCommand(
		m.demoCommand(),
		m.runCommand(),
		m.readyCommand(),
		m.simulateCommand(),
		m.topicsCommand(),
		m.aclsCommand(),
		m.schemasCommand(),
		m.retryCommand(),
		m.deadLetterCommand(),
		m.backfillCommand(),
		m.recordsCommand(),
		m.configCommand(),
		m.versionCommand(),
		m.docsCommand(),
	)
	return root
}

// helpCommand is cobra's, but for an unknown command, which it takes for done.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Hidden:  true,
		Short:   "Show the help of a command",
		Example: "  bridge help topics apply",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return &usageError{fmt.Sprintf("unknown command %q", strings.Join(args, " "))}
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// showHelp is what a command that only groups others does when no other is
// named: it shows them, and fails as used wrongly so that scripts notice.
func showHelp(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Help(); err != nil {
		return fmt.Errorf("show help: %w", err)
	}
	return &usageError{}
}
