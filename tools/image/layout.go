package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// described is what the labels of an image say of it.
type described struct {
	version, revision string
	created           time.Time
	// tag is that of the name in the archive.
	tag string
}

// labels are OCI's, which registries and scanners read. What nobody knows here, as
// where the source lies, is not among them.
func (d described) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "postident-bridge",
		"org.opencontainers.image.description": "Event streaming from Deutsche Post's POSTIDENT SCR-Ident API to Apache Kafka",
		"org.opencontainers.image.version":     d.version,
		"org.opencontainers.image.revision":    d.revision,
		"org.opencontainers.image.created":     d.created.Format(time.RFC3339),
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
}

// imageOf makes the image of one platform.
func imageOf(p platform, d described, base v1.Layer, binary []byte) (v1.Image, error) {
	layer, err := layerOf([]file{{binaryPath, 0o755, binary}}, d.created)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: d.created}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: base, History: v1.History{Created: created, CreatedBy: "certificates, users, licence"}},
		mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "bridge"}},
	)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, created
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", user, user),
		Entrypoint:   []string{"/" + binaryPath},
		Cmd:          []string{"run"},
		WorkingDir:   "/",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9090/tcp": {}},
		Labels:       d.labels(),
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("write config: %w", err)
	}
	annotated, ok := mutate.Annotations(image, d.labels()).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotate image: %T is none", image)
	}
	return annotated, nil
}

// indexOf makes the index that names the images of all platforms.
func indexOf(d described, platforms []platform, images []v1.Image) (v1.ImageIndex, error) {
	var index v1.ImageIndex = empty.Index
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: platforms[i].os, Architecture: platforms[i].arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, d.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate index: %T is none", index)
	}
	return annotated, nil
}

// writeArchive writes an index and its images as an OCI image layout in a tar,
// which tools call oci-archive. The index is one entry of the layout: they then
// take the platform that they run on.
func writeArchive(index v1.ImageIndex, d described, path string) error {
	dir, err := os.MkdirTemp("", "image-layout-")
	if err != nil {
		return fmt.Errorf("make directory for layout: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	where, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("begin layout: %w", err)
	}
	// With a name before the tag: what loads an archive takes a bare tag for the name.
	named := map[string]string{"org.opencontainers.image.ref.name": "postident-bridge:" + d.tag}
	if err := where.AppendIndex(index, layout.WithAnnotations(named)); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	var files []file
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			files = append(files, file{name + "/", 0o755, nil})
			return nil
		}
		content, err := os.ReadFile(path)
		files = append(files, file{name, 0o644, content})
		return err
	})
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	content, err := tarOf(files, d.created)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// megabytes prints bytes as a person reads them: 1 MB is 1,000,000.
func megabytes(n int64) string { return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB" }
