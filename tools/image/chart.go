package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	chartDir  = "deploy/helm"
	chartName = "postident-bridge"
	// renderedFor is the release of Kubernetes for which a package is tried. A Helm
	// that is built from its module knows only an old one by itself; the Makefile's
	// KUBERNETES are what the chart is held against.
	renderedFor = "1.37.0"
)

// writeChart packages the chart as that of a release: version and appVersion, which
// is the image's tag, are those of the release, and what changed is in its
// annotations. It is Helm's own package but for its times, which are those of when
// Helm ran.
func writeChart(ctx context.Context, s source, helm, dir, version string, changes []change) error {
	work, err := os.MkdirTemp("", "image-chart-")
	if err != nil {
		return fmt.Errorf("make directory for chart: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	_, err = output(ctx, s.dir, nil, helm, "package", chartDir, "--version", version, "--app-version", version, "--destination", work)
	if err != nil {
		return fmt.Errorf("package chart: %w", err)
	}
	name := chartName + "-" + version + ".tgz"
	packed, err := os.ReadFile(filepath.Join(work, name))
	if err != nil {
		return fmt.Errorf("read chart: %w", err)
	}
	files, err := unpackTar(packed)
	if err != nil {
		return fmt.Errorf("read chart: %w", err)
	}
	if err := annotate(files, version, changes); err != nil {
		return err
	}
	if packed, err = packTar(files, s.created); err != nil {
		return fmt.Errorf("pack chart: %w", err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, packed, 0o644); err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	return verifyChart(ctx, s, helm, path, version)
}

// verifyChart has Helm render a package with the fewest values that it takes, and
// refuses it if the pods would not run the image of the release.
func verifyChart(ctx context.Context, s source, helm, path, version string) error {
	rendered, err := output(ctx, s.dir, nil, helm, "template", "bridge", path,
		"--kube-version", renderedFor, "--values", filepath.Join(chartDir, "ci", "minimal-values.yaml"))
	if err != nil {
		return fmt.Errorf("render chart: %w", err)
	}
	if tag := "/postident-bridge:" + version + "\n"; !strings.Contains(rendered, tag) {
		return fmt.Errorf("the packaged chart runs no image with the tag %s", version)
	}
	return nil
}

// unpackTar reads the files of a tar that gzip has packed.
func unpackTar(packed []byte) ([]file, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	var files []file
	for r := tar.NewReader(unpacked); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read tar: %w", err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", header.Name, err)
		}
		files = append(files, file{header.Name, header.Mode, content})
	}
}

// packTar packs files, all of one time. The same files give the same bytes.
func packTar(files []file, at time.Time) ([]byte, error) {
	content, err := tarOf(files, at)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("open gzip: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("write gzip: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end gzip: %w", err)
	}
	return out.Bytes(), nil
}

// annotate adds to the Chart.yaml that Helm wrote what Artifact Hub shows of a
// release.
func annotate(files []file, version string, changes []change) error {
	const begin = "\nannotations:\n"
	for i, f := range files {
		if f.name != chartName+"/Chart.yaml" {
			continue
		}
		before, after, ok := strings.Cut("\n"+string(f.content), begin)
		if !ok {
			return errors.New("the packaged Chart.yaml has no annotations to add to")
		}
		var more strings.Builder
		if strings.Contains(version, "-") {
			more.WriteString("  artifacthub.io/prerelease: \"true\"\n")
		}
		more.WriteString("  artifacthub.io/changes: |\n")
		for _, c := range changes {
			// A string of JSON is one of YAML.
			text, err := json.Marshal(c.text)
			if err != nil {
				return fmt.Errorf("quote change: %w", err)
			}
			fmt.Fprintf(&more, "    - kind: %s\n      description: %s\n", c.kind, text)
		}
		files[i].content = []byte(strings.TrimPrefix(before+begin+more.String()+after, "\n"))
		return nil
	}
	return errors.New("the packaged chart has no Chart.yaml")
}
