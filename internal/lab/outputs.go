package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/scrsim"
)

// bucket is where the records are.
const bucket = "lab-records"

// recordsWait is how long the final event of a state waits for its records: short,
// so that a store that is away makes events that say pending, and others that bring
// the records.
const recordsWait = 2 * time.Second

// output is what an account publishes beside status events.
type output struct {
	results, images, pdfs bool
	keepUnknown           bool
}

// outputs is a mix: everything, images alone, results alone, records without
// results, status events alone.
var outputs = map[string]output{
	"SIMGWG01": {results: true, images: true, pdfs: true},
	"SIMTKG01": {results: true, images: true, keepUnknown: true},
	"SIMEIDAS": {},
	"SIMSTD01": {results: true},
	"SIMMOB01": {images: true, pdfs: true},
}

func (o output) payload() string {
	if o.results {
		return "result"
	}
	return "status"
}

func (o output) records() string {
	switch {
	case o.pdfs:
		return "all"
	case o.images:
		return "images"
	default:
		return "off"
	}
}

func (o output) unknownFields() string {
	if o.keepUnknown {
		return "keep"
	}
	return "drop"
}

// simulatedAccounts are the simulator's, with answers that hold more than they
// should: fields that no guide knows, and what the class must not have.
func simulatedAccounts(front string) []scrsim.Account {
	all := scrsim.ExampleAccounts(front)
	for i := range all {
		a := &all[i]
		a.Wire.UnknownFields = 0.1
		switch a.ClientID {
		case "SIMGWG01":
			a.Records.EIDImages, a.Wire.DocumentDataFirst = true, true
		case "SIMTKG01", "SIMSTD01":
			a.Wire.Forbidden, a.Wire.LegacyEmpty = true, true
		case "SIMMOB01":
			a.Records.SplitPDF = true
		}
	}
	return all
}

// settings are the accounts' outputs as the checker takes them.
func settings(o *audit.Options) {
	o.Results, o.Records = []string{}, make(map[string]bool)
	for _, id := range slices.Sorted(maps.Keys(outputs)) {
		if outputs[id].results {
			o.Results = append(o.Results, id)
		}
		if outputs[id].images {
			o.Records[id] = outputs[id].pdfs
		}
	}
}

// inventory reads the store.
func (w *world) inventory(ctx context.Context) (_ []audit.StoredObject, err error) {
	// The store's own client finds them there only, as the bridges do.
	for _, entry := range w.store.Credentials() {
		name, value, _ := strings.Cut(entry, "=")
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("set credentials: %w", err)
		}
	}
	store, err := claim.Open(ctx, w.store.URL(bucket, ""))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return audit.TakeInventory(ctx, store, scrsim.ForbiddenCanaries())
}

// records is the truth about binary records.
func (w *world) records() []audit.RecordTruth {
	truth := []audit.RecordTruth{}
	for r := range w.sim.AllRecords() {
		truth = append(truth, audit.RecordTruth(r))
	}
	return truth
}
