package scrsim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

const guideSampleID = "YR9W91GEZK24"

// playSample has the guide's sample appear.
func playSample(t *testing.T, sim *Simulator) Change {
	t.Helper()
	info, err := sim.Create(NewCase{ClientID: "ACCT0001", Answer: GuideSample()})
	if err != nil {
		t.Fatal(err)
	}
	newAPI(t, sim).get("/" + info.CaseID).wants(http.StatusNotFound)
	return advance(t, sim, info.CaseID).Change
}

func parsed(t *testing.T, body []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// There is one text of the sample in the project.
func TestGuideSampleIsTheParsersOwn(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../scr/testdata/case-video-success.json")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(GuideSample())); d != "" {
		t.Errorf("-scr +scrsim:\n%s", d)
	}
}

// Guide 7.4.1: the sample is answered as it is printed; with content, in the same
// places; and without what an answer was not asked for.
func TestGuideSampleIsPlayedAsItIs(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", scr.ClassGwG)}})
	change := playSample(t, sim)
	want := Change{
		ClientID: "ACCT0001", CaseID: guideSampleID, CaseCreated: time.Date(2016, 7, 5, 16, 23, 15, 0, time.UTC),
		Method: scr.MethodVideo, IdentCreated: time.Date(2016, 7, 5, 16, 24, 18, 0, time.UTC), Status: scr.StatusSuccess,
		IdentificationTime: time.Date(2016, 7, 5, 16, 27, 25, 0, time.UTC), Modified: time.Date(2016, 7, 5, 16, 28, 50, 0, time.UTC),
		StatusType: string(scr.Final),
	}
	if d := cmp.Diff(want, change); d != "" {
		t.Errorf("change (-want +got):\n%s", d)
	}
	sim.sweep(time.Now()) // the times of the sample are past any retention
	client := newAPI(t, sim)
	sample := parsed(t, GuideSample())
	if d := cmp.Diff(sample, parsed(t, client.get("/"+guideSampleID+"?includeResultPdf=true").wants(http.StatusOK).body)); d != "" {
		t.Errorf("answer (-sample +got):\n%s", d)
	}

	full, _ := parsed(t, client.get("/"+guideSampleID+"/full?includeResultPdf=true").wants(http.StatusOK).body).(map[string]any)
	list, _ := full["identifications"].([]any)
	if len(list) != 1 || cmp.Diff(sample.(map[string]any)["primaryIdent"], list[0]) != "" || full["primaryIdent"] != nil {
		t.Errorf("full: %v", full)
	}
	plain := string(client.get("/" + guideSampleID).wants(http.StatusOK).body)
	if strings.Contains(plain, "result_video.pdf") || !strings.Contains(plain, "userface.jpg") {
		t.Errorf("without the result PDF: %s", plain)
	}
	status := string(client.get("/" + guideSampleID + "/status").wants(http.StatusOK).body)
	if strings.Contains(status, "Mustermann") || !strings.Contains(status, "Kampagne A357") || !strings.Contains(status, `"success"`) {
		t.Errorf("status: %s", status)
	}
	all := string(client.get("/full?createdFrom=2016-01-01&createdUntil=2017-01-01").wants(http.StatusOK).body)
	if !strings.HasPrefix(all, `[{"`) || !strings.Contains(all, "Heidestr. 17") {
		t.Errorf("list: %s", all)
	}
	if d := cmp.Diff(sample, parsed(t, GuideSample())); d != "" {
		t.Errorf("answers changed the sample:\n%s", d)
	}
}

// The sample's records have content, which is what the truth says; a class that may
// not have it gets none.
func TestGuideSampleHasRecords(t *testing.T) {
	t.Parallel()
	for class, given := range map[scr.RegulatoryClass]int{scr.ClassGwG: 5, scr.ClassTKG: 4, scr.ClassStandard: 1} {
		sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", class)}})
		playSample(t, sim)
		sent := recordsOf(t, newAPI(t, sim).get("/"+guideSampleID+"/full?includeResultPdf=true&includeBinaryData=true").wants(http.StatusOK).body)
		truth, err := sim.Records(guideSampleID)
		if err != nil || len(truth) != 5 {
			t.Fatalf("%s: %v, %d records", class, err, len(truth))
		}
		contents := 0
		for _, want := range truth {
			got := sent[want.RecordID]
			if (got.Data != nil) != want.Given || want.Given == want.Forbidden {
				t.Errorf("%s %s: %+v", class, want.Type, want)
			}
			if got.Data == nil {
				continue
			}
			contents++
			content, err := base64.StdEncoding.DecodeString(*got.Data)
			if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != want.SHA256 || int64(len(content)) != want.Size {
				t.Errorf("%s %s: %v, %d bytes, the truth has %d", class, want.Type, err, len(content), want.Size)
			}
		}
		if contents != given {
			t.Errorf("%s: %d contents, want %d", class, contents, given)
		}
	}
}

func TestAnswersThatCannotBePlayed(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	change := func(from, to string) json.RawMessage {
		return json.RawMessage(strings.Replace(string(GuideSample()), from, to, 1))
	}
	for name, n := range map[string]NewCase{
		"no JSON":              {Answer: json.RawMessage("x")},
		"no case":              {Answer: json.RawMessage("{}")},
		"open":                 {Answer: change(`"closed"`, `"in progress"`)},
		"no identification":    {Answer: change("primaryIdent", "primary")},
		"a long case id":       {Answer: change(guideSampleID, guideSampleID+"X")},
		"a record of no type":  {Answer: change(`"userface"`, `"selfie"`)},
		"a record's content":   {Answer: change(`"mimeType": "image/jpeg"`, `"documentData": "AAAA"`)},
		"a plan besides":       {Answer: GuideSample(), Plan: &Plan{Steps: []Step{{Closes: true}}}},
		"another case id":      {Answer: GuideSample(), CaseID: "AAAAAAAAAAAA"},
		"an unknown subStatus": {Answer: change(`"status": "success"`, `"status": "success", "subStatus": 4`)},
	} {
		n.ClientID = "ACCT0001"
		if info, err := sim.Create(n); err == nil {
			t.Errorf("%s: made %+v", name, info)
		}
	}
	playSample(t, sim)
	if _, err := sim.Create(NewCase{ClientID: "ACCT0001", Answer: GuideSample()}); !errors.Is(err, ErrTaken) {
		t.Errorf("played twice: %v", err)
	}
}
