package lab_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/testbed"
)

// The short form of the lab: a kill, a pause beyond every time-out beside a
// bridge that is cut off from the brokers, and a few faults more. `make lab`
// draws a hundred.
func TestLab(t *testing.T) {
	t.Parallel()
	const ms, sec = time.Millisecond, time.Second
	rounds := []lab.Round{
		{Faults: []lab.Fault{{Number: 1, Kind: lab.KindKill, Target: 0, Lasts: sec}}, Calm: sec},
		{Faults: []lab.Fault{
			{Number: 2, Kind: lab.KindStop, Target: 1, Lasts: 17 * sec},
			{Number: 3, Kind: lab.KindSilence, Target: 2, Variant: 2, After: sec, Lasts: 12 * sec},
		}, Calm: sec},
		{Faults: []lab.Fault{{Number: 4, Kind: lab.KindCut, Variant: 1, Lasts: 500 * ms}}, Calm: sec},
		{Faults: []lab.Fault{
			{Number: 5, Kind: lab.KindAPIErrors, Lasts: 3 * sec},
			{Number: 6, Kind: lab.KindRestart, Target: 2, After: sec, Lasts: 100 * ms},
		}, Calm: sec},
		{Faults: []lab.Fault{
			{Number: 7, Kind: lab.KindBrokerPause, Lasts: 2 * sec},
			{Number: 8, Kind: lab.KindScale, Target: 0, After: sec, Lasts: 2 * sec},
		}, Calm: sec},
		{Faults: []lab.Fault{
			{Number: 9, Kind: lab.KindStoreKill, Lasts: 13 * sec}, // longer than an event waits for its records
			{Number: 10, Kind: lab.KindAPIRecords, After: 8 * sec, Lasts: 6 * sec},
		}, Calm: sec},
	}
	root, err := testbed.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	// Where the lab itself works, for its topics and logs outlive a failure.
	dir := filepath.Join(root, ".cache", "lab", "test")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var summary lab.Summary
	counterpart.WithKafka(t, func() (err error) {
		summary, err = lab.Run(t.Context(), lab.Config{
			World:  lab.WorldConfig{Dir: dir, Seed: 7, Brokers: 1, Processes: 3, LogLevel: "info", Brief: true},
			Rounds: rounds, Window: 30, Free: 2, Out: &out,
		})
		return err
	})
	summary.Print(&out)
	t.Log(out.String())
	if !summary.Clean() {
		t.Errorf("the verdict is not clean; topics and logs are in %s", dir)
	}
	if summary.Results == 0 || summary.References == 0 || summary.Late == 0 || summary.Objects == 0 {
		t.Errorf("%d results, %d references, %d events with late records, %d objects: it proves nothing of them",
			summary.Results, summary.References, summary.Late, summary.Objects)
	}
	if summary.Faults != 10 || summary.Events == 0 || summary.Hooks == 0 || summary.Searched == 0 {
		t.Errorf("%d faults, %d events, %d webhooks, %d bytes searched: it proves nothing",
			summary.Faults, summary.Events, summary.Hooks, summary.Searched)
	}
}
