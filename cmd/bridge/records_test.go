package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// P6: each difference between topics and store that is planted alone is found in
// its class, and nothing else is. Orphans are swept, and nothing but orphans.
func TestRecordsAreCheckedAndSwept(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		checkedAndSwept(t, directoryGround(t))
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		checkedAndSwept(t, s3Ground(t))
	})
}

func checkedAndSwept(t *testing.T, g recordsGround) {
	t.Helper()
	broker, _ := startBroker(t)
	w := newRecordsWorld(t, broker.ListenAddrs(), g)
	w.bridge.start(t)
	var cases []string
	for len(cases) < 6 {
		if caseID, ok := w.finish(t, "SIMGWG01"); ok {
			cases = append(cases, caseID)
		}
	}
	w.awaitRecords(t, cases)
	w.settle(t)

	clean := w.checkRecords(t, exitDone)
	objects := w.ground.objects(t)
	if clean.Named != len(objects) || clean.Kinds["intact"] != int64(len(objects)) || clean.Objects != int64(len(objects)) || clean.Young != 0 {
		t.Fatalf("%d objects, %+v", len(objects), clean)
	}
	if len(g.env) == 0 { // in this process too, where the race detector sees it
		if got := runMain(t, w.env, "records", "check"); got.code != exitDone || !strings.Contains(got.stdout, "\nintact   ") {
			t.Errorf("in process: %v", got)
		}
	}
	t.Run("orphans", func(t *testing.T) { w.orphansAreSwept(t, objects) })
	t.Run("hidden", func(t *testing.T) { w.hiddenEventsKeepEverything(t, objects[0]) })
	t.Run("objects", func(t *testing.T) { w.damageIsFound(t, objects) })
	t.Run("references", func(t *testing.T) { w.wrongReferencesAreFound(t, cases, w.ground.objects(t)) })
	t.Run("unreadable", func(t *testing.T) { w.unreadableValuesKeepEverything(t, w.ground.objects(t)[0]) })
	t.Run("store", func(t *testing.T) { w.storeThatIsAwayIsNoMissingObject(t) })
	w.bridge.stop(t)
}

// beside is the name of another object of the same case.
func beside(name, content string) string {
	key, _ := claim.ParseName(name)
	sum := sha256.Sum256([]byte(content))
	key.SHA256 = hex.EncodeToString(sum[:])
	return key.Name()
}

const old = 25 * time.Hour

// differing are the counts of a check but for what is intact.
func differing(doc recordsDocument) map[string]int64 {
	out := make(map[string]int64)
	for kind, n := range doc.Kinds {
		if n > 0 && kind != "intact" {
			out[kind] = n
		}
	}
	return out
}

func (w *recordsWorld) expectKinds(t *testing.T, doc recordsDocument, want map[string]int64) {
	t.Helper()
	if diff := cmp.Diff(want, differing(doc)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func (w *recordsWorld) orphansAreSwept(t *testing.T, objects []string) {
	t.Helper()
	g := w.ground
	key, _ := claim.ParseName(objects[0])
	key.CaseID = "NOBODYKNOWS1"
	orphan, leftover, young, unknown := beside(objects[0], "orphan"), objects[1]+".1f.tmp", beside(objects[0], "young"), key.Name()
	g.write(t, orphan, "orphan", old)
	g.write(t, leftover, "left", old)
	g.write(t, unknown, "unknown", old)
	g.write(t, young, "young", claim.MinOrphanAge-time.Hour)
	g.write(t, "notes/2026.txt", "somebody's", old)
	for _, name := range objects { // what is named stays, however old it is
		g.age(t, name, 2*old)
	}

	doc := w.checkRecords(t, exitFailed)
	w.expectKinds(t, doc, map[string]int64{kindOrphan: 2, kindUnproven: 1})
	if doc.Young != 1 || doc.Foreign != 1 {
		t.Errorf("%+v", doc.listing)
	}
	shown, _, code := w.records(t, "check")
	if contains(t, shown, "\norphan    2        no event ever named it\n", orphan, leftover, " 1 too young to judge, 1 not the bridge's.\n"); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	w.expectKinds(t, w.checkRecords(t, exitDone, "--account", "SIMSTD01"), map[string]int64{})
	w.expectKinds(t, w.checkRecords(t, exitFailed, "--case", "NOBODYKNOWS1"), map[string]int64{kindUnproven: 1})
	w.expectKinds(t, w.checkRecords(t, exitDone, "--older-than", "48h"), map[string]int64{})

	if dry := w.sweepRecords(t, "--dry-run"); dry.Orphans != 2 || dry.Deleted != 0 || dry.Unproven != 1 || dry.Bytes != 10 || !g.there(orphan) || !g.there(leftover) {
		t.Errorf("dry: %+v", dry)
	}
	shown, _, _ = w.records(t, "sweep", "--dry-run")
	contains(t, shown, "Would delete 2 orphans, 10 bytes. Nothing was deleted.\n1 object left alone")
	shown, _, code = w.records(t, "sweep")
	if contains(t, shown, orphan, "2 orphans deleted, 10 bytes.\n1 object left alone that an expired event may have named: --expired-ok.\n"); code != exitDone {
		t.Errorf("exit %d", code)
	}
	for name, want := range map[string]bool{orphan: false, leftover: false, unknown: true, young: true, "notes/2026.txt": true} {
		if g.there(name) != want {
			t.Errorf("%s is there: %t", name, !want)
		}
	}
	if again := w.sweepRecords(t); again.Orphans != 0 || again.Unproven != 1 {
		t.Errorf("again: %+v", again)
	}
	if all := w.sweepRecords(t, "--expired-ok"); all.Deleted != 1 || g.there(unknown) {
		t.Errorf("expired: %+v", all)
	}
	w.expectKinds(t, w.checkRecords(t, exitDone), map[string]int64{})
	if after := g.objects(t); len(after) != len(objects)+1 {
		t.Errorf("%d objects are left, want %d and a young one", len(after), len(objects))
	}
}

// What stands behind an open transaction may name an object.
func (w *recordsWorld) hiddenEventsKeepEverything(t *testing.T, object string) {
	t.Helper()
	g := w.ground
	orphan := beside(object, "hidden")
	g.write(t, orphan, "hidden", old)
	client, err := kgo.NewClient(append(w.opts(), kgo.TransactionalID("hides"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: w.prefix + "status.v1", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := w.records(t, "sweep")
	if contains(t, stderr, "nothing more is deleted", "a transaction is open"); code != exitFailed || !g.there(orphan) {
		t.Errorf("exit %d", code)
	}
	_, stderr, _ = w.records(t, "check")
	contains(t, stderr, "warning: records.status.v1/", "a transaction is open")
	w.expectKinds(t, w.checkRecords(t, exitFailed), map[string]int64{kindUnproven: 1})
	if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if swept := w.sweepRecords(t); swept.Deleted != 1 || g.there(orphan) {
		t.Errorf("%+v", swept)
	}
}

func (w *recordsWorld) damageIsFound(t *testing.T, objects []string) {
	t.Helper()
	g := w.ground
	content, err := os.ReadFile(g.file(objects[2]))
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string][]byte)
	for _, name := range objects[:3] {
		if kept[name], err = os.ReadFile(g.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	content[len(content)/2] ^= 1
	if err := os.Remove(g.file(objects[0])); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(g.file(objects[1]), 10); err != nil {
		t.Fatal(err)
	}
	g.write(t, objects[2], string(content), 0)
	doc := w.checkRecords(t, exitFailed)
	w.expectKinds(t, doc, map[string]int64{"missing": 1, "wrong_size": 1, "wrong_digest": 1})
	for _, d := range doc.Differences {
		want := map[string]string{"missing": objects[0], "wrong_size": objects[1], "wrong_digest": objects[2]}[d.Kind]
		if !strings.HasSuffix(d.Object, "/"+want) || !strings.HasPrefix(d.Event, w.prefix) {
			t.Errorf("%+v, want %s", d, want)
		}
	}
	fast := w.checkRecords(t, exitFailed, "--no-digest")
	w.expectKinds(t, fast, map[string]int64{"missing": 1, "wrong_size": 1})
	key, _ := claim.ParseName(objects[0])
	if of := w.checkRecords(t, exitFailed, "--case", key.CaseID); of.Kinds["missing"] != 1 || of.Named >= doc.Named {
		t.Errorf("of its case: %+v", of)
	}
	for name, content := range kept {
		g.write(t, name, string(content), 0)
	}
	w.expectKinds(t, w.checkRecords(t, exitDone), map[string]int64{})
}

// wrongReferencesAreFound has somebody else write to the topic.
func (w *recordsWorld) wrongReferencesAreFound(t *testing.T, cases, objects []string) {
	t.Helper()
	template := w.events(t)[cases[0]][0].Event
	write := func(r schemas.RecordReference) {
		e := template
		m := schemas.RecordMetadata{RecordID: "1"}
		m.SetReference(r)
		e.Records = []schemas.RecordMetadata{m}
		value, err := schemas.NewSingleObjectStatusEncoder().Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, value)
	}
	var other string // of another case
	for _, name := range objects {
		if key, _ := claim.ParseName(name); key.CaseID != template.CaseID {
			other = name
		}
	}
	digest := make([]byte, sha256.Size)
	root, _, _ := strings.Cut(w.ground.url, "?")
	write(schemas.RecordReference{Location: "s3://elsewhere/" + other, SHA256: digest, Size: 1, MediaType: "image/png"})
	write(schemas.RecordReference{Location: root + "/" + other, SHA256: digest, Size: 1, MediaType: "image/png"})
	write(schemas.RecordReference{Location: "C:\\canary.pdf", SHA256: digest, Size: 1, MediaType: "image/png"})
	shown, stderr, _ := w.records(t, "check")
	if strings.Contains(shown+stderr, "canary.pdf") {
		t.Error("what cannot be a place is shown")
	}
	w.expectKinds(t, w.checkRecords(t, exitFailed), map[string]int64{"elsewhere": 1, kindAnotherCase: 1, kindMalformed: 1})
}

func (w *recordsWorld) unreadableValuesKeepEverything(t *testing.T, object string) {
	t.Helper()
	orphan := beside(object, "kept")
	w.ground.write(t, orphan, "kept", old)
	w.put(t, []byte("CANARY of somebody"))
	doc := w.checkRecords(t, exitFailed)
	if doc.Kinds[kindUnreadable] != 1 || doc.Kinds[kindUnproven] != 1 {
		t.Errorf("%+v", doc.Kinds)
	}
	_, stderr, code := w.records(t, "sweep", "--expired-ok")
	if contains(t, stderr, "1 values on the topics are no events, the first at records.status.v1/"); code != exitFailed || !w.ground.there(orphan) {
		t.Errorf("exit %d", code)
	}
}

// A store that is gone must not look as if every object were missing, and nothing
// is made in its place.
func (w *recordsWorld) storeThatIsAwayIsNoMissingObject(t *testing.T) {
	t.Helper()
	env, url, dir := w.env, w.ground.url, w.ground.dir
	defer func() { w.env = env }()
	if strings.HasPrefix(url, "file:") {
		w.env = append(append([]string{}, env...), "BRIDGE_RECORDS_URL=file://"+filepath.Join(dir, "nowhere"))
	} else {
		w.env = append(append([]string{}, env...), "BRIDGE_RECORDS_URL="+strings.Replace(url, "//records/", "//no-such-bucket/", 1))
	}
	for _, args := range [][]string{{"check"}, {"sweep"}} {
		stdout, stderr, code := w.records(t, args...)
		if code != exitFailed || strings.Contains(stdout, "missing") || !strings.Contains(stderr, "store refused") {
			t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 1_234_567: "1.2 MB", 20_000_000_000: "20.0 GB", 5_000_000_000_000_000: "5000.0 TB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
