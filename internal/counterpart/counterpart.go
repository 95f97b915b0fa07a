// Package counterpart starts, for tests, what the bridge meets in production and
// does not share code with: Apache Kafka brokers, a schema registry, and
// consumers in other languages. All of it runs on loopback, by the scripts in
// tools and consumers, which people use as well.
//
// What a machine lacks (Java, Maven, Python) skips the test with the reason.
// Where CI=true it fails the test instead. Under -short nothing is started.
package counterpart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// startTime bounds the start of a counterpart. The first start on a
	// machine downloads it, which takes minutes.
	startTime = 8 * time.Minute
	// signalTime bounds what needs no download: ending or pausing a process.
	signalTime = time.Minute
	// exitLacking is the scripts' exit code when the machine lacks something.
	exitLacking = 3
)

// counterparts in the report that `make test` sums up.
const (
	reportKafka     = "kafka"
	reportRegistry  = "registry"
	reportConsumers = "consumers"
)

// lackingError says what a script needs that this machine does not have.
type lackingError struct{ what string }

func (e *lackingError) Error() string { return e.what }

// begin runs a script that starts a counterpart. It skips or fails the test if
// the machine lacks something, and reports the test as run otherwise.
func begin(tb testing.TB, kind, script string, env []string, args ...string) string {
	tb.Helper()
	if testing.Short() {
		report(tb, "skipped", kind, kind+": -short was given")
		tb.Skipf("%s: not started under -short", kind)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startTime)
	defer cancel()
	out, err := run(ctx, script, env, args...)
	lacking, ok := errors.AsType[*lackingError](err)
	switch {
	case ok && os.Getenv("CI") == "true":
		tb.Fatalf("%v; CI must have it", lacking)
	case ok:
		report(tb, "skipped", kind, lacking.what)
		tb.Skipf("%v", lacking)
	case err != nil:
		tb.Fatal(err)
	}
	report(tb, "ran", kind, "")
	return out
}

// signal runs a script on a counterpart that was started before.
func signal(tb testing.TB, script string, args ...string) {
	tb.Helper()
	// Detached: cleanups end processes after the test's context was cancelled.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), signalTime)
	defer cancel()
	if _, err := run(ctx, script, nil, args...); err != nil {
		tb.Fatal(err)
	}
}

// run gives what the script printed.
func run(ctx context.Context, script string, env []string, args ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, script), args...)
	cmd.Env = append(os.Environ(), env...)
	// A session of its own, so that an interrupt at the terminal ends the test
	// first and the counterpart, through its owner's end, after it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // past ctx, a child of the script may still hold its output
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	said := strings.TrimSpace(stderr.String())
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLacking {
		return "", &lackingError{what: said}
	}
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", script, strings.Join(args, " "), err, said)
	}
	return stdout.String(), nil
}

// moduleRoot finds the scripts: tests run in the directory of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find module: no go.mod above the working directory")
		}
		dir = parent
	}
}

// report adds a line for tools/counted, if that is how the tests were started.
func report(tb testing.TB, outcome, kind, reason string) {
	tb.Helper()
	path := os.Getenv("COUNTERPART_REPORT")
	if path == "" {
		return
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	//nolint:gosec // the path comes from tools/counted
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "%s\t%s\t%s.%s\t%s\n", outcome, kind, dir, tb.Name(), strings.ReplaceAll(reason, "\n", " "))
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
}

// owner is the environment entry that ends a counterpart with this process,
// even if that is killed and runs no cleanup.
func owner(name string) string { return fmt.Sprintf("%s=%d", name, os.Getpid()) }

// temporaryDir is a directory for a counterpart's data.
func temporaryDir(tb testing.TB, name string) string {
	tb.Helper()
	//nolint:usetesting // a shared counterpart outlives the test that started it
	dir, err := os.MkdirTemp("", "postident-bridge-"+name+"-")
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}
