package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// outcome is what a run of the program left.
type outcome struct {
	code           int
	stdout, stderr string
}

// runMain runs the program in this process.
func runMain(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := &Main{Args: args, Environ: environ, Stdout: &stdout, Stderr: &stderr}
	code := m.Run(t.Context())
	return outcome{code, stdout.String(), stderr.String()}
}

// program is a run of the program that goes on while the test looks at it.
type program struct {
	where          addresses
	stdout, stderr lockedBuffer
	stop           func() int // tells it to stop, and returns its exit code
}

// startMain runs the program in this process and returns once it serves.
func startMain(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	return startHooked(t, hooks{}, environ, args...)
}

func startHooked(t *testing.T, h hooks, environ []string, args ...string) *program {
	t.Helper()
	p := new(program)
	serving, done := make(chan addresses, 1), make(chan int, 1)
	ctx, cancel := context.WithCancel(context.Background())
	h.started = func(a addresses) { serving <- a }
	m := &Main{Args: args, Environ: environ, Stdout: &p.stdout, Stderr: &p.stderr, hooks: h}
	go func() { done <- m.Run(ctx) }()
	p.stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { p.stop() })
	select {
	case p.where = <-serving:
	case code := <-done:
		done <- code
		t.Fatalf("%v: exit %d\n%s", args, code, p.stderr.bytes())
	}
	return p
}

// httpGet returns the status and the body.
func httpGet(t *testing.T, url string) (int, string) {
	t.Helper()
	return httpDo(t, http.MethodGet, url, "", nil)
}

func httpDo(t *testing.T, method, url, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func commands(root *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{root}
	for _, c := range root.Commands() {
		out = append(out, commands(c)...)
	}
	return out
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	m := &Main{Args: []string{}, Stdout: io.Discard, Stderr: io.Discard}
	for _, c := range commands(m.rootCommand()) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.Short == "" || c.Example == "" || (c.Long == "" && c.Name() != "help") {
				t.Errorf("%s: short %q, long %q, example %q: none may be empty", c.CommandPath(), c.Short, c.Long, c.Example)
			}
			if c.Hidden {
				return
			}
			got := runMain(t, nil, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("--help: exit %d, stderr %q", got.code, got.stderr)
			}
			golden(t, filepath.Join("testdata", "help", name+".txt"), got.stdout)
			for line := range strings.Lines(got.stdout) {
				if len([]rune(strings.TrimRight(line, "\n"))) > 110 {
					t.Errorf("line too long for a terminal: %q", line)
				}
			}
		})
	}
}

// golden compares got with a file, or writes the file under -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale (run the test with -update) (-file +now):\n%s", path, diff)
	}
}

func TestWrongUseExits2(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args string
		want string // in stderr
	}{
		{"no command", "", "Usage:"},
		{"unknown command", "sned", `unknown command "sned" for "bridge"`},
		{"unknown flag", "run --rolls webhook", "unknown flag: --rolls"},
		{"flag value", "topics check --partitions many", "invalid argument"},
		{"argument where none belongs", "version now", `unknown command "now" for "bridge version"`},
		{"group without a verb", "topics", "Available Commands:"},
		{"group with an unknown verb", "schemas delete", `unknown command "delete" for "bridge schemas"`},
		{"unknown role", "run --roles webhook,sweep", `--roles: "sweep" is none of webhook, poll, process`},
		{"role twice", "run --roles webhook,webhook", "--roles: webhook is named twice"},
		{"no role", "config --roles=", "--roles: none named"},
		{"no role", "run --roles=", "--roles: none named"},
		{"partitions", "topics check --partitions 0", "must be at least 1"},
		{"help of nothing", "help nothing", `unknown command "nothing"`},
		{"settings", "run", "BRIDGE_KAFKA_BROKERS: not set"},
		{"settings of topics", "topics check", "BRIDGE_KAFKA_BROKERS: not set"},
		{"retry now of nothing named", "retry now", "say what to look at"},
		{"retry now of all and some", "retry now --all --case A", "say what to look at"},
		{"retry kind", "retry list --kind sad", `--kind: "sad" is none of fault, parked, recheck`},
		{"retry rate", "retry now --all --rate 0", "--rate must be at least 1"},
		{"retry limit", "retry list --limit -1", "--limit must not be negative"},
		{"settings of retry", "retry list", "BRIDGE_KAFKA_BROKERS: not set"},
		{"dead letters of nothing named", "dead-letter redrive --yes", "say which"},
		{"dead letters since", "dead-letter list --since yesterday", `--since: "yesterday" is no time`},
		{"dead letter of no case", "dead-letter show a/b", "neither PARTITION/OFFSET nor a caseId"},
		{"dead letter not named", "dead-letter show", "accepts 1 arg(s)"},
		{"settings of dead-letter", "dead-letter redrive --all", "BRIDGE_KAFKA_BROKERS: not set"},
		{"records of no account", "records check --account acme", `--account: "acme" is no clientId`},
		{"records of no case", "records sweep --case ../x", `--case: "../x" is no caseId`},
		{"records too young", "records sweep --older-than 1h", "--older-than must be at least 24h"},
		{"records limit", "records check --limit -1", "--limit must not be negative"},
		{"settings of records", "records check", "BRIDGE_RECORDS_URL: not set"},
		{"settings of schemas", "schemas check", "BRIDGE_SCHEMA_REGISTRY_URL: not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runMain(t, nil, strings.Fields(tt.args)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit %d, want %d; stderr, want %q in it:\n%s", got.code, exitUsage, tt.want, got.stderr)
			}
			if got.stdout != "" {
				t.Errorf("stdout: %q", got.stdout)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := runMain(t, nil, "version")
	if got.code != exitDone || !strings.HasPrefix(got.stdout, "bridge ") || !strings.HasSuffix(got.stdout, "\n") {
		t.Errorf("exit %d, stdout %q", got.code, got.stdout)
	}
	if got := runMain(t, nil, "version", "--json"); !strings.Contains(got.stdout, `"go": "go1.`) {
		t.Errorf("json: %s", got.stdout)
	}
}

func TestHelpCommandShowsTheSame(t *testing.T) {
	t.Parallel()
	a, b := runMain(t, nil, "help", "topics", "apply"), runMain(t, nil, "topics", "apply", "--help")
	if a != b {
		t.Errorf("help topics apply:\n%s\ntopics apply --help:\n%s", a.stdout, b.stdout)
	}
}
