package testbed

import (
	"context"
	"errors"
	"os"
)

const registryScript = "tools/registry"

// RegistryOptions say what registry to start.
type RegistryOptions struct {
	// Kafka keeps the schemas; nil keeps them in a file.
	Kafka *Kafka
	// Username and Password make it ask for basic authentication.
	Username, Password string
	// Dir holds its data and log; "" is a temporary directory. It goes with Down,
	// and with the end of this process.
	Dir string
}

// Registry is a real schema registry, Apicurio's by its Confluent-compatible
// API. Its level of compatibility is BACKWARD until something sets another.
// Unlike Confluent's, it counts a schema that differs only in doc or defaults as
// the old one.
type Registry struct {
	// URL is the base of its API, without credentials.
	URL string
	// Dir holds its log.
	Dir string

	env, args []string // of the start
}

// StartRegistry starts a registry and returns when it serves. The error is a
// LackingError where Java is missing.
func StartRegistry(ctx context.Context, o RegistryOptions) (*Registry, error) {
	dir, err := dataDir(o.Dir, "registry")
	if err != nil {
		return nil, err
	}
	env := []string{owner("REGISTRY_OWNER")}
	if o.Username != "" {
		env = append(env, "REGISTRY_AUTH="+o.Username+":"+o.Password)
	}
	var args []string
	if o.Kafka != nil {
		args = append(args, "0", o.Kafka.Bootstrap)
	}
	r := &Registry{Dir: dir, env: env, args: args}
	if r.URL, err = begin(ctx, registryScript, env, append([]string{"up", dir}, args...)...); err != nil {
		return nil, errors.Join(err, r.Down(ctx))
	}
	return r, nil
}

// Down ends the registry and removes its data.
func (r *Registry) Down(ctx context.Context) error {
	return errors.Join(signal(ctx, registryScript, "down", r.Dir), os.RemoveAll(r.Dir))
}

// Pause stops the registry's process where it stands (SIGSTOP).
func (r *Registry) Pause(ctx context.Context) error {
	return signal(ctx, registryScript, "pause", r.Dir)
}

// Resume lets a paused registry go on (SIGCONT).
func (r *Registry) Resume(ctx context.Context) error {
	return signal(ctx, registryScript, "resume", r.Dir)
}

// Kill ends the registry at once (SIGKILL). What it acknowledged is kept.
func (r *Registry) Kill(ctx context.Context) error {
	return signal(ctx, registryScript, "kill", r.Dir)
}

// Start starts a registry that was killed, at the same address and with its
// data, and returns when it serves.
func (r *Registry) Start(ctx context.Context) error {
	_, err := Run(context.WithoutCancel(ctx), registryScript, r.env, append([]string{"up", r.Dir}, r.args...)...)
	return err
}
