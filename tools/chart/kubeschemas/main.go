// Command kubeschemas writes strict JSON schemas for kubeconform, of the kinds
// that the chart renders: those of Kubernetes from the OpenAPI description in the
// module k8s.io/kubernetes, those of custom resources from the definitions in
// their projects' modules. Strict: a field that a kind does not have is refused.
//
// usage: kubeschemas DIR KUBERNETES_VERSION...
//
// The modules come through go mod download. DIR/vVERSION-standalone-strict/
// appears whole or not at all.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"postident-bridge/tools/chart/definitions"
)

// kinds are the definitions of Kubernetes that the chart renders.
var kinds = []string{
	"io.k8s.api.core.v1.ConfigMap",
	"io.k8s.api.core.v1.Pod",
	"io.k8s.api.core.v1.Service",
	"io.k8s.api.core.v1.ServiceAccount",
	"io.k8s.api.apps.v1.Deployment",
	"io.k8s.api.apps.v1.StatefulSet",
	"io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
	"io.k8s.api.batch.v1.Job",
	"io.k8s.api.networking.v1.Ingress",
	"io.k8s.api.networking.v1.NetworkPolicy",
	"io.k8s.api.policy.v1.PodDisruptionBudget",
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kubeschemas DIR KUBERNETES_VERSION...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "kubeschemas:", err)
		os.Exit(1)
	}
}

func run(dir string, versions []string) error {
	for _, version := range versions {
		out := filepath.Join(dir, "v"+version+"-standalone-strict")
		if err := whole(out, func(part string) error { return kubernetes(part, version) }); err != nil {
			return fmt.Errorf("write schemas of Kubernetes %s: %w", version, err)
		}
	}
	out := filepath.Join(dir, "custom")
	if err := whole(out, custom); err != nil {
		return fmt.Errorf("write schemas of custom resources: %w", err)
	}
	return nil
}

// whole lets fill write into a directory that takes its name once it is
// complete. One that is there already is left as it is.
func whole(dir string, fill func(part string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o750); err != nil {
		return err
	}
	if err := fill(part); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

// schema is a JSON schema, or the part of an OpenAPI description that is one.
type schema = map[string]any

func kubernetes(dir, version string) error {
	content, err := definitions.File{Module: "k8s.io/kubernetes@v" + version, Path: "api/openapi-spec/swagger.json"}.Read(context.Background())
	if err != nil {
		return err
	}
	var description struct{ Definitions map[string]schema }
	if err := json.Unmarshal(content, &description); err != nil {
		return fmt.Errorf("read the OpenAPI description: %w", err)
	}
	for _, name := range kinds {
		definition, ok := description.Definitions[name]
		if !ok {
			return fmt.Errorf("the OpenAPI description has no %s", name)
		}
		of := definition["x-kubernetes-group-version-kind"].([]any)[0].(schema)
		group, apiVersion, kind := of["group"].(string), of["version"].(string), of["kind"].(string)
		if err := write(dir, group, apiVersion, kind, standalone(definition, description.Definitions)); err != nil {
			return err
		}
	}
	return nil
}

func custom(dir string) error {
	for _, r := range definitions.CustomResources {
		content, err := r.Read(context.Background())
		if err != nil {
			return err
		}
		var definition struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema schema }
				}
			}
		}
		if err := yaml.Unmarshal(content, &definition); err != nil {
			return fmt.Errorf("read %s: %w", r.Path, err)
		}
		for _, v := range definition.Spec.Versions {
			closed := standalone(v.Schema.OpenAPIV3Schema, nil)
			// A custom resource's definition leaves its metadata to Kubernetes.
			closed["properties"].(schema)["metadata"] = schema{"type": "object"}
			if err := write(dir, definition.Spec.Group, v.Name, definition.Spec.Names.Kind, closed); err != nil {
				return err
			}
		}
	}
	return nil
}

// standalone copies a schema with its references replaced by what they refer
// to, and every object closed that names its properties. None of the kinds
// refers to itself.
func standalone(s schema, definitions map[string]schema) schema {
	if ref, ok := s["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		switch {
		case strings.HasSuffix(name, ".intstr.IntOrString"):
			return oneOf("string", "integer")
		case strings.HasSuffix(name, ".resource.Quantity"):
			return oneOf("string", "number")
		}
		return standalone(definitions[name], definitions)
	}
	if s["format"] == "int-or-string" || s["x-kubernetes-int-or-string"] == true {
		return oneOf("string", "integer")
	}
	out := schema{}
	for _, key := range []string{"type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"} {
		if value, ok := s[key]; ok {
			out[key] = value
		}
	}
	if items, ok := s["items"].(schema); ok {
		out["items"] = standalone(items, definitions)
	}
	if properties, ok := s["properties"].(schema); ok {
		closed := schema{}
		for name, property := range properties {
			closed[name] = standalone(property.(schema), definitions)
		}
		out["properties"] = closed
		if s["x-kubernetes-preserve-unknown-fields"] != true {
			out["additionalProperties"] = false
		}
	} else if values, ok := s["additionalProperties"].(schema); ok {
		out["additionalProperties"] = standalone(values, definitions)
	}
	return out
}

func oneOf(types ...string) schema { return schema{"type": types} }

// write names the file as kubeconform looks for it: kind, first part of the
// group, version.
func write(dir, group, version, kind string, s schema) error {
	apiVersion, parts := version, []string{strings.ToLower(kind)}
	if group != "" {
		apiVersion = group + "/" + version
		first, _, _ := strings.Cut(group, ".")
		parts = append(parts, first)
	}
	properties := s["properties"].(schema)
	properties["apiVersion"] = schema{"const": apiVersion}
	properties["kind"] = schema{"const": kind}
	required, _ := s["required"].([]any) // most definitions of Kubernetes have none
	s["required"] = append([]any{"apiVersion", "kind", "metadata"}, required...)
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, strings.Join(append(parts, version), "-")+".json"), content, 0o600)
}
