package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// source is the checkout that is built from.
type source struct {
	dir      string
	revision string
	modified bool
	// created is when the commit was made, or what SOURCE_DATE_EPOCH says: the only
	// time that what is built holds.
	created time.Time
}

func readSource(ctx context.Context, dir, epoch string) (source, error) {
	head, err := output(ctx, dir, nil, "git", "show", "--no-patch", "--format=%H %ct", "HEAD")
	if err != nil {
		return source{}, fmt.Errorf("read commit: %w", err)
	}
	revision, committed, _ := strings.Cut(head, " ")
	name := "the commit's time"
	if epoch != "" {
		name, committed = "SOURCE_DATE_EPOCH", epoch
	}
	seconds, err := strconv.ParseInt(committed, 10, 64)
	if err != nil || seconds < 0 {
		return source{}, fmt.Errorf("%s is %q, not seconds since 1970", name, committed)
	}
	status, err := output(ctx, dir, nil, "git", "status", "--porcelain")
	if err != nil {
		return source{}, fmt.Errorf("compare files with the commit: %w", err)
	}
	return source{dir: dir, revision: revision, modified: status != "", created: time.Unix(seconds, 0).UTC()}, nil
}

// tag names the image of a build that is no release.
func (s source) tag() string {
	if s.modified {
		return s.revision[:12] + "-modified"
	}
	return s.revision[:12]
}

// output runs a command in dir, with more environment, and returns what it
// prints, without the line's end. What it writes to its standard error is in the
// error.
func output(ctx context.Context, dir string, environ []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environ...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(fmt.Errorf("run %s %s: %w", name, args[0], err), errors.New(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(string(out)), nil
}
