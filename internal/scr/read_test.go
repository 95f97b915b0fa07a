package scr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
)

// nobody takes content that must not come.
func nobody(t *testing.T) func(context.Context, scr.RecordContent) error {
	t.Helper()
	return func(_ context.Context, c scr.RecordContent) error {
		t.Errorf("got the content of record %q", c.Record.ID)
		return nil
	}
}

func TestResultAsksForWhatIsWanted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request scr.ResultRequest
		query   string
	}{
		"7.4.1 neither": {scr.ResultRequest{}, ""},
		"7.4.1 binary":  {scr.ResultRequest{Binary: true}, "?includeBinaryData=true"},
		"7.4.1 PDF":     {scr.ResultRequest{PDF: true}, "?includeResultPdf=true"},
		"7.4.1 both":    {scr.ResultRequest{Binary: true, PDF: true}, "?includeBinaryData=true&includeResultPdf=true"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sample := readFile(t, "case-video-success.json")
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if want := "/api/scr/v1/1234ABCD/cases/" + sampleID + "/full" + tt.query; r.Method != http.MethodGet || r.RequestURI != want {
					t.Errorf("got %s %s, want GET %s", r.Method, r.RequestURI, want)
				}
				encryptFor(t, w, r, sample)
			})
			tt.request.Class = scr.ClassGwG
			got, err := newClient(t, testConfig(url)).Result(t.Context(), sampleID, tt.request, nobody(t))
			if err != nil || got.Case.CaseID != sampleID || got.ContactData == nil || got.Identifications[0].Document == nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestResultRefusesWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	cfg := testConfig(url)
	partner := cfg
	partner.Access = scr.AccessPartner
	tests := map[string]struct {
		cfg     scr.ClientConfig
		caseID  string
		request scr.ResultRequest
		reason  string
	}{
		"9 a partner":         {partner, sampleID, scr.ResultRequest{Class: scr.ClassGwG}, scr.RejectedRequest},
		"no class":            {cfg, sampleID, scr.ResultRequest{}, scr.RejectedRequest},
		"nobody to take it":   {cfg, sampleID, scr.ResultRequest{Class: scr.ClassGwG, Binary: true}, scr.RejectedRequest},
		"an id that is none":  {cfg, "../A", scr.ResultRequest{Class: scr.ClassGwG}, scr.RejectedCase},
		"a bound that is not": {cfg, sampleID, scr.ResultRequest{Class: scr.ClassGwG, MaxUnknown: -1}, scr.RejectedRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, tt.cfg).Result(t.Context(), tt.caseID, tt.request, nil)
			if rejected, ok := errors.AsType[*scr.RejectedError](err); !ok || rejected.Reason != tt.reason || rejected.Status != 0 || scr.Reason(err) != "rejected_"+tt.reason {
				t.Errorf("%v, %s", err, scr.Reason(err))
			}
		})
	}
}

// A result has limits of its own, and the other reads keep theirs.
func TestResultHasItsOwnLimits(t *testing.T) {
	t.Parallel()
	large := bytes.Replace(readFile(t, "case-video-success.json"), []byte(`"records": [`),
		[]byte(`"records": [{"recordId":"1","type":"usersignature","documentData":"`+strings.Repeat("QUJD", 25_000)+`"},`), 1)
	for _, chunked := range []bool{false, true} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			body := encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, large)
			if !chunked {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.Write(body)
		})
		cfg := testConfig(url)
		cfg.MaxBodyBytes, cfg.MaxResultBytes = 50_000, 200_000
		client := newClient(t, cfg)
		read := 0
		take := func(_ context.Context, c scr.RecordContent) error {
			content, err := io.ReadAll(c.Open())
			read += len(content)
			return err
		}
		for range 2 { // the second time there is a buffer
			if _, err := client.Result(t.Context(), sampleID, wantAll, take); err != nil {
				t.Errorf("chunked=%t: %v", chunked, err)
			}
		}
		if read != 2*75_000 {
			t.Errorf("chunked=%t: %d bytes", chunked, read)
		}
		if _, err := client.Case(t.Context(), sampleID); scr.Reason(err) != "rejected_too_large" {
			t.Errorf("chunked=%t: %v", chunked, err)
		}
		if _, err := client.Result(t.Context(), sampleID, scr.ResultRequest{Class: scr.ClassGwG, PDF: true}, nil); scr.Reason(err) != "rejected_too_large" {
			t.Errorf("chunked=%t, no content asked for: %v", chunked, err)
		}
		cfg.MaxResultBytes = 100_000
		if _, err := newClient(t, cfg).Result(t.Context(), sampleID, wantAll, nobody(t)); scr.Reason(err) != "rejected_too_large" {
			t.Errorf("chunked=%t: %v", chunked, err)
		}
	}
}

func TestResultTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ set, want time.Duration }{{0, scr.DefaultResultTimeout}, {time.Second, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			cfg := testConfig("http://192.0.2.1")
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			cfg.ResultTimeout = tt.set
			client := newClient(t, cfg)
			for request, want := range map[scr.ResultRequest]time.Duration{
				wantAll:                          tt.want,
				{Class: scr.ClassGwG, PDF: true}: scr.DefaultTimeout,
			} {
				began := time.Now()
				_, err := client.Result(t.Context(), sampleID, request, nobody(t))
				if took := time.Since(began); scr.Reason(err) != "timeout" || took != want {
					t.Errorf("binary=%t: %v after %v", request.Binary, err, took)
				}
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A body that ends too soon is a broken connection, whatever its length was said to
// be.
func TestResultOfABodyThatIsCut(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			body := encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, readFile(t, "case-video-success.json"))
			if !chunked {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.Write(body[:len(body)/2])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		_, err := newClient(t, testConfig(url)).Result(t.Context(), sampleID, wantAll, nobody(t))
		if _, ok := errors.AsType[*scr.UnavailableError](err); !ok {
			t.Errorf("chunked=%t: %v", chunked, err)
		}
	}
}

func TestResultRejectsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	sample := readFile(t, "case-video-success.json")
	public := scr.PublicOf(sharedKey())
	tests := map[string]struct {
		body   []byte
		reason string
	}{
		"plain JSON":       {sample, "rejected_plain_json"},
		"another key":      {encrypt(t, scr.PublicOf(otherKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, sample), "rejected_decrypt"},
		"RSA1_5":           {encrypt(t, public, jose.RSA1_5, jose.A256GCM, noZip, sample), "rejected_algorithm"},
		"no JSON within":   {encrypt(t, public, jose.RSA_OAEP, jose.A256GCM, noZip, []byte("caseId")), "rejected_json"},
		"another case":     {encrypt(t, public, jose.RSA_OAEP, jose.A128CBC_HS256, noZip, []byte("{"+headJSON+"}")), "rejected_case"},
		"neither":          {[]byte("<html>"), "rejected_json"},
		"nothing":          {nil, "rejected_json"},
		"broken far below": {append(encrypt(t, public, jose.RSA_OAEP, jose.A256GCM, noZip, bytes.Repeat([]byte(" "), 8000)), '!'), "rejected_decrypt"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(tt.body) })
			_, err := newClient(t, testConfig(url)).Result(t.Context(), sampleID, wantAll, nobody(t))
			if got := scr.Reason(err); got != tt.reason {
				t.Errorf("got %s: %v", got, err)
			}
			if rejected, ok := errors.AsType[*scr.RejectedError](err); !ok || rejected.Status != http.StatusOK {
				t.Errorf("%+v", err)
			}
			assertNoCanary(t, name, err)
		})
	}
}

// Guide 7.8: the test environment may answer in the clear.
func TestResultInTheClear(t *testing.T) {
	t.Parallel()
	sample := readFile(t, "case-video-success.json")
	cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(append([]byte("\r\n "), sample...)) }))
	cfg.Encryption, cfg.Key = scr.EncryptionOptional, nil
	if got, err := newClient(t, cfg).Result(t.Context(), sampleID, wantAll, nobody(t)); err != nil || got.ContactData == nil {
		t.Errorf("%v, %v", got, err)
	}
}

// withContents answers with a video case that has the content of some images.
func withContents(t *testing.T, quoted ...string) scr.ClientConfig {
	t.Helper()
	var records []string
	for i, q := range quoted {
		records = append(records, fmt.Sprintf(`{"recordId":"%d","type":"userface","documentData":%s}`, i, q))
	}
	body := []byte(`{` + headJSON + withVideo(`,"records":[`+strings.Join(records, ",")+`]`, ``) + `}`)
	return testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, body) }))
}

func TestResultHandsOutContentWhileItIsThere(t *testing.T) {
	t.Parallel()
	client := newClient(t, withContents(t, `"QUJD"`, `"REVG"`))
	var kept []io.Reader
	var got []string
	_, err := client.Result(t.Context(), "A", wantAll, func(_ context.Context, c scr.RecordContent) error {
		r := c.Open()
		content, err := io.ReadAll(c.Open())
		got, kept = append(got, c.Record.ID+string(content)), append(kept, r)
		return err
	})
	if err != nil || !cmp.Equal(got, []string{"0ABC", "1DEF"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, r := range kept {
		if n, err := r.Read(make([]byte, 8)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a reader that was kept gave %d bytes, %v", n, err)
		}
	}
}

func TestResultEndsWithTheErrorOfItsTaker(t *testing.T) {
	t.Parallel()
	client := newClient(t, withContents(t, `"QUJD"`, `"REVG"`))
	full := errors.New("store is full")
	calls := 0
	got, err := client.Result(t.Context(), "A", wantAll, func(context.Context, scr.RecordContent) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 || got.Case.CaseID != "" {
		t.Errorf("%d calls, %v, %v", calls, got, err)
	}
}

// Content that is no base64 is the fault of its record: whoever wants to can have the
// rest.
func TestResultOfARecordThatIsNoBase64(t *testing.T) {
	t.Parallel()
	client := newClient(t, withContents(t, `"QUJD"`, `"`+canary+`!"`, `"REVG"`))
	var bad *scr.ContentError
	good := 0
	got, err := client.Result(t.Context(), "A", wantAll, func(_ context.Context, c scr.RecordContent) error {
		_, err := io.Copy(io.Discard, c.Open())
		if errors.As(err, &bad) {
			return nil
		}
		good++
		return err
	})
	if err != nil || good != 2 || bad == nil || bad.RecordID != "1" || len(got.Identifications[0].Records) != 3 {
		t.Errorf("%d good, %v, %v", good, bad, err)
	}
	assertNoCanary(t, "content", bad)
	_, err = client.Result(t.Context(), "A", wantAll, digest)
	if scr.Reason(err) != "malformed_content" {
		t.Errorf("%v", err)
	}
}

// The lock is the account's: a refusal of one read keeps the others still too.
func TestResultKeepsTheLock(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	client := newClient(t, cfg)
	for _, held := range []bool{false, true} {
		_, err := client.Result(t.Context(), sampleID, scr.ResultRequest{Class: scr.ClassGwG}, nil)
		if refused, ok := errors.AsType[*scr.UnauthorisedError](err); !ok || refused.Held != held {
			t.Errorf("%v", err)
		}
	}
	if _, err := client.Case(t.Context(), sampleID); scr.Reason(err) != "unauthorised" || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

// points are the counts of an instrument by its attributes.
func points(t *testing.T, rm metricdata.ResourceMetrics, name string) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range sum.DataPoints {
					found[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
				}
			}
		}
	}
	return found
}

func TestResultCountsWhatItDrops(t *testing.T) {
	t.Parallel()
	body := []byte(`{` + headJSON + `,"new":1,"identifications":[{` + videoStatusJSON + `,"identificationDocument":{"number":{"value":"N","status":"new"}},"score":1},
		{` + strings.Replace(videoStatusJSON, "T10", "T09", 1) + `,"identificationDocument":{"number":{"value":"N","status":"new"}},"score":1}]}`)
	cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, body) }))
	reader, _ := instrument(&cfg)
	client := newClient(t, cfg)
	for _, keep := range []bool{false, true} {
		if _, err := client.Result(t.Context(), "A", scr.ResultRequest{Class: scr.ClassStandard, KeepUnknown: keep}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"client_id=1234ABCD,field=IdentificationDocumentResult.number,reason=class,regulatory_class=standard": 4}
	if diff := cmp.Diff(want, points(t, rm, "postident.api.dropped_fields")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want = map[string]int64{"client_id=1234ABCD,path=new": 1, "client_id=1234ABCD,path=identifications.score": 1}
	if diff := cmp.Diff(want, points(t, rm, "postident.api.unknown_fields")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// P7: what a class may not have comes out on no way, wherever in its place it stands
// and whatever it is.
func TestResultShowsNothingThatTheClassMayNotHave(t *testing.T) {
	t.Parallel()
	for _, class := range allClasses {
		for _, method := range allMethods {
			t.Run(string(class)+" "+method, func(t *testing.T) {
				t.Parallel()
				body := withEverything(class, method)
				cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, body) }))
				reader, recorder := instrument(&cfg)
				client := newClient(t, cfg)
				var out strings.Builder
				for _, keep := range []bool{false, true} {
					request := scr.ResultRequest{Class: class, Binary: true, PDF: true, KeepUnknown: keep}
					r, err := client.Result(t.Context(), "A", request, func(_ context.Context, c scr.RecordContent) error {
						content, err := io.ReadAll(c.Open())
						fmt.Fprintf(&out, "%s %+v\n", content, c.Record)
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					all, err := json.Marshal([]any{r.Case, r.OrderData, r.ContactData, r.Identifications, r.Unknown, r.Dropped})
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(&out, "%s %v %+v %#v\n", all, r, r, r)
					checkResult(t, r, request)
					if !strings.Contains(string(all), "ALLOWED") {
						t.Error("nothing that is allowed came out")
					}
				}
				var rm metricdata.ResourceMetrics
				if err := reader.Collect(t.Context(), &rm); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%+v\n", rm)
				for _, span := range recorder.Ended() {
					fmt.Fprintf(&out, "%s %v %v\n", span.Name(), span.Attributes(), span.Events())
				}
				if at := strings.Index(out.String(), canary); at >= 0 {
					t.Errorf("a canary is in ...%.200s", out.String()[max(0, at-100):])
				}
			})
		}
	}
}

// withEverything is a case with every field that guide 8 has for an identification,
// a canary in those that class and method may not have: as a ResultValue and, in a
// second identification, in shapes that nobody expects.
func withEverything(class scr.RegulatoryClass, method string) []byte {
	var idents []string
	for n, shape := range []string{`{"value":"%s","status":"new"}`, `"%s"`, `["%s",{"value":"%s"}]`, `{"value":{"more":"%s"}}`} {
		object := func(name string, more ...string) string {
			fields := more
			for field := range scr.ObjectsOfResult()[name] {
				mark := "ALLOWED"
				if !scr.FieldAllowed(name, field, class, method) {
					mark = canary
				}
				text := shape
				if strings.HasPrefix(name, "AdditionalData") && n == 0 {
					text = `"%s"`
				}
				if field != "records" && field != "address" && field != "drivingLicenceClasses" {
					fields = append(fields, fmt.Sprintf(`%q:%s`, field, strings.ReplaceAll(text, "%s", mark)))
				}
			}
			return "{" + strings.Join(fields, ",") + "}"
		}
		var records []string
		for _, kind := range []string{"userface", "idfrontside", "dlfrontside", "thumbnail"} {
			content := "QUxMT1dFRA==" // ALLOWED
			if !scr.ContentAllowed(kind, class, method) {
				content = "Q0FOQVJZLUVyaWthLU11c3Rlcm1hbm4=" // the canary
			}
			remark := canary
			if method == scr.MethodPhoto {
				remark = "ALLOWED"
			}
			records = append(records, fmt.Sprintf(`{"recordId":"%d","type":%q,"documentData":%q,"validationRemark":%q}`, n, kind, content, remark))
		}
		idents = append(idents, fmt.Sprintf(`{"identificationMethod":%q,"identificationStatus":{"status":"success","created":"2024-01-01T1%d:00:00Z"},
			"identificationDocument":%s,"drivingLicence":%s,"additionalDataBasic":%s,"additionalDataVideo":%s}`, method, n,
			object("IdentificationDocumentResult", `"records":[`+strings.Join(records, ",")+`]`), object("DrivingLicenceResult"),
			object("AdditionalDataBasic"), object("AdditionalDataVideo")))
	}
	return []byte(`{` + headJSON + `,"identifications":[` + strings.Join(idents, ",") + `]}`)
}

// Whatever the simulator plays, its results are read whole: nothing of them is
// unknown, and nothing dropped.
func TestResultsOfTheSimulator(t *testing.T) {
	t.Parallel()
	for _, acct := range scrsim.ExampleAccounts("") {
		for _, wire := range []scrsim.Wire{{}, {LegacyEmpty: true, ContactDataResult: true}} {
			sim, cfg := simulated(t, func(a *scrsim.Account) {
				client := a.ClientID
				*a = acct
				a.Wire, a.ClientID = wire, client
			})
			seen := 0
			for range 40 {
				id := walk(t, sim, cfg.ClientID)
				client := newClient(t, cfg)
				r, err := client.Result(t.Context(), id, scr.ResultRequest{Class: acct.Class, Binary: true, PDF: true}, func(ctx context.Context, c scr.RecordContent) error {
					seen++
					return digest(ctx, c)
				})
				if err != nil || r.Dropped != nil {
					t.Fatalf("%s: dropped %+v, %v", acct.Class, r.Dropped, err)
				}
				c, err := client.Case(t.Context(), id)
				if diff := cmp.Diff(withoutPDF(c), withoutPDF(r.Case), cmpopts.EquateEmpty()); diff != "" || err != nil {
					t.Errorf("%v, case (-Case +Result):\n%s", err, diff)
				}
			}
			t.Logf("%s: the content of %d records", acct.Class, seen)
		}
	}
}

// withoutPDF is a case without the records that includeResultPdf adds.
func withoutPDF(c scr.Case) scr.Case {
	c.Identifications = slices.Clone(c.Identifications)
	for i := range c.Identifications {
		c.Identifications[i].Records = slices.DeleteFunc(slices.Clone(c.Identifications[i].Records), func(r scr.Record) bool { return r.Type == "result" })
	}
	return c
}

// As many contents are on their way as were asked for, and no more.
func TestResultHandsOutSeveralContentsAtATime(t *testing.T) {
	t.Parallel()
	const atOnce = 3
	client := newClient(t, withContents(t, `"QUJD"`, `"REVG"`, `"R0hJ"`, `"SktM"`, `"TU5P"`, `"UFFS"`))
	request := wantAll
	request.AtOnce = atOnce
	var inside, calls atomic.Int32
	arrived := make(chan struct{}, 6)
	all := make(chan struct{})
	go func() {
		for range atOnce {
			<-arrived
		}
		close(all)
	}()
	_, err := client.Result(t.Context(), "A", request, func(_ context.Context, c scr.RecordContent) error {
		calls.Add(1)
		if n := inside.Add(1); n > atOnce {
			t.Errorf("%d at a time", n)
		}
		defer inside.Add(-1)
		arrived <- struct{}{}
		select {
		case <-all: // never, if there were fewer
		case <-t.Context().Done():
			return t.Context().Err()
		}
		content, err := io.ReadAll(c.Open())
		if len(content) != 3 {
			t.Errorf("%q", content)
		}
		return err
	})
	if err != nil || calls.Load() != 6 || inside.Load() != 0 {
		t.Errorf("%d calls, %d left, %v", calls.Load(), inside.Load(), err)
	}
}

// The first error ends the read: those under way are told, and none is begun.
func TestResultEndsAllWithTheFirstError(t *testing.T) {
	t.Parallel()
	client := newClient(t, withContents(t, `"QUJD"`, `"REVG"`, `"R0hJ"`))
	request := wantAll
	request.AtOnce = 2
	full := errors.New("store is full")
	var calls atomic.Int32
	_, err := client.Result(t.Context(), "A", request, func(ctx context.Context, _ scr.RecordContent) error {
		if calls.Add(1) == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return full
	})
	if !errors.Is(err, full) || calls.Load() != 2 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}
