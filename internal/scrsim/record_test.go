package scrsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// wireRecord is a record as an answer has it.
type wireRecord struct {
	ID        string  `json:"recordId"`
	BelongsTo string  `json:"belongsTo"`
	Type      string  `json:"type"`
	MimeType  string  `json:"mimeType"`
	FileName  string  `json:"fileName"`
	Data      *string `json:"documentData"`
}

// recordsOf are those of an answer, wherever they are.
func recordsOf(t *testing.T, body []byte) map[string]wireRecord {
	t.Helper()
	all := make(map[string]wireRecord)
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, inner := range v {
				find(inner)
			}
		case map[string]any:
			if _, ok := v["recordId"]; ok {
				var r wireRecord
				if err := json.Unmarshal(mustJSON(t, v), &r); err != nil {
					t.Fatal(err)
				}
				if _, twice := all[r.ID]; twice {
					t.Errorf("record id %s comes twice", r.ID)
				}
				all[r.ID] = r
			}
			for _, inner := range v {
				find(inner)
			}
		}
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	find(v)
	return all
}

// images is the classes to which guide 4 and 8.6.7 give the content of a record of
// a type with a method.
func (g guideTables) images(kind, method string) (classes []scr.RegulatoryClass, anyone bool) {
	m := g.ByMethod[method]
	for _, r := range g.Records {
		if r.Type != kind {
			continue
		}
		if r.Classes == nil {
			return nil, true
		}
		byMethod := map[string][]scr.RegulatoryClass{"method": m.Face, "identificationdocument": m.Document, "drivinglicence": m.Licence}[r.BelongsTo]
		return slices.DeleteFunc(slices.Clone(byMethod), func(c scr.RegulatoryClass) bool { return !slices.Contains(r.Classes, c) }), false
	}
	return nil, false
}

// Guide 4, 8.6.7: content comes to those classes and methods, and in those states,
// that the tables have it for; what comes is what the truth says it is. With
// Wire.Forbidden the rest of it comes, too, with marks that say so.
func TestRecordsAreWhatTheTruthSays(t *testing.T) {
	t.Parallel()
	g := tables()
	fileName := regexp.MustCompile(`^[A-Z0-9]{12}_(result(data|images)?_(autoid|basic|eid|photo|video)\.pdf|[a-z]+(_2)?\.jpg)$`)
	for _, class := range allClasses {
		for _, method := range allMethods {
			for _, forbidden := range []bool{false, true} {
				t.Run(string(class)+" "+method, func(t *testing.T) {
					t.Parallel()
					contents := 0
					change := func(a *Account) { a.Wire.Forbidden, a.Records.SplitPDF = forbidden, class == scr.ClassGwG }
					everyState(t, class, method, 12, change, func(sim *Simulator, row, id string, body []byte) {
						sent := recordsOf(t, body)
						truth, err := sim.Records(id)
						if err != nil {
							t.Fatal(err)
						}
						if row == "" && (len(sent) > 0 || len(truth) > 0) {
							t.Fatalf("a case without an attempt has records: %+v", truth)
						}
						for _, want := range truth {
							got, ok := sent[want.RecordID]
							delete(sent, want.RecordID)
							classes, anyone := g.images(want.Type, method)
							allowed := anyone || slices.Contains(classes, class)
							if want.Forbidden == allowed || want.Given && !allowed {
								t.Errorf("%s %s: %+v, but allowed is %v", row, want.Type, want, allowed)
							}
							if !anyone && allowed && want.Given != slices.Contains(g.ByMethod[method].Rows, row) && g.ByMethod[method].Rows != nil {
								t.Errorf("%s %s: given %v", row, want.Type, want.Given)
							}
							if !ok {
								if want.Given || forbidden {
									t.Errorf("%s: %s is not sent", row, want.Type)
								}
								continue
							}
							if got.BelongsTo != want.BelongsTo || got.Type != want.Type || got.MimeType != want.MediaType ||
								got.FileName != want.FileName || !fileName.MatchString(got.FileName) {
								t.Errorf("got %+v, want %+v", got, want)
							}
							if !forbidden && (got.Data != nil) != want.Given {
								t.Errorf("%s %s: content %v, want %v", row, want.Type, got.Data != nil, want.Given)
							}
							if got.Data == nil {
								continue
							}
							contents++
							checkContent(t, *got.Data, want)
						}
						if len(sent) > 0 {
							t.Errorf("%s: of these there is no truth: %v", row, sent)
						}
					})
					if contents == 0 {
						t.Error("no content at all")
					}
				})
			}
		}
	}
}

func checkContent(t *testing.T, data string, want Record) {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want.SHA256 || int64(len(content)) != want.Size {
		t.Errorf("%s: %d bytes with sum %x, want %+v", want.Type, len(content), sum, want)
	}
	if http.DetectContentType(content) != want.MediaType {
		t.Errorf("%s is %s", want.Type, http.DetectContentType(content))
	}
	for _, marks := range []struct {
		all  []string
		want bool
	}{{[]string{markText, markBinary}, true}, {ForbiddenCanaries(), want.Forbidden}} {
		for name, text := range map[string]string{"content": string(content), "base64": data} {
			if got := slices.ContainsFunc(marks.all, func(m string) bool { return strings.Contains(text, m) }); got != marks.want {
				t.Errorf("%s of %s is marked %v, want %v", name, want.Type, got, marks.want)
			}
		}
	}
}

// Guide 7.4.1, 7.5: the two parameters of the single read, and of nothing else.
func TestContentIsForSingleReads(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	id := create(t, sim, videoStarted, videoSuccess)
	walkToEnd(t, sim, id)
	const both = "includeResultPdf=true&includeBinaryData=true"
	for _, tt := range []struct {
		path         string
		pdf, content bool
	}{
		{"/ID", false, false},
		{"/ID?includeResultPdf=true", true, false},
		{"/ID?includeBinaryData=true", false, true},
		{"/ID?" + both, true, true},
		{"/ID/full?" + both, true, true},
		{"/ID/status?" + both, false, false},
		{"/ID/status/full?" + both, false, false},
		{"?" + both, false, false},
		{"/full?" + both, false, false},
		{"/status?" + both, false, false},
	} {
		body := string(client.get(strings.ReplaceAll(tt.path, "ID", id)).wants(200).body)
		if got := strings.Contains(body, `"documentData"`); got != tt.content {
			t.Errorf("%s: content %v", tt.path, got)
		}
		if got := strings.Contains(body, `"type":"result"`); got != tt.pdf {
			t.Errorf("%s: result PDF %v", tt.path, got)
		}
	}
}

// The content of a record is the same each time, with another seed another, and
// with a fault another each time.
func TestContentIsOfTheSeed(t *testing.T) {
	t.Parallel()
	sums := func(seed uint64, f FaultSet) map[string]string {
		sim := newSim(t, Config{Seed: seed})
		id := create(t, sim, videoStarted, videoSuccess)
		walkToEnd(t, sim, id)
		if err := sim.SetFaults(Faults{All: f}); err != nil {
			t.Fatal(err)
		}
		out := make(map[string]string)
		for range 2 {
			for _, r := range recordsOf(t, newAPI(t, sim).get("/"+id+"?includeBinaryData=true").wants(200).body) {
				if before, ok := out[r.Type]; ok && (before == *r.Data) == (f.ChangedRecords > 0) {
					t.Errorf("seed %d, faults %+v, %s: the same %v", seed, f, r.Type, before == *r.Data)
				}
				out[r.Type] = *r.Data
			}
		}
		return out
	}
	one, two, changed := sums(1, FaultSet{}), sums(2, FaultSet{}), sums(1, FaultSet{ChangedRecords: 1})
	for kind, data := range one {
		if data == two[kind] || data == changed[kind] {
			t.Errorf("%s is the same", kind)
		}
		if len(data) != len(changed[kind]) {
			t.Errorf("%s: %d and %d characters", kind, len(data), len(changed[kind]))
		}
	}
	if len(one) != 4 {
		t.Errorf("records %v", one)
	}
}

// Sizes go over their whole range, and each half of it on a scale of doublings
// has about as many.
func TestSizes(t *testing.T) {
	t.Parallel()
	s := RealisticRecords().PDF
	if s.at(0) != s.Min || s.at(1<<64-1) < s.Max-s.Max/1000 {
		t.Errorf("from %d to %d", s.at(0), s.at(1<<64-1))
	}
	if mid := s.at(1 << 63); mid < 1_300_000 || mid > 1_500_000 { // the root of 100,000 times 20,000,000
		t.Errorf("half are below %d", mid)
	}
	if one := (Sizes{Min: 20_000_000, Max: 20_000_000}); one.at(1<<62) != 20_000_000 {
		t.Errorf("got %d", one.at(1<<62))
	}
	for name, r := range map[string]Records{
		"too small": {PDF: Sizes{Min: minFile - 1, Max: 5000}}, "reversed": {Image: Sizes{Min: 5000, Max: 4000}},
		"too large": {PDF: Sizes{Min: minFile, Max: maxFile + 1}},
	} {
		acct := testAccount("ACCT0001", scr.ClassGwG)
		acct.Records = r
		if _, err := New(Config{Accounts: []Account{acct}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A result PDF of 20 MB and six images cost the simulator no memory in the clear,
// and once their size encrypted.
//
//nolint:paralleltest // it counts what the process allocates
func TestLargeAnswersAreNotHeldInMemory(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode Encryption
		most float64 // of the body
	}{{"in the clear", EncryptionOff, 0.05}, {"encrypted", EncryptionRequired, 1.05}} {
		acct := encryptingAccount(tt.mode, Wire{})
		acct.Records = Records{PDF: Sizes{Min: 20_000_000, Max: 20_000_000}, Image: Sizes{Min: 500_000, Max: 500_000}}
		sim := newSim(t, Config{Accounts: []Account{acct}})
		id := create(t, sim, videoStarted, videoSuccess)
		walkToEnd(t, sim, id)
		client := withKey(t, newAPI(t, sim), "data", jose.RSA_OAEP_256)
		sink := &sinkWriter{header: make(http.Header)}
		r := client.request(http.MethodGet, "/"+id+"?includeResultPdf=true&includeBinaryData=true", "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sim.Handler().ServeHTTP(sink, r)
		runtime.ReadMemStats(&after)
		body := float64(22_000_000) / 3 * 4
		if sink.n < int64(body) {
			t.Fatalf("%s: %d bytes", tt.name, sink.n)
		}
		if took := float64(after.TotalAlloc - before.TotalAlloc); took > tt.most*body {
			t.Errorf("%s: %.0f bytes for a body of %.0f", tt.name, took, body)
		}
	}
}

// sinkWriter counts what is written.
type sinkWriter struct {
	header http.Header
	n      int64
}

func (w *sinkWriter) Header() http.Header { return w.header }
func (*sinkWriter) WriteHeader(int)       {}
func (*sinkWriter) Flush()                {}
func (w *sinkWriter) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	return len(b), nil
}

// A large encrypted answer opens with every content encryption, and is what the
// answer in the clear is.
func TestEncryptedContent(t *testing.T) {
	t.Parallel()
	for _, enc := range contentEncryptions {
		acct := encryptingAccount(EncryptionOptional, Wire{Enc: enc})
		acct.Records.PDF = Sizes{Min: 300_000, Max: 300_000}
		sim := newSim(t, Config{Accounts: []Account{acct}})
		id := create(t, sim, videoStarted, videoSuccess)
		walkToEnd(t, sim, id)
		path := "/" + id + "?includeResultPdf=true&includeBinaryData=true"
		plain := newAPI(t, sim).get(path).wants(200)
		a := withKey(t, newAPI(t, sim), "data", jose.RSA_OAEP).get(path).wants(200)
		if opened, _, with := open(t, a.body); !bytes.Equal(opened, plain.body) || with != string(enc) {
			t.Errorf("%s (%s): another answer", enc, with)
		}
		if length := a.header.Get("Content-Length"); length != "" && len(length) < 6 {
			t.Errorf("Content-Length %s", length)
		}
	}
}

// Where documentData stands among the fields of a record is a switch.
func TestPlaceOfDocumentData(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{false, true} {
		sim := newSim(t, Config{Accounts: []Account{partnerAccount(Wire{DocumentDataFirst: first})}})
		id := create(t, sim, videoStarted, videoSuccess)
		walkToEnd(t, sim, id)
		body := newAPI(t, sim).get("/" + id + "?includeBinaryData=true").wants(200).body
		before := bytes.Count(body, []byte(`{"documentData":"`))
		after := len(regexp.MustCompile(`"type":"[a-z]+","documentData":"[^"]*"}`).FindAll(body, -1))
		if before != map[bool]int{true: 4, false: 0}[first] || after != map[bool]int{true: 0, false: 4}[first] {
			t.Errorf("first %v: %d first, %d last", first, before, after)
		}
	}
}

// AllRecords has those of every case, deleted ones included, as the control API
// does.
func TestTruthOfRecordsOutlivesCases(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	create(t, sim, videoStarted)
	id := create(t, sim, videoStarted, videoSuccess)
	walkToEnd(t, sim, id)
	want, err := sim.Records(id)
	if err != nil || len(want) != 5 {
		t.Fatalf("got %+v, %v", want, err)
	}
	for _, removed := range []bool{false, true} {
		if diff := cmp.Diff(want, slices.Collect(sim.AllRecords())); diff != "" {
			t.Errorf("removed %v (-want +got):\n%s", removed, diff)
		}
		if diff := cmp.Diff(want, lines[Record](t, ctl(t, sim, http.MethodGet, "/records", ""))); diff != "" {
			t.Errorf("removed %v, over the control API (-want +got):\n%s", removed, diff)
		}
		if removed {
			break
		}
		if diff := cmp.Diff(want, decode[[]Record](t, ctl(t, sim, http.MethodGet, "/cases/"+id+"/records", ""))); diff != "" {
			t.Errorf("of the case (-want +got):\n%s", diff)
		}
		answer := ctl(t, sim, http.MethodGet, "/cases/"+id+"/answer", "").wants(200)
		if sim.Truth()[1].Seen {
			t.Error("seen by the control API")
		}
		if read := newAPI(t, sim).get("/" + id + "/full?includeResultPdf=true").wants(200); !bytes.Equal(bytes.TrimSpace(answer.body), read.body) {
			t.Errorf("answer %s, want %s", answer.body, read.body)
		}
		if err := sim.Remove(id); err != nil {
			t.Fatal(err)
		}
		if _, err := sim.Records(id); !errors.Is(err, ErrNoCase) {
			t.Errorf("got %v", err)
		}
		ctl(t, sim, http.MethodGet, "/cases/"+id+"/records", "").wants(404)
		ctl(t, sim, http.MethodGet, "/cases/"+id+"/answer", "").wants(404)
	}
	if got := decode[[]string](t, ctl(t, sim, http.MethodGet, "/canaries/forbidden", "")); !slices.Equal(got, ForbiddenCanaries()) {
		t.Errorf("got %v", got)
	}
}

// A sixth attempt has ids of its own, too.
func TestRecordIDsOfManyAttempts(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	var steps []Step
	for range 8 {
		again := Step{Method: scr.MethodPhoto, Status: scr.StatusReviewPending, NewAttempt: true}
		steps = append(steps, again)
	}
	for range 3 {
		id := create(t, sim, steps...)
		walkToEnd(t, sim, id)
		if got := recordsOf(t, newAPI(t, sim).get("/"+id+"/full").wants(200).body); len(got) != 8*3 {
			t.Errorf("%d records", len(got))
		}
	}
	seen := make(map[string]bool)
	for r := range sim.AllRecords() {
		if seen[r.RecordID] {
			t.Errorf("%s comes twice", r.RecordID)
		}
		seen[r.RecordID] = true
	}
}
