package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// releaseVersion is a version of Semantic Versioning without a "v" before it, and
// without build metadata, which a tag of an image cannot hold.
var releaseVersion = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-` + preRelease + `(\.` + preRelease + `)*)?$`)

// preRelease is a number without a zero before it, or something with a letter.
const preRelease = `(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)`

// release builds what a release holds, and puts it in the place of the directory
// dir once all of it is there. helm is the path of Helm.
func release(ctx context.Context, repo, dir, helm, version string, out io.Writer) error {
	src, changes, err := readyForRelease(ctx, repo, version)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".release-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Chmod(work, 0o755); err != nil {
		return fmt.Errorf("open directory to readers: %w", err)
	}
	if work, err = filepath.Abs(work); err != nil {
		return fmt.Errorf("find directory: %w", err)
	}
	if helm, err = filepath.Abs(helm); err != nil {
		return fmt.Errorf("find helm: %w", err)
	}
	// First what takes no time and may still be refused.
	if err := writeChart(ctx, src, helm, work, version, changes); err != nil {
		return err
	}
	if err := writeBinaries(ctx, src, work, version, out); err != nil {
		return err
	}
	sums, err := checksums(work)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove what was built before: %w", err)
	}
	if err := os.Rename(work, dir); err != nil {
		return fmt.Errorf("move into place: %w", err)
	}
	_, _ = fmt.Fprint(out, sums)
	return nil
}

// writeBinaries builds the binaries of a release, and the image from those that it
// holds, each with its SBOM.
func writeBinaries(ctx context.Context, src source, dir, version string, out io.Writer) error {
	name := "bridge-" + version
	d := described{version: version, revision: src.revision, created: src.created, tag: version}
	platforms, err := imagePlatforms("")
	if err != nil {
		return err
	}
	var binaries []string
	for _, p := range append(slices.Clip(platforms), platform{"darwin", "arm64"}) {
		binary := filepath.Join(dir, name+"-"+p.String())
		if _, err := buildBinary(ctx, src, p, version, binary); err != nil {
			return err
		}
		bom, err := sbomOf(binary, d)
		if err != nil {
			return err
		}
		if err := writeSBOM(bom, binary+".cdx.json"); err != nil {
			return err
		}
		binaries = append(binaries, binary)
	}
	return writeImage(d, src, platforms, binaries[:len(platforms)], dir, name+"-image", out)
}

// readyForRelease refuses what cannot be released as version: a version that is
// none, one without a section in the changelog, and files that are not committed, in
// the chart also those that git ignores.
func readyForRelease(ctx context.Context, repo, version string) (source, []change, error) {
	if !releaseVersion.MatchString(version) {
		return source{}, nil, fmt.Errorf("VERSION is %q, not like 1.2.3 or 1.2.3-rc.1", version)
	}
	changelog, err := os.ReadFile(filepath.Join(repo, "CHANGELOG.md"))
	if err != nil {
		return source{}, nil, fmt.Errorf("read changelog: %w", err)
	}
	changes, err := changesOf(string(changelog), version)
	if err != nil {
		return source{}, nil, err
	}
	src, err := readSource(ctx, repo, os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return source{}, nil, err
	}
	if src.modified {
		return source{}, nil, errors.New("files differ from the commit, or are not in it: git status shows which")
	}
	// Helm packages what lies there, and knows nothing of what git ignores.
	ignored, err := output(ctx, repo, nil, "git", "status", "--porcelain", "--ignored", "--", chartDir)
	if err != nil {
		return source{}, nil, fmt.Errorf("look for ignored files: %w", err)
	}
	if ignored != "" {
		return source{}, nil, fmt.Errorf("%s has files that git ignores, which would be in the chart: %s", chartDir, strings.TrimPrefix(ignored, "!! "))
	}
	return src, changes, nil
}

// checksums are those of the files of a directory, as sha256sum prints them.
func checksums(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("list files: %w", err)
	}
	var out strings.Builder
	for _, entry := range entries {
		f, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", fmt.Errorf("open file: %w", err)
		}
		hash := sha256.New()
		_, err = io.Copy(hash, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("read %s: %w", entry.Name(), err)
		}
		fmt.Fprintf(&out, "%x  %s\n", hash.Sum(nil), entry.Name())
	}
	return out.String(), nil
}
