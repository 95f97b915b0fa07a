package scr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MaxArchive is how many cases one request may archive (guide 7.6).
const MaxArchive = 10_000

var (
	errArchiveCount   = fmt.Errorf("want 1 to %d cases to archive", MaxArchive)
	errArchivePartner = errors.New("partners cannot archive")
)

// Archive marks closed cases as archived (guide 7.6) and returns those of caseIDs
// that the answer confirms, in its order. One that is missing was archived before,
// is not closed or is not there: the answer does not say which. So without an
// error every one of them that is closed is archived now, and asking again does no
// harm.
//
// Fewer than 1 or more than MaxArchive cases, a malformed caseId and the account
// of a partner (guide 9) are a *RejectedError, and nothing is sent. The other
// errors are those of Case, without *NotYetError; after one the cases may be
// archived.
func (c *Client) Archive(ctx context.Context, caseIDs []string) ([]string, error) {
	if err := c.refuseArchive(caseIDs); err != nil {
		return nil, &RejectedError{Reason: RejectedCase, Err: err}
	}
	body, err := json.Marshal(caseIDs) // a list, against the guide's words (facts C18)
	if err != nil {
		return nil, fmt.Errorf("write case ids: %w", err)
	}
	target := c.casesURL + "/archive"
	ctx, span := c.telemetry.start(ctx, c.archiveRoute, target)
	defer span.End()
	// A crash here, or an error: the request may have been carried out. Whoever
	// asks again harms nothing, and is told nothing of those that are archived.
	r := request{route: c.archiveRoute, target: target, body: body, limits: c.many, ownRight: true}
	var answer wholeBody
	_, err = c.do(ctx, span, r, &answer)
	if err == nil {
		var archived []string
		if archived, err = c.archived(answer.Bytes(), caseIDs); err == nil {
			return archived, nil
		}
		err = answered(err)
	}
	endWith(span, err)
	return nil, err
}

func (c *Client) refuseArchive(caseIDs []string) error {
	switch {
	case c.access == AccessPartner:
		return errArchivePartner // it would be refused like a wrong password
	case len(caseIDs) < 1 || len(caseIDs) > MaxArchive:
		return errArchiveCount
	case slices.ContainsFunc(caseIDs, func(id string) bool { return !ValidCaseID(id) }):
		return errNoCaseID
	}
	return nil
}

// archived gives those of asked that an answer says are archived. It is plain,
// because only reads are encrypted (facts 1.9), but may be encrypted too: that is
// not documented.
func (c *Client) archived(body []byte, asked []string) ([]string, error) {
	if body = trimSpace(body); kindOf(body) != bodyJSON {
		var err error
		if body, err = c.open(body, c.many.bytes); err != nil {
			return nil, err
		}
	}
	var entries []object[struct {
		CaseID     text                   `json:"caseId"`
		CaseStatus object[wireCaseStatus] `json:"caseStatus"`
	}]
	if err := decodeList(body, &entries); err != nil {
		return nil, &RejectedError{Reason: RejectedJSON, Err: err}
	}
	wanted := make(map[string]bool, len(asked))
	for _, id := range asked {
		wanted[id] = true
	}
	var archived []string
	for _, e := range entries {
		id := string(e.value.CaseID)
		if wanted[id] && bool(e.value.CaseStatus.value.Archived) {
			archived = append(archived, id)
			delete(wanted, id) // once
		}
	}
	return archived, nil
}
