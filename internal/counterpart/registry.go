package counterpart

import (
	"testing"

	"postident-bridge/internal/testbed"
)

// Registry is a real schema registry; see testbed.Registry for which.
type Registry struct {
	// URL is the base of its API, without credentials.
	URL string

	process *testbed.Registry
}

// StartRegistry starts a registry that ends with the test. It keeps its schemas
// in the cluster, or in a file if that is nil.
func StartRegistry(tb testing.TB, kafka *Kafka) *Registry {
	tb.Helper()
	var o testbed.RegistryOptions
	if kafka != nil {
		o.Kafka = kafka.cluster
	}
	return startRegistry(tb, o)
}

// StartSecuredRegistry starts a registry that asks for basic authentication.
func StartSecuredRegistry(tb testing.TB, username, password string) *Registry {
	tb.Helper()
	return startRegistry(tb, testbed.RegistryOptions{Username: username, Password: password})
}

func startRegistry(tb testing.TB, o testbed.RegistryOptions) *Registry {
	tb.Helper()
	unlessShort(tb, reportRegistry)
	process, err := testbed.StartRegistry(tb.Context(), o)
	outcome(tb, reportRegistry, err)
	tb.Cleanup(func() {
		if err := process.Down(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	return &Registry{URL: process.URL, process: process}
}

// Pause stops the registry's process where it stands (SIGSTOP).
func (r *Registry) Pause(tb testing.TB) {
	tb.Helper()
	if err := r.process.Pause(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Resume lets a paused registry go on (SIGCONT).
func (r *Registry) Resume(tb testing.TB) {
	tb.Helper()
	if err := r.process.Resume(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}
