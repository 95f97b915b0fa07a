package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// recordsGround is a store of which the test can see the files.
type recordsGround struct {
	url string
	dir string // holds a file for each object, by its name
	env []string
}

func directoryGround(t *testing.T) recordsGround {
	t.Helper()
	dir := t.TempDir()
	return recordsGround{url: "file://" + dir, dir: dir}
}

func s3Ground(t *testing.T) recordsGround {
	t.Helper()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	return recordsGround{
		url: server.URL("records", "bridge"), dir: filepath.Join(server.Dir, "data", "records", "bridge"), env: server.Credentials(),
	}
}

// objects are the names of the bridge's objects that are there.
func (g recordsGround) objects(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(g.dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file, or nothing was stored yet
		}
		if err != nil {
			return err
		}
		if name, err := filepath.Rel(g.dir, path); err == nil {
			if _, ok := claim.ParseName(filepath.ToSlash(name)); ok {
				names = append(names, filepath.ToSlash(name))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (g recordsGround) file(name string) string {
	return filepath.Join(g.dir, filepath.FromSlash(name))
}

// write puts an object there that is as old as asked for.
func (g recordsGround) write(t *testing.T, name, content string, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(g.file(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.file(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	g.age(t, name, age)
}

func (g recordsGround) age(t *testing.T, name string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := os.Chtimes(g.file(name), then, then); err != nil {
		t.Fatal(err)
	}
}

func (g recordsGround) there(name string) bool {
	_, err := os.Stat(g.file(name))
	return err == nil
}

// recordsWorld is a simulated API, and a bridge as a process that keeps records.
type recordsWorld struct {
	*world

	ground recordsGround
	bridge *replica
}

const recordsPrefix = "records."

func newRecordsWorld(t *testing.T, seeds []string, g recordsGround) *recordsWorld {
	t.Helper()
	entrance := &lab.Entrance{Client: &http.Client{Timeout: 5 * time.Second}}
	t.Cleanup(entrance.Client.CloseIdleConnections)
	front := httptest.NewServer(entrance)
	t.Cleanup(front.Close)
	accounts := scrsim.ExampleAccounts(front.URL)
	sim, err := scrsim.New(scrsim.Config{Accounts: accounts, Seed: 7, TimeScale: 60})
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(sim.Handler())
	t.Cleanup(api.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w := &recordsWorld{ground: g, world: &world{
		prefix: recordsPrefix, binary: buildBridge(t), seeds: seeds, accounts: accounts, sim: sim,
		env: append(bridgeEnviron(api.URL, accounts), "BRIDGE_KAFKA_BROKERS="+strings.Join(seeds, ","), "BRIDGE_TOPIC_PREFIX="+recordsPrefix,
			"BRIDGE_WEBHOOK_ALLOWED_IPS=127.0.0.1", "BRIDGE_KAFKA_GROUP_INSTANCE_ID=records", "BRIDGE_RECORDS_URL="+g.url),
	}}
	w.env = append(w.env, g.env...)
	for i := range accounts {
		for name, value := range map[string]string{"RSA_BITS": "2048", "PAYLOAD": payloadResult, "RECORDS": recordsAll} {
			w.env = append(w.env, fmt.Sprintf("BRIDGE_ACCOUNT_%d_%s=%s", i+1, name, value))
		}
	}
	w.world.bridge(t, "topics", "apply", "--replication", "1", "--partitions", "3", "--result-retention", "720h")
	w.bridge = newReplica(t, w.world, 0)
	w.bridge.args = []string{"run", "--roles", roleWebhook + "," + roleProcess}
	w.replicas = []*replica{w.bridge}
	entrance.Set([]string{w.bridge.webhook})
	return w
}

// records runs a verb of records, and gives what it printed and its exit code.
func (w *recordsWorld) records(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.binary, append([]string{"records"}, args...)...)
	cmd.Env = w.env
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	searchSecrets(t, map[string]string{"stdout": out.String(), "stderr": said.String()})
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// checkRecords runs `records check`, which has to end with a code.
func (w *recordsWorld) checkRecords(t *testing.T, code int, args ...string) recordsDocument {
	t.Helper()
	return recordsJSON[recordsDocument](t, w, code, append([]string{"check"}, args...)...)
}

func (w *recordsWorld) sweepRecords(t *testing.T, args ...string) sweptDocument {
	t.Helper()
	return recordsJSON[sweptDocument](t, w, exitDone, append([]string{"sweep"}, args...)...)
}

func recordsJSON[T any](t *testing.T, w *recordsWorld, code int, args ...string) T {
	t.Helper()
	stdout, stderr, got := w.records(t, append(args, "--json")...)
	var doc T
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || got != code {
		t.Fatalf("records %v: exit %d, want %d, %v\n%s%s", args, got, code, err, stdout, stderr)
	}
	return doc
}

// finish creates a case and lets it go to its end; it is false for one that has no
// final state with records.
func (w *recordsWorld) finish(t *testing.T, clientID string) (caseID string, ok bool) {
	t.Helper()
	info, err := w.sim.Create(scrsim.NewCase{ClientID: clientID})
	if err != nil {
		t.Fatal(err)
	}
	final := false
	for {
		step, err := w.sim.Advance(info.CaseID)
		if errors.Is(err, scrsim.ErrAtEnd) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		final = step.Change.StatusType == "final" && step.Hooked
		if step.AtEnd {
			break
		}
	}
	records, err := w.sim.Records(info.CaseID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		ok = ok || r.Given && final
	}
	return info.CaseID, ok
}

// events are the published ones, by case.
func (w *recordsWorld) events(t *testing.T) map[string][]audit.Published {
	t.Helper()
	published, err := audit.ReadStatus(t.Context(), w.opts(), w.prefix+"status.v1", schemas.NewStatusDecoder(nil))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]audit.Published)
	for _, p := range published {
		out[p.Event.CaseID] = append(out[p.Event.CaseID], p)
	}
	return out
}

// sources are the topics that name objects.
func (w *recordsWorld) sources() audit.RecordSources {
	return audit.RecordSources{
		Status: audit.Scan{Kafka: w.opts(), Topic: w.prefix + "status.v1"}, Result: audit.Scan{Kafka: w.opts(), Topic: w.prefix + "result.v1"},
		StatusDecoder: schemas.NewStatusDecoder(nil), ResultDecoder: schemas.NewResultDecoder(nil),
	}
}

// named are the names of the objects that events name.
func named(events map[string][]audit.Published) map[string]bool {
	out := make(map[string]bool)
	for _, of := range events {
		for i := range of {
			for j := range of[i].Event.Records {
				if r, ok := of[i].Event.Records[j].StoredAs(); ok {
					out[audit.ObjectName(r.Location)] = true
				}
			}
		}
	}
	return out
}

// awaitRecords waits until each case has an event that names its records.
func (w *recordsWorld) awaitRecords(t *testing.T, cases []string) {
	t.Helper()
	eventually(t, "the records of all cases are named", func() bool {
		have := make(map[string]bool)
		for name := range named(w.events(t)) {
			key, _ := claim.ParseName(name)
			have[key.CaseID] = true
		}
		for _, caseID := range cases {
			if !have[caseID] {
				return false
			}
		}
		return true
	})
}

// put writes records to the status topic, as nobody else should.
func (w *recordsWorld) put(t *testing.T, values ...[]byte) {
	t.Helper()
	client, err := kgo.NewClient(w.opts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, value := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: w.prefix + "status.v1", Key: []byte("CASE"), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}
