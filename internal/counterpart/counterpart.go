// Package counterpart starts, for tests, what the bridge meets in production and
// does not share code with: Apache Kafka brokers, a schema registry, an S3 server,
// and consumers in other languages. Package testbed does the work; this one fits it
// to the life of a test, and says what the race detector leaves to `make test-proofs`.
//
// What a machine lacks (Java, Maven, Python, Node) skips the test with the reason.
// Where CI=true it fails the test instead. Under -short nothing is started.
package counterpart

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"postident-bridge/internal/testbed"
)

// counterparts in the report that `make test` sums up.
const (
	reportKafka     = "kafka"
	reportRegistry  = "registry"
	reportS3        = "s3"
	reportConsumers = "consumers"
)

// outcome reports the test as run if err is nil; else it skips or fails it.
func outcome(tb testing.TB, kind string, err error) {
	tb.Helper()
	lacking, ok := errors.AsType[*testbed.LackingError](err)
	switch {
	case ok && os.Getenv("CI") == "true":
		tb.Fatalf("%v; CI must have it", lacking)
	case ok:
		report(tb, "skipped", kind, lacking.What)
		tb.Skipf("%v", lacking)
	case err != nil:
		tb.Fatal(err)
	}
	report(tb, "ran", kind, "")
}

// WithKafka runs what starts brokers of its own by package testbed, and fits its
// outcome to the test, as if the test had started them.
func WithKafka(tb testing.TB, run func() error) {
	tb.Helper()
	unlessShort(tb, reportKafka)
	outcome(tb, reportKafka, run())
}

// unlessShort skips the test under -short.
func unlessShort(tb testing.TB, kind string) {
	tb.Helper()
	if testing.Short() {
		report(tb, "skipped", kind, kind+": -short was given")
		tb.Skipf("%s: not started under -short", kind)
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
