package main

import (
	"context"
	"debug/buildinfo"
	_ "embed" // of build-tags
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// platform is what a binary runs on, in Go's words, which are OCI's too.
type platform struct {
	os, arch string
}

func (p platform) String() string { return p.os + "-" + p.arch }

// imagePlatforms are those of the image, or of them the ones of a list of
// architectures.
func imagePlatforms(list string) ([]platform, error) {
	all := []platform{{"linux", "amd64"}, {"linux", "arm64"}}
	if list == "" {
		return all, nil
	}
	var some []platform
	for arch := range strings.SplitSeq(list, ",") {
		p := platform{"linux", arch}
		if !slices.Contains(all, p) || slices.Contains(some, p) {
			return nil, fmt.Errorf("%w: -arch %q is not of amd64, arm64, each once", errUsage, list)
		}
		some = append(some, p)
	}
	return some, nil
}

// buildTags leave out what only debug pages of gRPC need and what holds the
// linker back from dropping unused methods, and put the time zones into the
// binary, for an image that has no files of them.
// The benchmarks and `make build` read the file too.
//
//go:embed build-tags
var buildTags string

// buildArgs are the arguments of the go command. They name all that the result
// depends on, so that a builder's own settings do not reach it.
func buildArgs(version, out string) []string {
	ldflags := "-s -w"
	if version != "" {
		ldflags += " -X main.version=v" + version
	}
	return []string{
		"build", "-trimpath", "-buildvcs=true", "-mod=readonly", "-tags=" + strings.TrimSpace(buildTags),
		"-ldflags=" + ldflags, "-o", out, "./cmd/bridge",
	}
}

// buildBinary builds the bridge, stamped with the version of a release if there
// is one, and returns the version that it gives itself.
func buildBinary(ctx context.Context, s source, p platform, version, out string) (string, error) {
	environ := []string{
		"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-trimpath", "GOWORK=off",
	}
	if _, err := output(ctx, s.dir, environ, "go", buildArgs(version, out)...); err != nil {
		return "", fmt.Errorf("build binary for %s: %w", p, err)
	}
	info, err := buildinfo.ReadFile(out)
	if err != nil {
		return "", fmt.Errorf("read what was stamped into the binary: %w", err)
	}
	stamped := func(set debug.BuildSetting) bool { return set.Key == "vcs.revision" && set.Value == s.revision }
	if !slices.ContainsFunc(info.Settings, stamped) {
		return "", fmt.Errorf("the binary does not say that it is of commit %s: the go command stamps none in a worktree of git, build in a clone", s.revision)
	}
	if version != "" {
		return version, nil
	}
	return strings.TrimPrefix(info.Main.Version, "v"), nil
}
