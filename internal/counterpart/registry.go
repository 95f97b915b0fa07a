package counterpart

import (
	"os"
	"strings"
	"testing"
)

const registryScript = "tools/registry"

// Registry is a real schema registry, Apicurio's by its Confluent-compatible
// API. Its level of compatibility is BACKWARD until something sets another.
// Unlike Confluent's, it counts a schema that differs only in doc or defaults as
// the old one.
type Registry struct {
	// URL is the base of its API, without credentials.
	URL string

	dir string
}

// StartRegistry starts a registry that ends with the test. It keeps its schemas
// in the cluster, or in a file if that is nil.
func StartRegistry(tb testing.TB, kafka *Kafka) *Registry {
	tb.Helper()
	if kafka == nil {
		return startRegistry(tb, nil)
	}
	return startRegistry(tb, nil, "0", kafka.Bootstrap)
}

// StartSecuredRegistry starts a registry that asks for basic authentication.
func StartSecuredRegistry(tb testing.TB, username, password string) *Registry {
	tb.Helper()
	return startRegistry(tb, []string{"REGISTRY_AUTH=" + username + ":" + password})
}

func startRegistry(tb testing.TB, env []string, args ...string) *Registry {
	tb.Helper()
	r := &Registry{dir: temporaryDir(tb, "registry")}
	tb.Cleanup(func() {
		signal(tb, registryScript, "down", r.dir)
		if err := os.RemoveAll(r.dir); err != nil {
			tb.Error(err)
		}
	})
	url := begin(tb, reportRegistry, registryScript, append(env, owner("REGISTRY_OWNER")), append([]string{"up", r.dir}, args...)...)
	r.URL = strings.TrimSpace(url)
	return r
}

// Pause stops the registry's process where it stands (SIGSTOP).
func (r *Registry) Pause(tb testing.TB) { tb.Helper(); signal(tb, registryScript, "pause", r.dir) }

// Resume lets a paused registry go on (SIGCONT).
func (r *Registry) Resume(tb testing.TB) { tb.Helper(); signal(tb, registryScript, "resume", r.dir) }
