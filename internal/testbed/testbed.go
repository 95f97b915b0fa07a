// Package testbed runs what the bridge meets in production and does not share
// code with, as processes on loopback: Apache Kafka brokers, a schema registry
// and an S3 server. The lab and the benchmarks use it as it is, tests through package
// counterpart. It drives the scripts in tools, which people use as well, so it
// works inside the module's tree only.
package testbed

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
	"time"
)

const (
	// startTime bounds a start. The first one on a machine downloads what is
	// started, which takes minutes.
	startTime = 8 * time.Minute
	// signalTime bounds what needs no download: ending or pausing a process, or
	// starting a broker again, which may have much to read first.
	signalTime = 4 * time.Minute
	// exitLacking is the scripts' exit code when the machine lacks something.
	exitLacking = 3
)

// LackingError says what a script needs that this machine does not have, such
// as Java.
type LackingError struct{ What string }

func (e *LackingError) Error() string { return e.What }

// begin runs a script that starts something.
func begin(ctx context.Context, script string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	out, err := Run(ctx, script, env, args...)
	return strings.TrimSpace(out), err
}

// signal runs a script on something that was started before. It is detached
// from ctx's end: what was started is ended after its user was cancelled.
func signal(ctx context.Context, script string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalTime)
	defer cancel()
	_, err := Run(ctx, script, nil, args...)
	return err
}

// Run runs a script of the module, named by its path below the root, and gives
// what it printed. The error is a LackingError where the machine lacks something
// that it needs.
func Run(ctx context.Context, script string, env []string, args ...string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, script), args...)
	cmd.Env = append(os.Environ(), env...)
	// A session of its own, so that an interrupt at the terminal ends the caller
	// first and what it started, through its owner's end, after it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // past ctx, a child of the script may still hold its output
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	said := strings.TrimSpace(stderr.String())
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLacking {
		return "", &LackingError{What: said}
	}
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", script, strings.Join(args, " "), err, said)
	}
	return stdout.String(), nil
}

// ModuleRoot is the directory of the module's go.mod, at or above the working
// directory: tests run in the directory of their package.
func ModuleRoot() (string, error) {
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

// owner is the environment entry that ends a process of ours with this one,
// even if this one is killed and cleans nothing up.
func owner(name string) string { return fmt.Sprintf("%s=%d", name, os.Getpid()) }

// dataDir is dir, or a new temporary directory if that is empty.
func dataDir(dir, name string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "postident-bridge-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	return dir, nil
}
