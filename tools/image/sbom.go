package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/licensedetect/local"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

const (
	generatorModule = "github.com/CycloneDX/cyclonedx-gomod"
	rootsModule     = "golang.org/x/crypto/x509roots/fallback"
)

// sbomOf describes a binary by the list of modules that it carries itself, with
// their licences. Time and serial number follow from the build, so that the same
// build has the same SBOM.
func sbomOf(binary string, d described) (*cdx.BOM, error) {
	logger := zerolog.Nop()
	generator, err := bin.NewGenerator(binary, bin.WithLogger(logger), bin.WithIncludeStdlib(true),
		bin.WithVersionOverride("v"+d.version), bin.WithLicenseDetector(local.NewDetector(logger)))
	if err != nil {
		return nil, fmt.Errorf("read modules of binary: %w", err)
	}
	bom, err := generator.Generate()
	if err != nil {
		return nil, fmt.Errorf("describe binary: %w", err)
	}
	version, err := moduleVersion(generatorModule)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read binary: %w", err)
	}
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceOID, content).URN()
	bom.Metadata.Timestamp = d.created.Format(time.RFC3339)
	bom.Metadata.Tools = &cdx.ToolsChoice{Components: &[]cdx.Component{
		{Type: cdx.ComponentTypeApplication, Name: "cyclonedx-gomod", Version: version},
	}}
	bom.Metadata.Component.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	return bom, nil
}

// addRoots adds what an image has beside the binary.
func addRoots(bom *cdx.BOM) error {
	version, err := moduleVersion(rootsModule)
	if err != nil {
		return err
	}
	purl := "pkg:golang/" + rootsModule + "@" + version
	*bom.Components = append(*bom.Components, cdx.Component{
		BOMRef:      purl,
		Type:        cdx.ComponentTypeData,
		Name:        rootsModule,
		Version:     version,
		Description: "root certificates, in /" + rootsPath,
		PackageURL:  purl,
		Licenses:    &cdx.Licenses{{License: &cdx.License{ID: "BSD-3-Clause"}}, {License: &cdx.License{ID: "MPL-2.0"}}},
	})
	return nil
}

// moduleVersion is the version of a module that this program is built with.
func moduleVersion(path string) (string, error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		if i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == path }); i >= 0 {
			return info.Deps[i].Version, nil
		}
	}
	return "", fmt.Errorf("this program does not say which version of %s it has", path)
}

func writeSBOM(bom *cdx.BOM, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make SBOM: %w", err)
	}
	defer func() { _ = f.Close() }()
	encoder := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	encoder.SetEscapeHTML(false)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write SBOM: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write SBOM: %w", err)
	}
	return nil
}
