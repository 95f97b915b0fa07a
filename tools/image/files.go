package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user is who the process runs as: "nonroot" of the images that are called
	// distroless, which charts and policies know.
	user = 65532
	// binaryPath is where the binary lies in the image.
	binaryPath = "bridge"
	// rootsPath is where Go, and most else, looks for certificates.
	rootsPath = "etc/ssl/certs/ca-certificates.crt"
)

// file is a file of the image, or a directory if its name ends in a slash. All
// belong to root: the user of the image changes nothing in it.
type file struct {
	name    string
	mode    int64
	content []byte
}

// baseFiles are the files of the image beside the binary.
func baseFiles(roots, license []byte) []file {
	return []file{
		{"etc/", 0o755, nil},
		{"etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", user)},
		{"etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/:/sbin/nologin\n", user, user)},
		{"etc/ssl/", 0o755, nil},
		{"etc/ssl/certs/", 0o755, nil},
		{rootsPath, 0o644, roots},
		{"LICENSE", 0o644, license},
		// Where a volume for temporary files is mounted; only the demo needs one.
		{"tmp/", 0o1777, nil},
	}
}

// rootCertificates are those that Mozilla trusts for servers, PEM, as of the
// module's version. Those that it trusts in part only are left out: a file of
// certificates cannot say which part.
func rootCertificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return out.Bytes()
}

// tarOf writes files into a tar, sorted by name, all of one time.
func tarOf(files []file, at time.Time) ([]byte, error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b file) int { return cmp.Compare(a.name, b.name) })
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: at}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("write header of %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end tar: %w", err)
	}
	return out.Bytes(), nil
}

// layerOf makes a layer of files.
func layerOf(files []file, at time.Time) (v1.Layer, error) {
	content, err := tarOf(files, at)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(6), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("make layer: %w", err)
	}
	return layer, nil
}
