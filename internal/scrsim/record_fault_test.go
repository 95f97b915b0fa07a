package scrsim

import (
	"bytes"
	"encoding/base64"
	"testing"
	"testing/synctest"
	"time"
)

// The faults of records: each does what it says, and nothing is seen by an answer
// with malformed base64.
func TestRecordFaults(t *testing.T) {
	t.Parallel()
	const path = "?includeResultPdf=true&includeBinaryData=true"
	t.Run("malformed base64", func(t *testing.T) {
		t.Parallel()
		sim, id := finished(t, FaultSet{BadBase64: 1}, 1)
		bad := 0
		for _, r := range recordsOf(t, newAPI(t, sim).get("/"+id+path).wants(200).body) {
			if _, err := base64.StdEncoding.DecodeString(*r.Data); err != nil {
				bad++
			}
		}
		if bad != 1 || sim.Truth()[1].Seen {
			t.Errorf("%d are malformed, seen %v", bad, sim.Truth()[1].Seen)
		}
		newAPI(t, sim).get("/" + id).wants(200)
	})
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		sim, id := finished(t, FaultSet{Forbidden: 1}, 1)
		if body := newAPI(t, sim).get("/" + id + "/full").wants(200).body; !bytes.Contains(body, []byte("CANARY-forbidden-review-1")) {
			t.Errorf("got %s", body)
		}
		if body := newAPI(t, sim).get("/full").wants(200).body; !bytes.Contains(body, []byte("CANARY-forbidden-review-1")) {
			t.Errorf("listed %s", body)
		}
	})
	t.Run("the PDF comes later", func(t *testing.T) {
		t.Parallel()
		for serial := 1; serial <= 2; serial++ {
			sim, id := finished(t, FaultSet{PDFLate: 1, PDFLateReads: 2}, serial)
			newAPI(t, sim).get("/" + id + "?includeBinaryData=true").wants(200) // asks for none
			for n := range 3 {
				pdf, there := "", false
				for _, r := range recordsOf(t, newAPI(t, sim).get("/"+id+path).wants(200).body) {
					if r.Type == "result" {
						pdf, there = "metadata", r.Data != nil
					}
				}
				if want := map[bool]string{true: "", false: "metadata"}[serial == 1 && n < 2]; pdf != want || there != (n == 2) {
					t.Errorf("case %d, read %d: %q, content %v", serial, n, pdf, there)
				}
			}
		}
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			sim, id := finished(t, FaultSet{SlowRecords: 1, SlowRecordsBy: Duration(10 * time.Second)}, 1)
			for path, want := range map[string]time.Duration{path: 10 * time.Second, "": 0} {
				begun := time.Now()
				newAPI(t, sim).get("/" + id + path).wants(200)
				if took := time.Since(begun).Round(time.Millisecond); took < want || took > want+time.Second {
					t.Errorf("%q took %s", path, took)
				}
			}
			if !sim.Truth()[1].Seen {
				t.Error("not seen")
			}
		})
	})
}

// finished is a simulator with a success of the case of a number, which comes to
// its end with faults.
func finished(t *testing.T, f FaultSet, serial int) (*Simulator, string) {
	t.Helper()
	sim := newSim(t, Config{})
	for range serial - 1 {
		create(t, sim, videoStarted)
	}
	if err := sim.SetFaults(Faults{All: f}); err != nil {
		t.Fatal(err)
	}
	id := create(t, sim, videoStarted, videoSuccess)
	walkToEnd(t, sim, id)
	return sim, id
}
