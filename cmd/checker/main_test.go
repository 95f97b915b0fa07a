package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checker runs the program and returns its exit code and what it printed.
func checker(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// demo starts `bridge demo --serve`, waits for its verdict, and returns the
// addresses of its broker and of its simulator.
func demo(t *testing.T) (broker, simulator string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bridge")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../bridge").CombinedOutput(); err != nil {
		t.Fatalf("build bridge: %v\n%s", err, out)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, binary, "demo", "--cases", "6", "--serve")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	var all strings.Builder
	for lines := bufio.NewScanner(stdout); (broker == "" || simulator == "") && lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if m := regexp.MustCompile(`kcat -C -b (\S+) `).FindStringSubmatch(lines.Text()); m != nil {
			broker = m[1]
		}
		if m := regexp.MustCompile(`(http://\S+)/sim/v1/truth`).FindStringSubmatch(lines.Text()); m != nil {
			simulator = m[1]
		}
	}
	if broker == "" || simulator == "" {
		t.Fatalf("the demo does not say where it is:\n%s", all.String())
	}
	return broker, simulator
}

// A live cluster and what was kept of it get the same verdict, which turns when
// the evidence does; the exit codes say so.
func TestCheckerJudgesADemo(t *testing.T) {
	t.Parallel()
	broker, simulator := demo(t)
	outputs := t.TempDir()
	if err := os.WriteFile(filepath.Join(outputs, "bridge.log"), []byte("nothing of note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	live := []string{
		"--brokers", broker, "--truth", simulator + "/sim/v1/truth", "--webhooks", simulator + "/sim/v1/attempts",
		"--canaries", simulator + "/sim/v1/canaries", "--outputs", outputs, "--require-all", "--strict", "--class", "SIMGWG01=gwg",
	}
	clean := regexp.MustCompile(`\nverified: \d+ changes, \d+ events, 0 lost, 0 doubled, 0 out of order, 0 canaries\n$`)
	code, stdout, stderr := checker(t, live...)
	if code != exitClean || !clean.MatchString(stdout) || !strings.Contains(stdout, "webhooks answered 200: ") {
		t.Fatalf("live: exit %d, %s\n%s", code, stderr, stdout)
	}
	dir := filepath.Join(t.TempDir(), "kept")
	if code, stdout, stderr = checker(t, append([]string{"dump", dir}, live...)...); code != exitClean || !strings.Contains(stdout, "postident.status.v1: ") {
		t.Fatalf("dump: exit %d, %s\n%s", code, stderr, stdout)
	}
	if code, stdout, stderr = checker(t, dir); code != exitClean || !clean.MatchString(stdout) {
		t.Fatalf("kept: exit %d, %s\n%s", code, stderr, stdout)
	}

	// A change that nobody published.
	truth, err := os.OpenFile(filepath.Join(dir, "truth.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = truth.WriteString(`{"clientId":"SIMGWG01","caseId":"LOST00000001","caseCreated":"2026-01-01T10:00:00Z","method":"basic",` +
		`"identCreated":"2026-01-01T10:00:00Z","status":"success","modified":"2026-01-02T10:00:00Z","statusType":"final","seen":true}` + "\n")
	if err := firstError(err, truth.Close()); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ = checker(t, dir); code != exitFound || !strings.Contains(stdout, "lost: case SIMGWG01/LOST00000001 ") {
		t.Errorf("a lost change: exit %d\n%s", code, stdout)
	}
	code, stdout, _ = checker(t, dir, "--json")
	var verdict struct {
		Clean    bool
		Counts   map[string]int
		Findings []struct{ Kind, CaseID string }
	}
	if err := json.Unmarshal([]byte(stdout), &verdict); err != nil {
		t.Fatal(err)
	}
	if code != exitFound || verdict.Clean || verdict.Counts["lost"] != 1 || len(verdict.Findings) != 1 ||
		verdict.Findings[0].Kind != "lost" || verdict.Findings[0].CaseID != "LOST00000001" {
		t.Errorf("as JSON: exit %d, %+v", code, verdict)
	}
	// Flags take the place of what was kept.
	if code, stdout, _ = checker(t, dir, "--truth", simulator+"/sim/v1/truth"); code != exitClean {
		t.Errorf("another truth: exit %d\n%s", code, stdout)
	}
	secrets := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(secrets, []byte(`["SIMGWG01"]`), 0o600); err != nil { // it is in every record
		t.Fatal(err)
	}
	code, stdout, _ = checker(t, dir, "--truth", simulator+"/sim/v1/truth", "--secrets", secrets)
	if code != exitFound || !strings.Contains(stdout, "secrets: at postident.status.v1/") {
		t.Errorf("a secret: exit %d\n%s", code, stdout)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestCheckerRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":           {nil, exitUsage, "neither a directory nor --brokers"},
		"both":              {[]string{"dir", "--brokers", "127.0.0.1:1"}, exitUsage, "not both"},
		"no truth":          {[]string{"--brokers", "127.0.0.1:1"}, exitUsage, "--truth"},
		"dump of nothing":   {[]string{"dump", "dir"}, exitUsage, "--brokers"},
		"dump to nowhere":   {[]string{"dump"}, exitUsage, "accepts 1 arg"},
		"unknown flag":      {[]string{"--strickt"}, exitUsage, "unknown flag"},
		"unknown class":     {[]string{"--brokers", "127.0.0.1:1", "--truth", os.DevNull, "--class", "A=gwq"}, exitUsage, "gwq"},
		"unknown records":   {[]string{"--brokers", "127.0.0.1:1", "--truth", os.DevNull, "--records", "A=some"}, exitUsage, "some"},
		"no such store":     {[]string{"--brokers", "127.0.0.1:1", "--truth", os.DevNull, "--store", "ftp://host"}, exitFound, "--store"},
		"no such directory": {[]string{filepath.Join(t.TempDir(), "absent")}, exitFound, "open evidence"},
		"no such file":      {[]string{"--brokers", "127.0.0.1:1", "--truth", "absent.jsonl"}, exitFound, "--truth"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := checker(t, c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) || stdout != "" {
				t.Errorf("exit %d, stderr %q, stdout %q", code, stderr, stdout)
			}
		})
	}
}

func TestCheckerHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"dump", "--help"}} {
		code, stdout, _ := checker(t, args...)
		if code != exitClean || !strings.Contains(stdout, "Examples:\n  checker ") {
			t.Errorf("%v: exit %d\n%s", args, code, stdout)
		}
	}
}
