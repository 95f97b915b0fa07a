package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// demoResults is what the demo's consumer has seen beside status events: the
// results, and what events say of them and of records.
type demoResults struct {
	account string // that publishes results and keeps records
	store   string // URL of the store

	mu         sync.Mutex
	sampleCase string                             // guarded by mu
	sample     *schemas.IdentificationResult      // guarded by mu; nil until it came
	digests    map[string][]byte                  // guarded by mu; resultDigest of final events, by eventId
	results    map[string][]byte                  // guarded by mu; digests of the results' values, by eventId
	references map[string]schemas.RecordReference // guarded by mu; by location
}

func newDemoResults(account, store string) *demoResults {
	return &demoResults{
		account: account, store: store, digests: make(map[string][]byte), results: make(map[string][]byte),
		references: make(map[string]schemas.RecordReference),
	}
}

func (r *demoResults) setSample(caseID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampleCase = caseID
}

// noteEvent notes what a status event says of results and records.
func (r *demoResults) noteEvent(e *schemas.StatusChanged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.ClientID == r.account && e.StatusType == schemas.StatusTypeFinal {
		r.digests[e.EventID] = nil
		if e.ResultDigest != nil {
			r.digests[e.EventID] = bytes.Clone(*e.ResultDigest)
		}
	}
	for i := range e.Records {
		if ref, ok := e.Records[i].StoredAs(); ok {
			r.references[ref.Location] = ref
		}
	}
}

// noteResult notes a record of the topic of results.
func (r *demoResults) noteResult(ctx context.Context, decoder *schemas.ResultDecoder, record *kgo.Record) error {
	result, err := decoder.Decode(ctx, record.Value)
	if err != nil {
		return fmt.Errorf("decode result at %d/%d: %w", record.Partition, record.Offset, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[result.EventID] = schemas.ResultDigest(record.Value)
	if result.CaseID == r.sampleCase {
		r.sample = &result
	}
	return nil
}

// settled reports whether there is a result for each final event.
func (r *demoResults) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sample != nil && len(r.results) >= len(r.digests)
}

// resultVerdict is what the demo says of results and records, and how it prints it
// as JSON.
type resultVerdict struct {
	Account string `json:"account"`
	// Finals counts final events, Results those that have their result.
	Finals  int `json:"finals"`
	Results int `json:"results"`
	// Given counts the records whose content the API gave, Named those that an event
	// names, Intact the named ones that lie in the store as the event says.
	Given  int `json:"recordsGiven"`
	Named  int `json:"recordsNamed"`
	Intact int `json:"recordsIntact"`
	// Fields counts the values of the guide's sample, Found those in its result.
	Fields int      `json:"sampleFields"`
	Found  int      `json:"sampleFound"`
	Wrong  []string `json:"wrong"`

	sample *schemas.IdentificationResult
}

func (v *resultVerdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}

// lines is the verdict for people.
func (v *resultVerdict) lines() string {
	var b strings.Builder
	for _, w := range v.Wrong {
		fmt.Fprintf(&b, "wrong: %s\n", w)
	}
	fmt.Fprintf(&b, "results: %d final states of %s, %d with their result\n", v.Finals, v.Account, v.Results)
	fmt.Fprintf(&b, "records: %d given by the API, %d named by events, %d intact in the store\n", v.Given, v.Named, v.Intact)
	fmt.Fprintf(&b, "sample: %d of %d fields of the guide's sample in its result\n", v.Found, v.Fields)
	return b.String()
}

// judge compares what the consumer saw with the truth about records, with the
// guide's sample, and with what lies in the store.
func (r *demoResults) judge(ctx context.Context, sim *scrsim.Simulator) (resultVerdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := resultVerdict{Account: r.account, Finals: len(r.digests), Wrong: []string{}, sample: r.sample}
	for id, digest := range r.digests {
		switch result, ok := r.results[id]; {
		case !ok:
			v.wrong("final event %s has no result", id)
		case !bytes.Equal(result, digest):
			v.wrong("the result of event %s has another digest than the event says", id)
		default:
			v.Results++
		}
	}
	if more := len(r.results) - len(r.digests); more > 0 {
		v.wrong("%d more results than final events", more)
	}
	if r.sample == nil {
		v.wrong("the guide's sample has no result")
	} else {
		fields, missing, err := compareAnswer(scrsim.GuideSample(), r.sample)
		if err != nil {
			return v, err
		}
		v.Fields, v.Found = fields, fields-len(missing)
		for _, path := range missing {
			v.wrong("the result of the guide's sample has not, or otherwise: %s", path)
		}
	}
	return v, r.judgeRecords(ctx, sim, &v)
}

// judgeRecords looks for each record in the store. r.mu is held.
func (r *demoResults) judgeRecords(ctx context.Context, sim *scrsim.Simulator, v *resultVerdict) (err error) {
	store, err := claim.Open(ctx, r.store)
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, store.Close()) }()
	named := make(map[string]bool)
	for _, ref := range r.references {
		digest := hex.EncodeToString(ref.SHA256)
		named[digest] = true
		state, err := store.Verify(ctx, claim.Reference{Location: ref.Location, SHA256: digest, Size: ref.Size, MediaType: ref.MediaType})
		if err != nil {
			return err
		}
		if state == claim.Intact {
			v.Intact++
		} else {
			v.wrong("record %s: %s", ref.Location, state)
		}
	}
	v.Named = len(named)
	given := make(map[string]bool)
	for record := range sim.AllRecords() {
		if record.ClientID != r.account || !record.Given {
			continue
		}
		given[record.SHA256] = true
		if !named[record.SHA256] {
			v.wrong("record %s of case %s: no event names it", record.RecordID, record.CaseID)
		}
	}
	v.Given = len(given)
	if v.Named > v.Given {
		v.wrong("%d records are named that the API has not given", v.Named-v.Given)
	}
	return nil
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
