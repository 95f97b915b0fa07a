package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// demoResults is what the demo knows of results and records.
type demoResults struct {
	account string // that publishes results and keeps records
	store   string // URL of the store

	mu         sync.Mutex
	sampleCase string                        // guarded by mu
	sample     *schemas.IdentificationResult // guarded by mu; nil until it came
}

// setSample says which case is the guide's sample.
func (r *demoResults) setSample(caseID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampleCase = caseID
}

// note takes a record of the topic of results.
func (r *demoResults) note(ctx context.Context, decoder *schemas.ResultDecoder, record *kgo.Record) error {
	result, err := decoder.Decode(ctx, record.Value)
	if err != nil {
		return fmt.Errorf("decode result at %d/%d: %w", record.Partition, record.Offset, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if result.CaseID == r.sampleCase {
		r.sample = &result
	}
	return nil
}

// arrived reports whether the sample's result has come.
func (r *demoResults) arrived() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sample != nil
}

// evidence adds what there is of results and records to what the demo is judged by.
func (r *demoResults) evidence(ctx context.Context, sim *scrsim.Simulator, e *audit.Evidence) (err error) {
	marks, err := sampleMarks()
	if err != nil {
		return err
	}
	e.Canaries, e.Forbidden, e.Contents = append(scrsim.Canaries(), marks...), scrsim.ForbiddenCanaries(), scrsim.RecordCanaries()
	e.Options.Results, e.Options.Records = []string{r.account}, map[string]bool{r.account: true}
	e.Records = []audit.RecordTruth{}
	for record := range sim.AllRecords() {
		e.Records = append(e.Records, audit.RecordTruth(record))
	}
	store, err := claim.Open(ctx, r.store)
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, store.Close()) }()
	e.Inventory, err = audit.TakeInventory(ctx, store, e.Forbidden)
	return err
}

// sampleVerdict is what became of the guide's sample, and how the demo prints it as
// JSON.
type sampleVerdict struct {
	// Fields counts the values of the sample, Found those that its result has.
	Fields int `json:"fields"`
	Found  int `json:"found"`
	// Missing are the paths of the others.
	Missing []string `json:"missing"`

	result *schemas.IdentificationResult // nil if there is none
}

func (v *sampleVerdict) clean() bool { return v.Fields > 0 && v.Found == v.Fields }

// judgeSample compares the guide's sample with its result.
func (r *demoResults) judgeSample() (sampleVerdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := r.sample
	if result == nil {
		result = new(schemas.IdentificationResult)
	}
	fields, missing, err := compareAnswer(scrsim.GuideSample(), result)
	return sampleVerdict{Fields: fields, Found: fields - len(missing), Missing: missing, result: r.sample}, err
}

// resultLines is what the demo says of results and records.
func (r *demoResults) resultLines(v *audit.Verdict, s *sampleVerdict) string {
	var b strings.Builder
	if len(s.Missing) > 0 {
		fmt.Fprintf(&b, "the result of the guide's sample has not, or otherwise: %s\n", strings.Join(s.Missing, ", "))
	}
	fmt.Fprintf(&b, "results: %d of %s, one with each of its final states\n", v.Results, r.account)
	broken := v.Count(audit.BadReference) + v.Count(audit.RecordLost)
	fmt.Fprintf(&b, "records: %d named by events, %d in the store, %d missing or not intact\n", v.References, v.Objects, broken)
	fmt.Fprintf(&b, "sample: %d of %d fields of the guide's sample are in its result\n", s.Found, s.Fields)
	return b.String()
}

// resultAccount is the account that publishes results in the demo: its class may
// have what the guide's sample has.
func resultAccount(accounts []scrsim.Account) scrsim.Account {
	for _, a := range accounts {
		if a.Class == scr.ClassGwG {
			return a
		}
	}
	return accounts[0]
}
