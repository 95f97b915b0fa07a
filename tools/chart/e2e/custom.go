package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postident-bridge/tools/chart/definitions"
)

// securityPolicies defines Envoy Gateway's kind, of which the set gateway has an extra object.
var securityPolicies = definitions.File{
	Module: "github.com/envoyproxy/gateway@v1.5.0",
	Path:   "charts/gateway-helm/crds/generated/gateway.envoyproxy.io_securitypolicies.yaml",
}

// customResources returns the definitions of all custom resources that the chart renders. The directory strimzi has one
// file for each kind of Strimzi and version of its API.
func customResources(ctx context.Context, strimzi string) ([]object, error) {
	var crds []object
	for _, file := range append(definitions.CustomResources, securityPolicies) {
		content, err := file.Read(ctx)
		if err != nil {
			return nil, err
		}
		found, err := objects(content)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file.Path, err)
		}
		crds = append(crds, found...)
	}
	for _, kind := range []string{"kafkatopic", "kafkauser"} {
		var both []object
		for _, version := range []string{"v1", "v1beta2"} {
			content, err := os.ReadFile(filepath.Join(strimzi, kind+"-"+version+".yaml"))
			if err != nil {
				return nil, fmt.Errorf("read definition of Strimzi: %w", err)
			}
			found, err := objects(content)
			if err != nil {
				return nil, fmt.Errorf("read definition of %s: %w", kind, err)
			}
			if len(found) != 1 {
				return nil, fmt.Errorf("read definition of %s: %d objects", kind, len(found))
			}
			both = append(both, found[0])
		}
		crds = append(crds, merged(both[0], both[1]))
	}
	return crds, nil
}

// merged returns a definition with the versions of both, of which only those of the first are kept in the store.
func merged(first, second object) object {
	first = first.copied()
	versions, _ := first.at("spec", "versions").([]any)
	more, _ := second.at("spec", "versions").([]any)
	for _, version := range more {
		if v, ok := version.(map[string]any); ok {
			v = copiedMap(v)
			v["storage"] = false
			versions = append(versions, v)
		}
	}
	first.set(versions, "spec", "versions")
	return first
}

// serverVersion reads what kubectl version says, without the v.
func serverVersion(out []byte) (string, error) {
	var said struct {
		ServerVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"serverVersion"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return "", fmt.Errorf("read version of the server: %w", err)
	}
	return strings.TrimPrefix(said.ServerVersion.GitVersion, "v"), nil
}
