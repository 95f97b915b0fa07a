package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// P5, P6, P7, "Shown by" 1 and 5 of the results: for each class and method, and
// with everything that the API should not send, what is forbidden is nowhere, what
// is personal is in the topic of results and in the store alone, what is allowed is
// in the result, and no topic holds a record's content or anything large.
func TestClassesGetWhatTheyMayHaveAndNothingElse(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	var spans lockedBuffer
	endpoint := collectSpans(t, &spans)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint) // the exporter reads it there
	w := newClassWorld(t, scrsim.SmallRecords(), "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint)
	for class := range allClasses {
		for _, method := range allMethods {
			for n := range 12 { // kinds of documents, and what a case leaves out
				w.play(w.account(class, n%accountKinds), scrsim.Step{Method: method, Status: scr.StatusSuccess})
			}
			for kind := range accountKinds { // a suspicion of fraud has images, too
				w.play(w.account(class, kind), scrsim.Step{Method: method, Status: scr.StatusDeclined, SubStatus: new(11)})
			}
			w.keepUp()
		}
	}
	w.published()
	w.breakAnswers()
	results, events := w.published()

	w.checkCells(results)
	files := w.stored()
	w.checkStore(files, events)
	topics := w.records(kgo.ReadUncommitted(), w.names.Inbox, w.names.CaseState, w.names.PollCursor, w.names.Status, w.names.Result, w.names.DeadLetter)
	w.searchEverything(topics, files, w.outputs(&spans))
	checkSizes(t, topics)
	searchContents(t, topics, files)
}

// The same with records as large as real ones ("Shown by" 5).
func TestLargeRecordsLeaveTopicsSmall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	sizes := scrsim.Sizes{Min: 300_000, Max: 400_000}
	w := newClassWorld(t, scrsim.Records{PDF: sizes, Image: scrsim.Sizes{Min: 60_000, Max: 250_000}})
	for _, method := range allMethods {
		for kind := range accountKinds {
			w.play(w.account(0, kind), scrsim.Step{Method: method, Status: scr.StatusSuccess})
		}
	}
	_, events := w.published()
	files := w.stored()
	w.checkStore(files, events)
	topics := w.records(kgo.ReadUncommitted(), w.names.Inbox, w.names.CaseState, w.names.PollCursor, w.names.Status, w.names.Result, w.names.DeadLetter)
	checkSizes(t, topics)
	searchContents(t, topics, files)
	if code := w.bridge.stop(); code != exitDone {
		t.Errorf("exit %d", code)
	}
}

// breakAnswers has the API break at cases, so that there are errors, retries and
// dead letters to be searched, and mends it.
func (w *classWorld) breakAnswers() {
	w.t.Helper()
	before := len(w.cases)
	faults := func(f scrsim.FaultSet) {
		if err := w.sim.SetFaults(scrsim.Faults{All: f}); err != nil {
			w.t.Fatal(err)
		}
	}
	faults(scrsim.FaultSet{PlainJSON: 0.4, WrongAlg: 0.3, WrongKey: 0.3})
	for i := range w.accounts {
		w.play(&w.accounts[i], scrsim.Step{Method: allMethods[i%len(allMethods)], Status: scr.StatusSuccess})
	}
	eventually(w.t, "there are dead letters", func() bool { return len(w.records(kgo.ReadCommitted(), w.names.DeadLetter)) >= 5 })
	// Content that is no base64: the records come late.
	faults(scrsim.FaultSet{BadBase64: 0.5})
	for i := range w.accounts {
		w.play(&w.accounts[i], scrsim.Step{Method: scr.MethodVideo, Status: scr.StatusSuccess})
	}
	log := func() []byte { return w.bridge.stderr.bytes() }
	eventually(w.t, "records are refused", func() bool { return bytes.Contains(log(), []byte("records_content")) })
	faults(scrsim.FaultSet{})
	// Nobody looks at those in the dead letters again. What was stored of them before
	// is an orphan.
	letters := make(map[string]bool)
	for _, r := range w.records(kgo.ReadCommitted(), w.names.DeadLetter) {
		letters[string(r.Key)] = true
	}
	w.cases = append(w.cases[:before:before], slices.DeleteFunc(w.cases[before:], func(c classCase) bool { return letters[c.id] })...)
	w.lost = letters
}

// classCell is a field of a class and a method.
type classCell struct {
	field  string
	class  scr.RegulatoryClass
	method string
}

// checkCells compares each answer of the API, leaf by leaf, with the result that
// came of it: each canary that is allowed is in it. That forbidden ones were sent,
// in each cell that the guide forbids, is what makes the search for them worth
// something.
func (w *classWorld) checkCells(results map[string]*kgo.Record) {
	w.t.Helper()
	allowed, forbidden, unknown := make(map[classCell]int), make(map[classCell]int), make(map[classCell]int)
	decoder := schemas.NewResultDecoder(nil)
	for _, c := range w.cases {
		answer, err := w.sim.Answer(c.id)
		if err != nil {
			w.t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(answer, &parsed); err != nil {
			w.t.Fatal(err)
		}
		value := results[c.id].Value
		result, err := decoder.Decode(w.t.Context(), value)
		if err != nil {
			w.t.Fatal(err)
		}
		if kept := len(result.UnknownFields) > 0; kept && !w.kept[c.account.ClientID] {
			w.t.Errorf("%s keeps unknown fields", c.account.ClientID)
		}
		walkLeaves("", parsed, func(path, text string, known bool) {
			at := classCell{path, c.account.Class, c.method}
			switch {
			case !known || strings.Contains(text, "CANARY-unknown"):
				unknown[at]++
				if !w.kept[c.account.ClientID] && strings.Contains(text, "CANARY-unknown") && bytes.Contains(value, []byte(text)) {
					w.t.Errorf("%s: the result has the unknown field %s", c.account.ClientID, path)
				}
			case hasMark(text, scrsim.ForbiddenCanaries()):
				forbidden[at]++
			case hasMark(text, leafMarks()):
				allowed[at]++
				if !bytes.Contains(value, []byte(text)) {
					w.t.Errorf("%s %s: the result has not %s", c.account.Class, c.method, path)
				}
			}
		})
	}
	w.checkForbiddenCells(forbidden)
	w.t.Logf("%d cases: %d cells of field, class and method with canaries that are allowed, each in its result; %d cells with unknown fields",
		len(w.cases), len(allowed), len(unknown))
	if len(allowed) < 500 || len(unknown) < 500 {
		w.t.Error("too few: the comparison proves nothing")
	}
}

// checkForbiddenCells compares the cells whose canary was sent with those that the
// guide forbids.
func (w *classWorld) checkForbiddenCells(sent map[classCell]int) {
	w.t.Helper()
	want := 0
	for _, f := range ruledFields {
		for _, class := range allClasses {
			for _, method := range allMethods {
				forbidden := !scr.FieldAllowed(f.object, f.field, class, method) && (f.only == "" || f.only == method)
				if f.field == "placeOfIssue" && method == scr.MethodEID {
					continue // only passports have one, and no passport has the chip
				}
				at := classCell{"identifications." + f.path + "." + f.field + f.leaf, class, method}
				if forbidden {
					want++
				}
				if got := sent[at] > 0; got != forbidden {
					w.t.Errorf("%+v: sent as forbidden %v, want %v", at, got, forbidden)
				}
				delete(sent, at)
			}
		}
	}
	for at := range sent {
		w.t.Errorf("%+v: sent as forbidden, and no rule says so", at)
		break
	}
	w.t.Logf("%d fields with rules, %d classes, %d methods: %d cells are forbidden, each was sent",
		len(ruledFields), len(allClasses), len(allMethods), want)
}

// ruledFields are those that guide 8 does not give everyone.
var ruledFields = func() []ruledField {
	var all []ruledField
	for _, group := range []struct {
		object, path, leaf, only string
		fields                   []string
	}{
		{"IdentificationDocumentResult", "identificationDocument", ".value", "", []string{
			"number", "birthName", "birthPlace", "nationality", "dateIssued", "authority", "placeOfIssue",
		}},
		{"DrivingLicenceResult", "drivingLicence", ".value", scr.MethodPhoto, []string{"birthPlace", "dateIssued", "authority"}},
		{"AdditionalDataBasic", "additionalDataBasic", "", scr.MethodBasic, []string{"postOffice"}},
		{"AdditionalDataVideo", "additionalDataVideo", "", scr.MethodVideo, []string{
			"identificationServiceCenter", "identificationAgentAliases", "identReviews", "tanChannel",
		}},
	} {
		for _, field := range group.fields {
			all = append(all, ruledField{group.object, field, group.path, group.leaf, group.only})
		}
	}
	return all
}()

type ruledField struct{ object, field, path, leaf, only string }

// unknownNames are the fields that the simulator makes up.
var unknownNames = []string{
	"maritalStatus", "legalGuardian", "biometricScores", "schemaVersion", "reviewed", "releaseNote", "FirstName", "Prüfvermerk", "remarks", "DocumentData",
}

// walkLeaves visits the texts of a JSON document by their paths without indexes.
// What is unknown, or below it, is not known.
func walkLeaves(path string, v any, visit func(path, text string, known bool)) {
	var walk func(path string, v any, known bool)
	walk = func(path string, v any, known bool) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if hasMark(name, leafMarks()) {
					visit(path+".?", name, false)
					continue
				}
				walk(strings.TrimPrefix(path+"."+name, "."), inner, known && !slices.Contains(unknownNames, name))
			}
		case []any:
			for _, inner := range v {
				walk(path, inner, known)
			}
		case string:
			visit(path, v, known)
		}
	}
	walk(path, v, true)
}

// checkStore compares the store with the truth about records: those that the class
// may have, under their digests, each named by an event, and nothing else.
func (w *classWorld) checkStore(files []storedFile, events map[string][]schemas.StatusChanged) {
	w.t.Helper()
	cases := make(map[string]bool)
	for _, c := range w.cases {
		cases[c.id] = true
	}
	classes := make(map[string]scr.RegulatoryClass)
	for _, a := range w.accounts {
		classes[a.ClientID] = a.Class
	}
	given, cells := make(map[string]string), map[bool]map[classCell]bool{true: {}, false: {}}
	for r := range w.sim.AllRecords() {
		at := classCell{r.Type, classes[r.ClientID], r.Method}
		cells[r.Forbidden][at] = true
		if r.Forbidden == scr.ContentAllowed(at.field, at.class, at.method) {
			w.t.Errorf("%+v: the simulator says forbidden %v", at, r.Forbidden)
		}
		if r.Given {
			given[r.SHA256] = r.CaseID
		}
	}
	named := referencesOf(events)
	stored := make(map[string]bool)
	for _, f := range files {
		if !f.isObject() {
			continue
		}
		stored[f.digest()] = true
		switch id := given[f.digest()]; {
		case id == "":
			w.t.Errorf("%s is in the store, and nobody should have it", f.name)
		case !named[f.digest()] && !w.lost[id]:
			w.t.Errorf("%s is in the store, and no event names it", f.name)
		}
	}
	for digest, id := range given {
		if cases[id] && (!stored[digest] || !named[digest]) {
			w.t.Errorf("case %s: a record was given: stored %v, named %v", id, stored[digest], named[digest])
		}
	}
	w.t.Logf("%d records given, stored and named; of the cells of type, class and method with content, %d are allowed, %d forbidden",
		len(given), len(cells[false]), len(cells[true]))
}

// searchEverything looks for forbidden canaries in all that the bridge gave away,
// and for personal ones in all but the topic of results and the store's content.
func (w *classWorld) searchEverything(topics []*kgo.Record, files []storedFile, outputs map[string][]byte) {
	w.t.Helper()
	forbidden, personal := newSearch(w.t, scrsim.ForbiddenCanaries()), newSearch(w.t, scrsim.Canaries())
	counts := make(map[string]int)
	for _, r := range topics {
		counts[r.Topic]++
		where := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
		parts := [][]byte{r.Key, r.Value}
		for _, h := range r.Headers {
			parts = append(parts, []byte(h.Key), h.Value)
		}
		for _, part := range parts {
			forbidden.in(where, part)
			if r.Topic != w.names.Result {
				personal.in(where, part)
			}
		}
		if r.Topic == w.names.Result { // a key or a header is personal nowhere
			for i, part := range parts {
				if i != 1 {
					personal.in(where, part)
				}
			}
		}
	}
	for _, f := range files {
		forbidden.in(f.name, f.content)
		personal.in("name of "+f.name, []byte(f.name))
		if f.isObject() {
			counts["objects"]++
			continue
		}
		personal.in(f.name, f.content)
	}
	for what, output := range outputs {
		counts[what] = len(output)
		forbidden.in(what, output)
		personal.in(what, output)
	}
	for _, what := range []string{
		w.names.Inbox, w.names.CaseState, w.names.PollCursor, w.names.Status, w.names.Result, w.names.DeadLetter, "objects", "log", "metrics", "traces",
	} {
		if counts[what] == 0 {
			w.t.Errorf("%s: there is nothing to search", what)
		}
	}
	w.t.Logf("searched %d bytes for %d forbidden marks, %d bytes for %d personal ones: records of topics, objects, and bytes of outputs are %v",
		forbidden.bytes, len(scrsim.ForbiddenCanaries()), personal.bytes, len(scrsim.Canaries()), counts)
}

// search looks for marks as they are, and in hex and base64.
type search struct {
	t       *testing.T
	needles []string
	bytes   int
}

func newSearch(t *testing.T, marks []string) *search {
	t.Helper()
	s := &search{t: t}
	for _, mark := range marks {
		s.needles = append(s.needles, mark, hex.EncodeToString([]byte(mark)))
		s.needles = append(s.needles, base64Cores([]byte(mark))...)
	}
	for _, planted := range []string{"x" + marks[0] + "y", base64.StdEncoding.EncodeToString([]byte("ab" + marks[0] + "c"))} {
		if found, err := audit.Search([]byte(planted), s.needles); err != nil || len(found) == 0 {
			t.Fatalf("the search does not find what is there: %v", err)
		}
	}
	return s
}

func (s *search) in(where string, data []byte) {
	s.t.Helper()
	s.bytes += len(data)
	found, err := audit.Search(data, s.needles)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range found {
		s.t.Errorf("%s holds %q", where, s.needles[i])
	}
}

// base64Cores is what of the base64 of data does not depend on what stands around
// it, at each of the three alignments.
func base64Cores(data []byte) []string {
	cores := make(map[string]bool)
	for shift := range 3 {
		padded := append(make([]byte, shift), data...)
		from, to := (8*shift+5)/6, 8*(shift+len(data))/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			cores[encoding.EncodeToString(padded)[from:to]] = true
		}
	}
	return slices.Sorted(maps.Keys(cores))
}

// maxTopicRecord is what no record of a topic is larger than.
const maxTopicRecord = 200_000

func checkSizes(t *testing.T, topics []*kgo.Record) {
	t.Helper()
	largest := make(map[string]int)
	for _, r := range topics {
		size := len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value)
		}
		largest[r.Topic] = max(largest[r.Topic], size)
		if size > maxTopicRecord {
			t.Errorf("%s/%d@%d has %d bytes", r.Topic, r.Partition, r.Offset, size)
		}
	}
	t.Logf("%d records on topics, the largest of each in bytes: %v", len(topics), largest)
}

// searchContents looks on all topics for windows of what is in the store, as bytes
// and as base64 at each alignment.
func searchContents(t *testing.T, topics []*kgo.Record, files []storedFile) {
	t.Helper()
	const window, windows = 36, 6
	var needles []string
	objects, total := 0, 0
	for _, f := range files {
		if !f.isObject() {
			continue
		}
		objects++
		total += len(f.content)
		text := base64.StdEncoding.EncodeToString(f.content)
		for i := range windows {
			at := i * (len(f.content) - window) / (windows - 1)
			part := f.content[at : at+window]
			cores := base64Cores(part)
			if !slices.ContainsFunc(cores, func(core string) bool { return strings.Contains(text, core) }) {
				t.Fatalf("the search would not find %s in its own base64", f.name)
			}
			needles = append(append(needles, cores...), string(part))
		}
	}
	var all []byte
	for _, r := range topics {
		for _, part := range append([][]byte{r.Key, r.Value}, headerParts(r)...) {
			all = append(append(all, part...), 0)
		}
	}
	found, err := audit.Search(all, needles)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range found {
		t.Errorf("a topic holds a part of a record's content: %q", needles[i])
	}
	t.Logf("searched %d bytes of topics for %d windows of %d objects of %d bytes", len(all), len(needles), objects, total)
}

func headerParts(r *kgo.Record) [][]byte {
	var parts [][]byte
	for _, h := range r.Headers {
		parts = append(parts, []byte(h.Key), h.Value)
	}
	return parts
}
