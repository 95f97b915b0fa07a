package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scrsim"
)

func TestSimulateRefusesRecordsThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := filepath.Join(dir, "small.json")
	text := `[{"clientId":"A","class":"gwg","credentials":[{"username":"u","password":"p"}],"records":{"pdf":{"min":10,"max":20}}}]`
	if err := os.WriteFile(small, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"simulate --records huge":         `--records: "huge" is neither small nor realistic`,
		"simulate --unknown-fields 2":     "--unknown-fields: want 0 to 1",
		"simulate --unknown-fields NaN":   "--unknown-fields: want 0 to 1",
		"simulate --accounts " + small:    "records: pdf: want",
		"simulate --unknown-fields=-0.01": "--unknown-fields: want 0 to 1",
	} {
		if got := runMain(t, nil, strings.Fields(args)...); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d, stderr %q", args, got.code, got.stderr)
		}
	}
}

// A flag switches on for every account what its file leaves off, and nothing off.
func TestSimulateFlagsForAccounts(t *testing.T) {
	t.Parallel()
	own := scrsim.Sizes{Min: 5000, Max: 6000}
	accounts := func() []scrsim.Account {
		return []scrsim.Account{
			{ClientID: "A"},
			{ClientID: "B", Records: scrsim.Records{PDF: own, SplitPDF: true}, Wire: scrsim.Wire{UnknownFields: 0.5, LegacyEmpty: true}},
		}
	}
	for _, tt := range []struct {
		flags simulateFlags
		want  []scrsim.Account
	}{
		{simulateFlags{records: recordsSmall}, []scrsim.Account{
			{ClientID: "A", Records: scrsim.SmallRecords()},
			{
				ClientID: "B", Records: scrsim.Records{PDF: own, Image: scrsim.SmallRecords().Image, SplitPDF: true},
				Wire: scrsim.Wire{UnknownFields: 0.5, LegacyEmpty: true},
			},
		}},
		{simulateFlags{records: recordsRealistic, unknown: 0.1, forbidden: true, legacy: true}, []scrsim.Account{
			{ClientID: "A", Records: scrsim.RealisticRecords(), Wire: scrsim.Wire{UnknownFields: 0.1, Forbidden: true, LegacyEmpty: true}},
			{
				ClientID: "B", Records: scrsim.Records{PDF: own, Image: scrsim.RealisticRecords().Image, SplitPDF: true},
				Wire: scrsim.Wire{UnknownFields: 0.1, Forbidden: true, LegacyEmpty: true},
			},
		}},
	} {
		got := accounts()
		tt.flags.adjust(got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.flags, diff)
		}
	}
}

// The control API has the truth about records.
func TestSimulateTellsTheTruthAboutRecords(t *testing.T) {
	t.Parallel()
	sim := startMain(t, nil, "simulate", "--addr", "127.0.0.1:0", "--webhooks", "", "--json", "--cases", "20", "--rate", "0", "--dwell", "1ms")
	base := "http://" + sim.where.Admin + "/sim/v1"
	eventually(t, "a record", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/records", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var r scrsim.Record
		if json.NewDecoder(resp.Body).Decode(&r) != nil {
			return false // none yet
		}
		small := scrsim.SmallRecords()
		if len(r.SHA256) != 64 || r.Size < small.Image.Min || r.Size > small.PDF.Max {
			t.Errorf("got %+v", r)
		}
		return true
	})
}
