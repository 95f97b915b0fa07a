package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runLab runs the program and returns its exit code and what it printed.
func runLab(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = execute(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// What cannot be meant is refused before anything is built or cleared.
func TestWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"two brokers":            {[]string{"--brokers", "2"}, "1 or 3 brokers"},
		"no process":             {[]string{"--processes", "0"}, "at least one process"},
		"fewer than no faults":   {[]string{"--faults", "-1"}, "faults"},
		"unknown kind":           {[]string{"--kinds", "earthquake"}, "earthquake"},
		"three brokers' kind":    {[]string{"--kinds", "leaders"}, "leaders"},
		"unknown flag":           {[]string{"--fault", "3"}, "unknown flag"},
		"argument":               {[]string{"again"}, "again"},
		"recovery without kills": {[]string{"recovery", "--kills", "0"}, "--kills"},
		"recovery of 2 brokers":  {[]string{"recovery", "--brokers", "2"}, "1 or 3 brokers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "work")
			if err := os.Mkdir(dir, 0o750); err != nil {
				t.Fatal(err)
			}
			args := c.args
			if c.args[0] != "again" {
				args = append(args, "--dir", dir)
			}
			code, _, stderr := runLab(t.Context(), args...)
			if code != exitUsage || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "lab --help") {
				t.Errorf("exit %d: %s", code, stderr)
			}
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("the directory was cleared: %v", err)
			}
		})
	}
}

// Who interrupts a run is told that nothing was judged, not that nothing was found.
func TestInterruptedRunHasNoVerdict(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr := runLab(ctx, "--dir", filepath.Join(t.TempDir(), "work"))
	if code != exitFailed || !strings.Contains(stdout, "nothing was judged") || !strings.Contains(stderr, "interrupted") || strings.Contains(stdout, "verdict") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// The lab clears its own directories only, and moves evidence aside.
func TestOnlyOwnDirectoriesAreCleared(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "work")
	own := filepath.Join(dir, "evidence", "evidence.json")
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := clearDir(dir); err != nil {
		t.Fatal(err)
	}
	write(own)
	if err := clearDir(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir+".before", "evidence", "evidence.json")); err != nil {
		t.Errorf("evidence is gone: %v", err)
	}
	foreign := t.TempDir()
	write(filepath.Join(foreign, "thesis.txt"))
	var usage *usageError
	if err := clearDir(foreign); !errors.As(err, &usage) {
		t.Errorf("a directory of somebody else's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(foreign, "thesis.txt")); err != nil {
		t.Error(err)
	}
}

func TestHelpNamesEveryKind(t *testing.T) {
	t.Parallel()
	code, stdout, _ := runLab(t.Context(), "--help")
	if code != exitClean || !strings.Contains(stdout, kindList()) {
		t.Errorf("exit %d: %s", code, stdout)
	}
}
