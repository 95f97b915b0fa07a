package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// classWorld is a bridge whose accounts publish results and keep records, and all
// that it gives away: topics, store, log, metrics, traces.
type classWorld struct {
	t        *testing.T
	kafka    []kgo.Opt
	names    topicNames
	accounts []scrsim.Account
	kept     map[string]bool // clientIds that keep unknown fields
	sim      *scrsim.Simulator
	store    string
	bridge   *program
	cases    []classCase
	lost     map[string]bool // cases that are in the dead letters
}

// classCase is a case of one identification.
type classCase struct {
	id      string
	account *scrsim.Account
	method  string
}

// The kinds of accounts that each class has.
const (
	accountPlain  = iota // drops unknown fields, from an API of today
	accountLegacy        // from one that writes empty fields as release 16 did
	accountKeeps         // keeps unknown fields
	accountKinds
)

var allClasses = []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility}

// collectSpans starts a collector of spans, for the variables of OTLP.
func collectSpans(t *testing.T, spans *lockedBuffer) (endpoint string) {
	t.Helper()
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(spans, r.Body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(collector.Close)
	return collector.URL
}

// newClassWorld starts a bridge. Its API sends each account also what its class
// and the methods forbid, and fields that nobody knows, on every occasion.
func newClassWorld(t *testing.T, records scrsim.Records, telemetry ...string) *classWorld {
	t.Helper()
	w := &classWorld{t: t, names: namesOfTopics("classes."), kept: make(map[string]bool), store: t.TempDir()}
	broker, environ := startBroker(t)
	w.kafka = []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}
	webhook := freeAddress(t)
	for _, class := range allClasses {
		for kind := range accountKinds {
			id := fmt.Sprintf("SIM%s%d", strings.ToUpper(string(class)), kind)
			w.accounts = append(w.accounts, scrsim.Account{
				ClientID: id, Class: class, Methods: allMethods, DrivingLicence: true, Records: records,
				Credentials: []scrsim.Credential{{Username: id + ".SCR", Password: "sim-password-" + id, DataPassword: "sim-data-" + id}},
				Webhook:     scrsim.Webhook{URL: "http://" + webhook + "/webhooks/" + id, ReferenceID: true},
				Wire:        scrsim.Wire{Forbidden: true, UnknownFields: 0.3, LegacyEmpty: kind == accountLegacy},
			})
			a := &w.accounts[len(w.accounts)-1]
			a.Records.SplitPDF, a.Records.EIDImages = kind == accountLegacy, true
			w.kept[id] = kind == accountKeeps
		}
	}
	w.simulate()
	api := httptest.NewServer(w.sim.Handler())
	t.Cleanup(api.Close)
	environ = append(append(environ, bridgeEnviron(api.URL, w.accounts)...),
		"BRIDGE_TOPIC_PREFIX=classes.", "BRIDGE_WEBHOOK_ADDR="+webhook, "BRIDGE_ADMIN_ADDR=127.0.0.1:0",
		"BRIDGE_LOG_LEVEL=debug", "BRIDGE_RECORDS_URL=file://"+w.store, "BRIDGE_RECORDS_WAIT=1s", "BRIDGE_RECORDS_AT_ONCE=4",
		"BRIDGE_POLL_CLOSED_EVERY=2s", "BRIDGE_POLL_OPEN_EVERY=2s")
	environ = append(environ, telemetry...)
	for i, a := range w.accounts {
		prefix := fmt.Sprintf("BRIDGE_ACCOUNT_%d_", i+1)
		environ = append(environ, prefix+"PAYLOAD=result", prefix+"RECORDS=all", prefix+"RSA_BITS=2048")
		if w.kept[a.ClientID] {
			environ = append(environ, prefix+"UNKNOWN_FIELDS=keep")
		}
	}
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "3", "--result-retention", "24h"); got.code != exitDone {
		t.Fatal(got)
	}
	w.bridge = startHooked(t, hooks{faultPauses: []time.Duration{50 * time.Millisecond, 50 * time.Millisecond}}, environ, "run")
	eventually(t, "the bridge is ready", func() bool {
		code, _ := httpGet(t, "http://"+w.bridge.where.Admin+"/readyz")
		return code == http.StatusOK
	})
	return w
}

func (w *classWorld) simulate() {
	w.t.Helper()
	var err error
	if w.sim, err = scrsim.New(scrsim.Config{Accounts: w.accounts, Seed: 5}); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.sim.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// play has a case end with one step, of which a webhook tells.
func (w *classWorld) play(a *scrsim.Account, step scrsim.Step) {
	w.t.Helper()
	info, err := w.sim.Create(scrsim.NewCase{ClientID: a.ClientID, Plan: &scrsim.Plan{Steps: []scrsim.Step{step}}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.sim.Advance(info.CaseID); err != nil {
		w.t.Fatal(err)
	}
	w.cases = append(w.cases, classCase{info.CaseID, a, step.Method})
}

// keepUp waits until the bridge has read what happened: what waits for its turn comes
// back later and later.
func (w *classWorld) keepUp() {
	w.t.Helper()
	eventually(w.t, "the bridge keeps up", func() bool {
		s := w.sim.Status()
		return s.HooksPending == 0 && s.Seen == s.Changes
	})
}

// account is one of a class by its kind.
func (w *classWorld) account(class, kind int) *scrsim.Account {
	return &w.accounts[class*accountKinds+kind]
}

// published waits until each case has its result, and no event waits for its
// records, and returns results and events, by case.
func (w *classWorld) published() (results map[string]*kgo.Record, events map[string][]schemas.StatusChanged) {
	w.t.Helper()
	statuses := schemas.NewStatusDecoder(nil)
	eventually(w.t, "each case has its result and its records", func() bool {
		results, events = make(map[string]*kgo.Record), make(map[string][]schemas.StatusChanged)
		for _, r := range w.records(kgo.ReadCommitted(), w.names.Result) {
			results[string(r.Key)] = r
		}
		waiting := make(map[string]bool)
		for _, r := range w.records(kgo.ReadCommitted(), w.names.Status) {
			event, err := statuses.Decode(w.t.Context(), r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			events[event.CaseID] = append(events[event.CaseID], event)
			waiting[event.CaseID] = event.RecordsState != nil && *event.RecordsState == schemas.RecordsStatePending
		}
		for _, c := range w.cases {
			if results[c.id] == nil || len(events[c.id]) == 0 || waiting[c.id] {
				return false
			}
		}
		return true
	})
	return results, events
}

// records reads topics from their start to where they end now; uncommitted, with
// what was aborted.
func (w *classWorld) records(level kgo.IsolationLevel, topics ...string) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level),
		kgo.FetchMaxWait(50 * time.Millisecond), kgo.KeepControlRecords(),
	}, w.kafka...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	type place struct {
		topic     string
		partition int32
	}
	left := make(map[place]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[place{o.Topic, o.Partition}] = o.Offset
		}
	})
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("read topics: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if at := (place{r.Topic, r.Partition}); r.Offset+1 >= left[at] {
				delete(left, at)
			}
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		})
	}
	return all
}

// storedFile is a file of the store.
type storedFile struct {
	name    string // with its directories
	content []byte
}

// isObject says that the file is a record's content, and no metadata.
func (f storedFile) isObject() bool { return !strings.HasSuffix(f.name, ".attrs") }

// digest is what an object's name says of its content.
func (f storedFile) digest() string {
	name := filepath.Base(f.name)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

func (w *classWorld) stored() []storedFile {
	w.t.Helper()
	var files []storedFile
	err := filepath.WalkDir(w.store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files = append(files, storedFile{strings.TrimPrefix(path, w.store), content})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// outputs are the metrics, and when the bridge has stopped, the log and the traces.
func (w *classWorld) outputs(spans *lockedBuffer) map[string][]byte {
	w.t.Helper()
	_, metrics := httpGet(w.t, "http://"+w.bridge.where.Admin+"/metrics")
	if code := w.bridge.stop(); code != exitDone {
		w.t.Errorf("exit %d", code)
	}
	return map[string][]byte{
		"metrics": []byte(metrics), "log": w.bridge.stderr.bytes(), "stdout": w.bridge.stdout.bytes(), "traces": spans.bytes(),
	}
}

var leafMarks = sync.OnceValue(scrsim.Canaries)

// hasMark reports whether a text holds one of the simulator's marks.
func hasMark(text string, marks []string) bool {
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// referencesOf are the digests of the records that events name.
func referencesOf(events map[string][]schemas.StatusChanged) map[string]bool {
	named := make(map[string]bool)
	for _, list := range events {
		for i := range list {
			for j := range list[i].Records {
				if ref, ok := list[i].Records[j].StoredAs(); ok {
					named[hex.EncodeToString(ref.SHA256)] = true
				}
			}
		}
	}
	return named
}
