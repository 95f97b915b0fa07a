// Image builds the bridge's container image and its releases from a checkout of
// the repository: the binaries, an OCI image of two architectures, what they are
// made of (CycloneDX), the chart and their checksums. It needs git and go, for a
// release Helm, and no container engine; what it writes depends on the commit and
// the releases of Go and Helm only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

const usage = `usage:
  image build [-repo DIR] [-arch amd64,arm64] -out DIR   build the image and its SBOMs
  image ready [-repo DIR] VERSION                        refuse what cannot be released
  image release [-repo DIR] -helm HELM -out DIR VERSION  build what a release holds
  image verify ARCHIVE                                   check one
  image unpack [-arch ARCH] ARCHIVE DIR                  write its files to a new directory
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// errUsage is what a wrong call ends in.
var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		return help(out)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	repo := flags.String("repo", ".", "")
	dir := flags.String("out", "", "")
	arch := flags.String("arch", "", "")
	helm := flags.String("helm", "", "")
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return help(out)
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case args[0] == "build" && flags.NArg() == 0 && *dir != "":
		platforms, err := imagePlatforms(*arch)
		if err != nil {
			return err
		}
		return build(ctx, *repo, *dir, platforms, out)
	case args[0] == "ready" && flags.NArg() == 1 && *arch == "":
		_, _, err := readyForRelease(ctx, *repo, flags.Arg(0))
		return err
	case args[0] == "release" && flags.NArg() == 1 && *dir != "" && *helm != "" && *arch == "":
		return release(ctx, *repo, *dir, *helm, flags.Arg(0), out)
	case args[0] == "verify" && flags.NArg() == 1:
		return verify(flags.Arg(0), out)
	case args[0] == "unpack" && flags.NArg() == 2:
		return unpack(flags.Arg(0), *arch, flags.Arg(1))
	}
	return errUsage
}

// help shows the usage to whoever asked for it.
func help(out io.Writer) error {
	if _, err := io.WriteString(out, usage); err != nil {
		return fmt.Errorf("show usage: %w", err)
	}
	return nil
}
