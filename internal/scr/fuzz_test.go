package scr_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

func FuzzParseWebhook(f *testing.F) {
	for _, s := range []string{
		`{"caseId":"YR9W91GEZK24","referenceId":"REF_101485489"}`, `{"caseId":"A","referenceId":null}`,
		`{"caseId":"A","caseId":"B"}`, `{"caseId":1e5}`, `{"caseId":"\u0041\ud800"}`, `{"caseId":{}}`, `[]`, `{`, ``, "{\"a\":\xff}",
		" {\t\"referenceId\" : \"R\" ,\r\n \"caseId\":\"A\" } \n", `{"caseId":"A",}`, `{"caseId":"A"}{}`, `{"caseId":"","caseId":"A"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		if quick, plain := scr.PlainWebhook(body); plain {
			if slow, err := scr.AnyWebhook(body); err != nil || slow != quick {
				t.Fatalf("read plainly %+v, else %+v, %v", quick, slow, err)
			}
		}
		w, err := scr.ParseWebhook(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was written to")
		}
		if err != nil {
			var refused *scr.WebhookError
			if !errors.As(err, &refused) || w != (scr.Webhook{}) {
				t.Fatalf("%+v, %v", w, err)
			}
			return
		}
		if !scr.ValidCaseID(w.CaseID) {
			t.Fatalf("caseId %q", w.CaseID)
		}
		// A second, unrelated parser agrees wherever it knows the shape. Numbers stay
		// text: one that no float64 holds is JSON all the same.
		if !json.Valid(body) {
			t.Fatal("accepted what encoding/json refuses")
		}
		var fields map[string]any
		numbers := json.NewDecoder(bytes.NewReader(body))
		numbers.UseNumber()
		if err := numbers.Decode(&fields); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if text, ok := fields["caseId"].(string); ok && text != w.CaseID {
			t.Fatalf("%q, encoding/json has %q", w.CaseID, text)
		}
	})
}

func FuzzParseCase(f *testing.F) {
	f.Add(readFile(f, "case-video-success.json"))
	for _, s := range []string{
		`{` + headJSON + `}`,
		`{` + headJSON + `,"identifications":[` + videoJSON + `,` + basicJSON + `,` + videoJSON + `],"primaryIdentification":` + basicJSON + `}`,
		withStatus(`,"subStatus":{"code":"11","description":"x"},"subStatusReason":{},"identificationTime":"2024-01-01T11:00:00.5Z"`),
		`{` + headJSON + `,"primaryIdent":{"records":[{"recordId":1},{"recordId":1}],"drivingLicense":{"records":[{"recordId":"2"}]}},"identificationDocument":{"records":[{"recordId":"1"}]}}`,
	} {
		f.Add([]byte(s))
	}
	for _, s := range oddCases() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		unknown := scr.UnknownFields(body) // comes to an end whatever the body is
		checkPlain(t, body)
		c, err := scr.ParseCase(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was written to")
		}
		if err != nil {
			var rejected *scr.RejectedError
			if !errors.As(err, &rejected) || rejected.Reason != scr.RejectedJSON && rejected.Reason != scr.RejectedCase {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted what encoding/json refuses")
		}
		checkCase(t, c)
		checkUnknown(t, body, unknown)
		again, err := scr.ParseCase(body)
		if err != nil || !cmp.Equal(c, again) {
			t.Fatalf("a second look differs: %v\n%s", err, cmp.Diff(c, again))
		}
	})
}

// checkPlain holds a body that is read without the decoder against what the
// decoder reads.
func checkPlain(t *testing.T, body []byte) {
	t.Helper()
	quick, quickUnknown, plain, quickErr := scr.PlainCase(body)
	if !plain {
		return
	}
	slow, slowUnknown, slowErr := scr.AnyCase(body)
	if fmt.Sprint(quickErr) != fmt.Sprint(slowErr) {
		t.Fatalf("read plainly: %v, else: %v", quickErr, slowErr)
	}
	if diff := cmp.Diff(slow, quick); diff != "" {
		t.Fatalf("read plainly it differs (-else +plainly):\n%s", diff)
	}
	if quickErr == nil && !slices.Equal(quickUnknown, slowUnknown) {
		t.Fatalf("unknown plainly %q, else %q", quickUnknown, slowUnknown)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte("[" + string(readFile(f, "case-video-success.json")) + "]"))
	odd := strings.Join(oddCases()[:2], ",")
	for _, s := range []string{
		"[]", " [ ] ", "[", "[,]", "[{}]", "[null,1,\"a\",[[]],true]", "[" + idCase("A") + "," + idCase("B") + "]",
		"[" + odd + "," + idCase("A") + "," + odd + "]", "[" + idCase("A") + ",{\"a\":tru}," + idCase("B") + "]",
		"[" + idCase("A") + "]x", "[" + idCase("A") + " " + idCase("B") + "]", `[{"a":"` + "\xff" + `"},{"\u0061":1,"a":2}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var told []scr.Listed
		n, unknown, err := scr.ParseList(body, func(l scr.Listed) {
			checkListed(t, l)
			told = append(told, l)
		})
		if !bytes.Equal(before, body) {
			t.Fatal("the body was written to")
		}
		if n != len(told) || len(unknown) > scr.MaxUnknownPaths+1 {
			t.Fatalf("%d entries, %d told, %d unknown", n, len(told), len(unknown))
		}
		var rejected *scr.RejectedError
		if err != nil && (!errors.As(err, &rejected) || rejected.Reason != scr.RejectedJSON) {
			t.Fatal(err)
		}
		var entries []json.RawMessage
		if !json.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '[' {
			return
		}
		if err := json.Unmarshal(body, &entries); err != nil {
			t.Fatal(err)
		}
		if err != nil || len(entries) != n {
			t.Fatalf("%d entries, %v; encoding/json has %d", n, err, len(entries))
		}
		for i, entry := range entries {
			want, err := scr.ParseCase(entry)
			if !cmp.Equal(want, told[i].Case) || (err == nil) != (told[i].Err == nil) {
				t.Fatalf("entry %d: %+v, by itself %+v, %v", i, told[i], want, err)
			}
			if was, ok := errors.AsType[*scr.RejectedError](err); ok {
				is, _ := errors.AsType[*scr.RejectedError](told[i].Err)
				if was.Reason != is.Reason || fmt.Sprint(was.Err) != fmt.Sprint(is.Err) {
					t.Fatalf("entry %d: %v, by itself %v", i, is, was)
				}
			}
		}
	})
}

// checkCase holds a decoded case against what ParseCase promises.
func checkCase(t *testing.T, c scr.Case) {
	t.Helper()
	if !scr.ValidCaseID(c.CaseID) || c.Status.Created.IsZero() || c.Status.Modified.IsZero() {
		t.Fatalf("a case without identity: %+v", c)
	}
	times := []time.Time{c.Status.Created, c.Status.Modified, c.Status.ValidUntil}
	primaries := 0
	for n, i := range c.Identifications {
		times = append(times, i.Created, i.Modified, i.IdentificationTime)
		if i.Primary {
			primaries++
		}
		if i.Created.IsZero() || i.Modified.IsZero() {
			t.Fatalf("an identification without identity: %+v", i)
		}
		if slices.ContainsFunc(c.Identifications[:n], func(o scr.Identification) bool {
			return o.Method == i.Method && o.Created.Equal(i.Created)
		}) {
			t.Fatalf("(%s, %v) twice", i.Method, i.Created)
		}
		for r, rec := range i.Records {
			if rec == (scr.Record{}) || slices.Contains(i.Records[:r], rec) {
				t.Fatalf("record %+v empty or twice", rec)
			}
		}
	}
	if primaries != min(1, len(c.Identifications)) {
		t.Fatalf("%d primaries of %d", primaries, len(c.Identifications))
	}
	for _, at := range times {
		if at.Location() != time.UTC || at.Nanosecond()%int(time.Millisecond) != 0 {
			t.Fatalf("time %v is not in UTC and milliseconds", at)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	public := scr.PublicOf(sharedKey())
	for _, enc := range []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256GCM} {
		for _, zip := range []jose.CompressionAlgorithm{jose.NONE, jose.DEFLATE} {
			body := encrypt(f, public, jose.RSA_OAEP_256, enc, zip, []byte(`{"caseId":"A"}`))
			f.Add(body)
			f.Add(body[:len(body)/2])
			f.Add(reheader(body, `{"alg":"RSA-OAEP","enc":"A128GCM","zip":"DEF"}`))
			f.Add(reheader(body, `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":1000000000,"p2s":"AAAA"}`))
		}
	}
	f.Add([]byte("e...."))
	f.Add([]byte("eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIn0....."))
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, body []byte) {
		plain, err := scr.Decrypt(body, sharedKey(), false, limit)
		if err == nil {
			if len(plain) > limit {
				t.Fatalf("%d bytes over the limit", len(plain)-limit)
			}
			return
		}
		var rejected *scr.RejectedError
		if !errors.As(err, &rejected) || plain != nil {
			t.Fatalf("%d bytes, %v", len(plain), err)
		}
		switch rejected.Reason {
		case scr.RejectedDecrypt, scr.RejectedAlgorithm, scr.RejectedTooLarge:
		default:
			t.Fatalf("reason %s", rejected.Reason)
		}
		for _, name := range []string{rejected.Alg, rejected.Enc} {
			if len(name) > 32 || bytes.ContainsFunc([]byte(name), func(c rune) bool { return c < '+' || c > 'z' }) {
				t.Fatalf("name %q", name)
			}
		}
	})
}

// FuzzParseResult reads bodies for every class and method. What of a result holds for
// all of them is checked; that nothing is lost, FuzzParseResultLosesNothing does.
func FuzzParseResult(f *testing.F) {
	seeds := [][]byte{readFile(f, "case-video-success.json")}
	for _, class := range allClasses {
		seeds = append(seeds, withEverything(class, scr.MethodVideo))
	}
	for _, s := range oddCases() {
		seeds = append(seeds, []byte(s))
	}
	for _, s := range []string{`"\u0051UJD"`, `"QUJ"`, `{"documentData":"QUJD"}`, `"QUJD\r\n"`, `["QUJD"]`} {
		seeds = append(seeds, []byte(`{`+headJSON+withFace(s)+`}`))
	}
	for i, s := range seeds {
		f.Add(s, uint8(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, body []byte, class uint8, keep bool) {
		before := bytes.Clone(body)
		request := scr.ResultRequest{Class: allClasses[int(class)%len(allClasses)], Binary: true, PDF: true, KeepUnknown: keep}
		r, contents, err := scr.ParseResult(body, request)
		if !bytes.Equal(before, body) { // as long as no content is read
			t.Fatal("the body was written to")
		}
		if err != nil {
			rejected, ok := errors.AsType[*scr.RejectedError](err)
			if !ok || rejected.Reason != scr.RejectedJSON && rejected.Reason != scr.RejectedCase {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted what encoding/json refuses")
		}
		c, err := scr.ParseCase(body)
		if err != nil || !cmp.Equal(c, r.Case) {
			t.Fatalf("another case: %v\n%s", err, cmp.Diff(c, r.Case))
		}
		checkResult(t, r, request)
		for _, d := range r.Dropped {
			if d.Count < 1 || d.Reason == "" || d.Path == "" {
				t.Fatalf("%+v", d)
			}
		}
		for _, c := range contents {
			if !scr.ContentAllowed(c.Record.Type, request.Class, c.Method) {
				t.Fatalf("%+v", c)
			}
			checkContent(t, c)
		}
		again, _, err := scr.ParseResult(before, request)
		if err != nil || !cmp.Equal(r, again) {
			t.Fatalf("a second look differs: %v", err)
		}
	})
}

// checkContent holds the reader of a content against itself, reading in other pieces.
func checkContent(t *testing.T, c scr.RecordContent) {
	t.Helper()
	whole, err := io.ReadAll(c.Open())
	slow, slowErr := io.ReadAll(oneByte{c.Open()})
	if err == nil && (slowErr != nil || !bytes.Equal(whole, slow) || int64(len(whole)) > c.MaxSize) {
		t.Fatalf("%d bytes of at most %d, byte by byte %d, %v", len(whole), c.MaxSize, len(slow), slowErr)
	}
	if _, ok := errors.AsType[*scr.ContentError](err); err != nil && (!ok || slowErr == nil) {
		t.Fatalf("%v, byte by byte %v", err, slowErr)
	}
}
