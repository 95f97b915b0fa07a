package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// sizeLimit bounds the files of one image, in bytes.
const sizeLimit = 50_000_000

// verify checks an archive: that it is whole, has both platforms, and that each
// holds what it should and nothing else.
func verify(archive string, out io.Writer) error {
	platforms, err := imagePlatforms("")
	if err != nil {
		return err
	}
	return withArchive(archive, func(index v1.ImageIndex) error { return verifyIndex(archive, index, platforms, out) })
}

func verifyIndex(path string, index v1.ImageIndex, platforms []platform, out io.Writer) error {
	if err := validate.Index(index); err != nil {
		return fmt.Errorf("validate %s: %w", path, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("compute digest: %w", err)
	}
	_, _ = fmt.Fprintf(out, "%s\n  index        %s\n", filepath.Base(path), digest)
	manifest, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	var have []platform
	for _, m := range manifest.Manifests {
		if m.Platform == nil {
			return fmt.Errorf("image %s names no platform", m.Digest)
		}
		p := platform{m.Platform.OS, m.Platform.Architecture}
		have = append(have, p)
		image, err := index.Image(m.Digest)
		if err != nil {
			return fmt.Errorf("read image for %s: %w", p, err)
		}
		packed, unpacked, err := verifyImage(image)
		if err != nil {
			return fmt.Errorf("image for %s: %w", p, err)
		}
		_, _ = fmt.Fprintf(out, "  %-12s %s  %s, unpacked %s\n", p, m.Digest, megabytes(packed), megabytes(unpacked))
	}
	if !slices.Equal(have, platforms) {
		return fmt.Errorf("the image is for %v, not for %v", have, platforms)
	}
	return nil
}

// verifyImage checks who runs what in an image, and which files it has. It
// returns the bytes of the layers as they are sent, and of the files.
func verifyImage(image v1.Image) (packed, unpacked int64, err error) {
	config, err := image.ConfigFile()
	if err != nil {
		return 0, 0, fmt.Errorf("read config: %w", err)
	}
	if want := fmt.Sprintf("%d:%d", user, user); config.Config.User != want {
		return 0, 0, fmt.Errorf("user is %q, not %s", config.Config.User, want)
	}
	layers, err := image.Layers()
	if err != nil {
		return 0, 0, fmt.Errorf("read layers: %w", err)
	}
	for _, layer := range layers {
		n, err := layer.Size()
		if err != nil {
			return 0, 0, fmt.Errorf("read size of layer: %w", err)
		}
		packed += n
	}
	var want, have []string
	for _, f := range append(baseFiles(nil, nil), file{name: binaryPath}) {
		want = append(want, f.name)
	}
	err = eachFile(image, func(header *tar.Header, _ io.Reader) error {
		have = append(have, header.Name)
		unpacked += header.Size
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		return 0, 0, fmt.Errorf("files are %v, not %v", have, want)
	}
	if unpacked > sizeLimit {
		return 0, 0, fmt.Errorf("files have %s, more than %s", megabytes(unpacked), megabytes(sizeLimit))
	}
	return packed, unpacked, nil
}

// eachFile calls visit for every file of an image, as its layers leave them.
func eachFile(image v1.Image, visit func(*tar.Header, io.Reader) error) error {
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read layers: %w", err)
		}
		// mutate.Extract cleans names, which takes the slash off those of directories.
		if header.Typeflag == tar.TypeDir {
			header.Name = strings.TrimSuffix(header.Name, "/") + "/"
		}
		if err := visit(header, r); err != nil {
			return err
		}
	}
}

// withArchive calls use with the index that an archive holds.
func withArchive(archive string, use func(v1.ImageIndex) error) error {
	dir, err := os.MkdirTemp("", "image-archive-")
	if err != nil {
		return fmt.Errorf("make directory for archive: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	defer func() { _ = f.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := writeFile(root, header, r); err != nil {
			return err
		}
	}
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if len(manifest.Manifests) != 1 {
		return fmt.Errorf("archive holds %d images, not one", len(manifest.Manifests))
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	return use(index)
}

// unpack writes the files of the image for an architecture to a new directory.
func unpack(archive, arch, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	return withArchive(archive, func(index v1.ImageIndex) error {
		manifest, err := index.IndexManifest()
		if err != nil {
			return fmt.Errorf("read index: %w", err)
		}
		for _, m := range manifest.Manifests {
			if arch != "" && (m.Platform == nil || m.Platform.Architecture != arch) {
				continue
			}
			image, err := index.Image(m.Digest)
			if err != nil {
				return fmt.Errorf("read image: %w", err)
			}
			return eachFile(image, func(header *tar.Header, content io.Reader) error { return writeFile(root, header, content) })
		}
		return fmt.Errorf("%s has no image for %q", archive, arch)
	})
}

// writeFile writes one entry of a tar below root, with its mode.
func writeFile(root *os.Root, header *tar.Header, content io.Reader) error {
	name := filepath.FromSlash(strings.TrimSuffix(header.Name, "/"))
	if header.Typeflag == tar.TypeDir {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
	} else {
		f, err := root.Create(name)
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		_, err = io.Copy(f, content)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	// FileInfo's mode has the sticky bit where Go wants it.
	if err := root.Chmod(name, header.FileInfo().Mode()); err != nil {
		return fmt.Errorf("set mode of %s: %w", name, err)
	}
	return nil
}
