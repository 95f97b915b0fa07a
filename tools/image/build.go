package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// imageName begins the names of what is built of an image that is no release.
const imageName = "bridge-image"

// build writes the image and an SBOM for each of its platforms to dir.
func build(ctx context.Context, repo, dir string, platforms []platform, out io.Writer) error {
	src, err := readSource(ctx, repo, os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	work, err := os.MkdirTemp("", "image-binaries-")
	if err != nil {
		return fmt.Errorf("make directory for binaries: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	d := described{revision: src.revision, created: src.created, tag: src.tag()}
	binaries := make([]string, len(platforms))
	for i, p := range platforms {
		if binaries[i], err = filepath.Abs(filepath.Join(work, p.String(), binaryPath)); err != nil {
			return fmt.Errorf("find directory: %w", err)
		}
		if d.version, err = buildBinary(ctx, src, p, "", binaries[i]); err != nil {
			return err
		}
	}
	return writeImage(d, src, platforms, binaries, dir, imageName, out)
}

// writeImage packs binaries that are built, one for each platform, and writes
// the image and its SBOMs to dir, under names that begin with name.
func writeImage(d described, s source, platforms []platform, binaries []string, dir, name string, out io.Writer) error {
	license, err := os.ReadFile(filepath.Join(s.dir, "LICENSE"))
	if err != nil {
		return fmt.Errorf("read licence: %w", err)
	}
	base, err := layerOf(baseFiles(rootCertificates(), license), d.created)
	if err != nil {
		return err
	}
	images := make([]v1.Image, len(platforms))
	for i, p := range platforms {
		binary, err := os.ReadFile(binaries[i])
		if err != nil {
			return fmt.Errorf("read binary: %w", err)
		}
		if images[i], err = imageOf(p, d, base, binary); err != nil {
			return err
		}
		bom, err := sbomOf(binaries[i], d)
		if err != nil {
			return err
		}
		if err := addRoots(bom); err != nil {
			return err
		}
		if err := writeSBOM(bom, filepath.Join(dir, name+"-"+p.String()+".cdx.json")); err != nil {
			return err
		}
	}
	index, err := indexOf(d, platforms, images)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name+".tar")
	if err := writeArchive(index, d, path); err != nil {
		return err
	}
	return withArchive(path, func(index v1.ImageIndex) error { return verifyIndex(path, index, platforms, out) })
}
