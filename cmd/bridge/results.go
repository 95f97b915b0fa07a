package main

import (
	"context"
	"fmt"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/publish"
)

// Values of an account's settings.
const (
	recordsOff  = "off"
	recordsAll  = "all"
	unknownKept = "keep"
)

// uploadsAtOnce are the records of a case that are on their way to the store at a
// time: while one waits for the store, the next is digested.
const uploadsAtOnce = 2

// openRecords opens the store of binary records, nil where no account wants any. It
// asks nobody yet: who reads the records finds out whether it is there.
func (s *settings) openRecords(ctx context.Context) (*claim.Store, error) {
	for _, a := range s.Accounts {
		if a.Records != recordsOff {
			store, err := claim.Open(ctx, s.Records.URL)
			if err != nil {
				return nil, fmt.Errorf("open store of records: %w", err)
			}
			return store, nil
		}
	}
	return nil, nil //nolint:nilnil // none
}

// publishResults has the account publish what its settings ask for beside status
// events.
func (a accountSettings) publishResults(to *publish.Account, client *scr.Client, store *claim.Store) {
	to.Results = a.Payload == payloadResult
	if a.Records != recordsOff {
		to.Records, to.ResultPDF = store, a.Records == recordsAll
	}
	if !to.Results && to.Records == nil {
		return
	}
	request := scr.ResultRequest{
		Class: scr.RegulatoryClass(a.RegulatoryClass), KeepUnknown: a.UnknownFields == unknownKept, AtOnce: uploadsAtOnce,
	}
	to.ReadResult = func(ctx context.Context, caseID string, binary bool, store func(context.Context, scr.RecordContent) error) (scr.Result, error) {
		r := request
		r.Binary, r.PDF = binary, binary && a.Records == recordsAll
		return client.Result(ctx, caseID, r, store)
	}
}
