// Package definitions fetches definitions of the kinds that the chart renders, from the Go modules of their projects.
package definitions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// File is one in a module, given as path@version.
type File struct{ Module, Path string }

// CustomResources each hold a CustomResourceDefinition.
var CustomResources = []File{
	{"sigs.k8s.io/gateway-api@v1.6.3", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	{"github.com/external-secrets/external-secrets@v1.3.2", "config/crds/bases/external-secrets.io_externalsecrets.yaml"},
}

// Read returns the file's content; the module comes through go mod download.
func (f File) Read(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", f.Module)
	cmd.Dir = os.TempDir() // outside of any module: nothing is added to one
	out, err := cmd.Output()
	var downloaded struct {
		Dir   string `json:"Dir"`
		Error string `json:"Error"`
	}
	if jsonErr := json.Unmarshal(out, &downloaded); jsonErr != nil {
		return nil, fmt.Errorf("download %s: %w", f.Module, errors.Join(err, jsonErr))
	}
	if downloaded.Error != "" {
		return nil, fmt.Errorf("download %s: %s", f.Module, downloaded.Error)
	}
	content, err := os.ReadFile(filepath.Join(downloaded.Dir, f.Path))
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", f.Path, f.Module, err)
	}
	return content, nil
}
