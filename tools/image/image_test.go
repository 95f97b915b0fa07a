package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var built = described{
	version: "1.2.3", revision: strings.Repeat("ab", 20), tag: "1.2.3",
	created: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC),
}

// archiveOf writes the archive of an image whose binary is a few bytes.
func archiveOf(t *testing.T, d described, binary string) (string, v1.ImageIndex) {
	t.Helper()
	base, err := layerOf(baseFiles(rootCertificates(), []byte("licence")), d.created)
	if err != nil {
		t.Fatal(err)
	}
	platforms, err := imagePlatforms("")
	if err != nil {
		t.Fatal(err)
	}
	var images []v1.Image
	for _, p := range platforms {
		image, err := imageOf(p, d, base, []byte(binary+p.String()))
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	index, err := indexOf(d, platforms, images)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := writeArchive(index, d, path); err != nil {
		t.Fatal(err)
	}
	return path, index
}

// The same build gives the same bytes, and another binary another digest.
func TestTheSameBuildGivesTheSameArchive(t *testing.T) {
	t.Parallel()
	first, index := archiveOf(t, built, "binary")
	second, same := archiveOf(t, built, "binary")
	if a, b := read(t, first), read(t, second); !bytes.Equal(a, b) {
		t.Error("two builds of one image differ")
	}
	if a, b := digest(t, index), digest(t, same); a != b {
		t.Errorf("digests are %s and %s", a, b)
	}
	_, other := archiveOf(t, built, "another binary")
	if a, b := digest(t, index), digest(t, other); a == b {
		t.Errorf("two images have the digest %s", a)
	}
}

func TestArchiveIsWhole(t *testing.T) {
	t.Parallel()
	path, index := archiveOf(t, built, "binary")
	var out strings.Builder
	if err := verify(path, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{digest(t, index), "linux-amd64", "linux-arm64"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	// Nothing but the time of the commit, and nobody but root.
	for r := tar.NewReader(bytes.NewReader(read(t, path))); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(built.created) || header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s: time %s, owner %d:%d %q", header.Name, header.ModTime, header.Uid, header.Gid, header.Uname)
		}
		if header.Name == "index.json" {
			content, err := io.ReadAll(r)
			if err != nil || !strings.Contains(string(content), `"postident-bridge:1.2.3"`) {
				t.Errorf("the archive has no name: %s, %v", content, err)
			}
		}
	}
}

func TestConfigOfTheImage(t *testing.T) {
	t.Parallel()
	_, index := archiveOf(t, built, "binary")
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/bridge"}) {
			t.Errorf("user %q, entrypoint %q", config.Config.User, config.Config.Entrypoint)
		}
		if config.OS != m.Platform.OS || config.Architecture != m.Platform.Architecture {
			t.Errorf("config is of %s/%s, index says %v", config.OS, config.Architecture, m.Platform)
		}
		if got, want := config.Config.Labels["org.opencontainers.image.created"], "2026-11-29T12:00:00Z"; got != want || !config.Created.Equal(built.created) {
			t.Errorf("created %q and %s, not %s", got, config.Created, want)
		}
	}
	for name, value := range built.labels() {
		if got := manifest.Annotations[name]; got != value || value == "" {
			t.Errorf("annotation %s of the index is %q, label %q", name, got, value)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	base, err := layerOf(append(baseFiles(nil, nil), file{"bin/sh", 0o755, []byte("shell")}), built.created)
	if err != nil {
		t.Fatal(err)
	}
	shell, err := imageOf(platform{"linux", "amd64"}, built, base, []byte("binary"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := verifyImage(shell); err == nil || !strings.Contains(err.Error(), "bin/sh") {
		t.Errorf("an image with a shell: %v", err)
	}
	base, err = layerOf(baseFiles(nil, nil), built.created)
	if err != nil {
		t.Fatal(err)
	}
	large, err := imageOf(platform{"linux", "amd64"}, built, base, make([]byte, sizeLimit+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := verifyImage(large); err == nil || !strings.Contains(err.Error(), "50.0 MB") {
		t.Errorf("an image that is too large: %v", err)
	}
	one, err := indexOf(built, []platform{{"linux", "amd64"}}, []v1.Image{large})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := writeArchive(one, built, path); err != nil {
		t.Fatal(err)
	}
	if err := verify(path, io.Discard); err == nil {
		t.Error("an image of one platform was accepted")
	}
}

func TestUnpackWritesTheFilesOfAPlatform(t *testing.T) {
	t.Parallel()
	path, _ := archiveOf(t, built, "binary for ")
	dir := filepath.Join(t.TempDir(), "root")
	if err := unpack(path, "arm64", dir); err != nil {
		t.Fatal(err)
	}
	if got := string(read(t, filepath.Join(dir, "bridge"))); got != "binary for linux-arm64" {
		t.Errorf("binary is %q", got)
	}
	for name, want := range map[string]os.FileMode{
		"bridge": 0o755, "tmp": os.ModeDir | os.ModeSticky | 0o777, "etc/passwd": 0o644, rootsPath: 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, not %s", name, info.Mode(), want)
		}
	}
	if err := unpack(path, "riscv64", filepath.Join(t.TempDir(), "root")); err == nil {
		t.Error("an image for riscv64 was found")
	}
}

// The certificates are what Go reads, and enough to reach what people use.
func TestRootCertificatesCanBeRead(t *testing.T) {
	t.Parallel()
	rest, n := rootCertificates(), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		n++
	}
	if len(rest) > 0 || n < 100 {
		t.Errorf("%d certificates, %d bytes that are none", n, len(rest))
	}
}

// The test's own binary stands for the bridge: it carries a list of modules too.
func TestSBOMHasTheModulesOfTheBinary(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var texts [2][]byte
	for i := range texts {
		bom, err := sbomOf(binary, built)
		if err != nil {
			t.Fatal(err)
		}
		if err := addRoots(bom); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "sbom.json")
		if err := writeSBOM(bom, path); err != nil {
			t.Fatal(err)
		}
		texts[i] = read(t, path)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two SBOMs of one binary differ")
	}
	var bom cdx.BOM
	if err := json.Unmarshal(texts[0], &bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Component.Version != "v1.2.3" || bom.Metadata.Timestamp != "2026-11-29T12:00:00Z" {
		t.Errorf("version %q, time %q", bom.Metadata.Component.Version, bom.Metadata.Timestamp)
	}
	for _, name := range []string{"std", "github.com/google/go-containerregistry", rootsModule} {
		if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == name && c.Version != "" }) {
			t.Errorf("the SBOM lacks %s", name)
		}
	}
}

func TestRunRefusesWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"paint"},
		{"build"},
		{"build", "-out", "x", "-arch", "s390x"},
		{"build", "-out", "x", "-arch", "amd64,amd64"},
		{"release", "-out", "x"},
		{"verify"},
		{"unpack", "x"},
		{"build", "-paint", "x"},
	} {
		if err := run(context.Background(), args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

// Whoever asks for help is no wrong caller.
func TestHelpIsNoMistake(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"help"}, {"build", "-h"}, {"release", "--help"}, {"build", "-out", "x", "-help"}} {
		var out bytes.Buffer
		if err := run(context.Background(), args, &out); err != nil || out.String() != usage {
			t.Errorf("%q: error %v, printed %q", args, err, out.String())
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func digest(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	hash, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}
